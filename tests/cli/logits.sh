# T x V values; one by one and at once agree where kernels are generic; no temporary file stays.
m=tests/golden/llama
echo 1 2 3 4 5 > $TMP/ids
$SLM logits $m --ids-file $TMP/ids -o $TMP/all --cpu generic -q && $SLM logits $m --ids-file $TMP/ids -o $TMP/step --step --cpu generic -q
cmp $TMP/all $TMP/step && $SLM logits $m --ids-file $TMP/ids -o - -q -t 1 --cpu generic | cmp - $TMP/all && echo same
v=$($SLM show $m --json -q | sed 's/.*"vocab": \([0-9]*\).*/\1/')
[ $(wc -c < $TMP/all) -eq $((5 * v * 4)) ] && echo size
ls $TMP
