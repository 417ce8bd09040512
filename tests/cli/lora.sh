echo 3 10 17 24 31 38 45 > $TMP/ids
a=tests/golden-adapters
m=tests/golden/phi3
$SLM logits $m --ids-file $TMP/ids -o $TMP/plain -q
$SLM logits $m --lora $a/phi3-pattern --ids-file $TMP/ids -o $TMP/with -q
$SLM logits $m --lora-scaled $a/phi3-pattern:1 --ids-file $TMP/ids -o $TMP/same -q
cmp $TMP/with $TMP/same && ! cmp -s $TMP/with $TMP/plain && echo adapted
$SLM merge $m --lora $a/phi3-pattern -o $TMP/m.gguf --type f32 --ids-file $TMP/ids -q
$SLM merge $m --lora $a/phi3-pattern -o $TMP/m --type f32 --ids-file $TMP/ids --json -q
$SLM complete $TMP/m.gguf --ids-file $TMP/ids -n 6 --temp 0 --ignore-eos --exact --json -q | sed 's/, "text.*//' > $TMP/1
$SLM complete $m --lora $a/phi3-pattern --ids-file $TMP/ids -n 6 --temp 0 --ignore-eos --exact --json -q | sed 's/, "text.*//' > $TMP/2
cmp $TMP/1 $TMP/2 && echo the same words
$SLM convert tests/golden/llama $TMP/l.gguf --lora $a/llama-lora
$SLM show $TMP/l.gguf
$SLM show $a/gemma2-dora
$SLM gradients $m --lora $a/phi3-pattern --ids-file $TMP/ids -o $TMP/g.safetensors -q
$SLM show $TMP/g.safetensors --tensors -q | grep -c lora_
$SLM convert tests/golden/gemma2 $TMP/d.gguf --lora $a/gemma2-dora
$SLM merge $m -o $TMP/n.gguf
$SLM logits tests/golden/llama-bias --lora $a/llama-lora --ids-file $TMP/ids -o $TMP/x
$SLM logits $m --lora-scaled $a/phi3-pattern --ids-file $TMP/ids -o $TMP/x
$SLM logits $m --lora $a/phi3-pattern --lora-scale much --ids-file $TMP/ids -o $TMP/x
