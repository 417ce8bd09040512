# Memory, speed and loss by type, for shapes and files.
$SLM advise --shape smollm2-135m --ram 200M --ctx 1024 -q --json -t 1
$SLM advise --shape phi-3-mini --ram 3G --ctx 4096 -q -t 1 | cut -c1-6
$SLM advise models/storyteller.gguf -q -t 1 --ram 1G | tail -1
$SLM advise --shape smollm2-135m --ram lots -q
