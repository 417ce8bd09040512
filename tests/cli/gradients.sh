echo 1 2 3 4 5 > $TMP/ids
$SLM gradients tests/golden/llama --ids-file $TMP/ids -o $TMP/g.safetensors --json | sed 's/"path.*//'
$SLM show $TMP/g.safetensors --tensor model.norm.weight -o - -q | wc -c
echo 1 2 > $TMP/labels
$SLM gradients tests/golden/llama --ids-file $TMP/ids --labels-file $TMP/labels -o $TMP/h
