echo '5 6 7' | $SLM complete tests/golden/llama --ids-file - -n 3 --temp 0 --ignore-eos --json
