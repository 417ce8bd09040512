m=models/storyteller.gguf
text='The giant put on his boots, née Ω — 12.'
printf %s "$text" | $SLM tokenize $m --json > $TMP/ids
$SLM tokenize $m --decode < $TMP/ids | cmp - <(printf %s "$text") && echo back
head -c 4 $TMP/ids; echo
printf %s "$text" | $SLM tokenize $m --no-bos --json > $TMP/plain
[ "[1, $(tail -c +2 $TMP/plain)" = "$(cat $TMP/ids)" ] && echo bos
printf '"The giant put on his boots, n\\u00e9e \\u03a9 \\u2014 12."\n""\n' | $SLM tokenize $m --lines --no-bos --json | cmp - <(cat $TMP/plain; echo '[]') && echo lines
$SLM tokenize $m --decode --lines < $TMP/ids
printf '"half' | $SLM tokenize $m --lines --json; echo $?
printf '"a"\n"\\ud83d\\ude00" x\n' | $SLM tokenize $m --lines --no-bos --json; echo $?
printf '1 2 999999' | $SLM tokenize $m --decode > /dev/null; echo $?
printf hello | $SLM tokenize $m | head -n 1
