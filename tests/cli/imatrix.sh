# Importances of a text, in both forms and merged; a model rounded by them; another model's refused.
m=models/storyteller.gguf
yes 'The king and the queen lived in a castle by the sea, and they had three sons.' | head -n 40 > $TMP/text
$SLM imatrix $m -f $TMP/text -c 64 --chunks 4 -o $TMP/im.gguf --json -q
$SLM imatrix $m -f $TMP/text -c 64 --skip 4 --chunks 2 --in $TMP/im.gguf -o $TMP/im.dat
$SLM imatrix --in $TMP/im.dat --in $TMP/im.gguf -o $TMP/sum.gguf
$SLM show $TMP/im.gguf 2> /dev/null | head -n 3; $SLM quantize $m $TMP/q.gguf --type Q3_K_M --imatrix $TMP/sum.gguf --allow-requantize --json -q | grep -o '"imatrix": true' | wc -l
grep -c quantize.imatrix.entries_count $TMP/q.gguf
$SLM quantize tests/golden/llama $TMP/x.gguf --type Q8_0 --imatrix $TMP/im.gguf; echo $?
$SLM quantize $m $TMP/x.gguf --type Q8_0 --imatrix $m; echo $?
$SLM quantize $m $TMP/x.gguf --type Q8_0 --imatrix $TMP/text; echo $?
$SLM imatrix $m -f $TMP/text -o $TMP/x.gguf -c 4096; echo $?
$SLM imatrix $m -o $TMP/x.gguf; echo $?
ls $TMP
