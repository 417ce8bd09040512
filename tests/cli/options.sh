# The ways to write an option; -- ends them; - is a word.
m=tests/golden/llama
run() { echo '5 6' | $SLM complete --json -q "$@" | sed 's/, "text".*//'; }
run $m --ids-file - -n 2 --temp 0 --ignore-eos > $TMP/a
run --model=$m --ids-file=- -n2 --temperature=0 --ignore-eos > $TMP/b
run -m $m --ids_file - --predict 2 --temp=0 --ignore_eos > $TMP/c
run -n=2 --temp 0 --ids-file - --ignore-eos -- $m > $TMP/d
cmp $TMP/a $TMP/b && cmp $TMP/a $TMP/c && cmp $TMP/a $TMP/d && echo same
