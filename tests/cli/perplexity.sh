m=models/storyteller.gguf
yes 'The king and the queen lived in a castle by the sea, and they had three sons.' | head -n 40 > $TMP/text
$SLM perplexity $m -f $TMP/text -c 128 -q
$SLM perplexity $m -f $TMP/text -d lm-eval --json -q
$SLM perplexity $m -f $TMP/text -c 512 --chunks 1 -q; echo $?
echo short > $TMP/text
$SLM perplexity $m -f $TMP/text -q; echo $?
$SLM perplexity $m -q; echo $?
