$SLM bench --shape no-such -q
$SLM bench --shape smollm2-135m --type q9 -q
$SLM bench --shape smollm2-135m,smollm2-360m -o $TMP/x.gguf -q
$SLM bench --shape smollm2-135m model.gguf -q
$SLM bench models/storyteller.gguf --type q4_0 -q
$SLM bench models/storyteller.gguf --streams 65 -q
$SLM bench models/storyteller.gguf --prompt 1,x -q
$SLM bench models/storyteller.gguf --csv --json -q
$SLM bench models/storyteller.gguf -p 2 -n 0 -r 1 -t 1 -q --compare no-such-llama-bench
$SLM bench --shape smollm2-135m --type q4_0 -o /nowhere/x.gguf -q
ls $TMP
