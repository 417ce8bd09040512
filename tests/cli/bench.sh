$SLM bench models/storyteller.gguf -p 16 -n 4 -r 1 --json -q -t 1
$SLM bench models/storyteller.gguf -p 16 -n 4 -c 8 -q
