# Without MODEL the bundled one tells a story; the same with one thread and two; stdin is a prompt.
$SLM run -p 'The fox' -n 12 --seed 7 -t 1 > $TMP/a 2> $TMP/err && $SLM run -p 'The fox' -n 12 --seed 7 -t 2 -q > $TMP/b
cmp $TMP/a $TMP/b && [ $(wc -c < $TMP/a) -gt 20 ] && cat $TMP/err >&2
printf 'The fox\n' | $SLM run -n 12 --seed 7 -q | cmp - $TMP/a && echo same
SLM_MODEL=nowhere.gguf $SLM run -p x -q; echo $?
