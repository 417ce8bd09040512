m=tests/golden/llama
try() { printf '%s' "$1" | $SLM logits $m --ids-file - -o $TMP/out; echo "exit $?"; }
try '1 2 x3'
try ''
try '1 99999'
try '1 99999999999'
$SLM logits $m --ids-file nowhere -o $TMP/out; echo "exit $?"
$SLM logits $m -o $TMP/out; echo "exit $?"
ls $TMP
