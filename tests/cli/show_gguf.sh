# A GGUF file that is no model: its keys and tensors.
$SLM show tests/data/gguf/all-values.gguf -q > $TMP/out && test -s $TMP/out && $SLM show tests/data/gguf/all-values.gguf -q --json | grep -o '^{"format": "gguf [23]", "metadata": {'
