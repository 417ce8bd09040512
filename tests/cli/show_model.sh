m=models/storyteller.gguf
$SLM show $m -c 256
$SLM show $m --json -c 256 | grep -o '"memory": {"context": 256, "cache_type": "f16", "weights": [0-9]*, "cache": [0-9]*, "work": [0-9]*[^}]*}'
$SLM show $m --tensors | head -n 1
$SLM show $m --metadata | grep -c '^general.architecture  *"llama"$'
$SLM show $m -c 256 --cache-type q4_0 | grep -c '(q4_0)'
$SLM show README.md; echo $?
