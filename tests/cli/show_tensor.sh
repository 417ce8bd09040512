f=tests/golden/llama/model.safetensors
$SLM show $f --tensor model.norm.weight -o $TMP/norm && [ $(($(wc -c < $TMP/norm) % 4)) -eq 0 ] && echo written
$SLM show $f --tensor no.such -o $TMP/none; echo $?
$SLM show $f --tensor model.norm.weight; echo $?
ls $TMP
