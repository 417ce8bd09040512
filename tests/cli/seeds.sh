# The same seed gives the same ids, on any number of threads; another seed gives others.
run() { echo '5 6 7' | $SLM complete tests/golden/llama --ids-file - -n 20 --ignore-eos --temp 2 --top-k 0 \
    --top-p 1 --min-p 0 --json -q "$@" | sed 's/, "text".*//'; }
run -s 7 -t 1 > $TMP/a; run -s 7 -t 2 > $TMP/b; run --seed=8 > $TMP/c
cmp $TMP/a $TMP/b && ! cmp -s $TMP/a $TMP/c && echo good
