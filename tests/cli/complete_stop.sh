# A stop string, met or not; the text behind it never comes out.
m=models/storyteller.gguf
$SLM complete $m -p 'Once upon a time there was' -n 40 --temp 0 -q > $TMP/all
w=$(cut -d ' ' -f 4 $TMP/all)
$SLM complete $m -p 'Once upon a time there was' -n 40 --temp 0 -q --stop "$w" --json > $TMP/cut
grep -c '"finish": "stop_string"' $TMP/cut
grep -cF "$w" $TMP/cut
$SLM complete $m -p 'Once upon a time there was' -n 40 --temp 0 -q --stop 'zzqq' | cmp - $TMP/all && echo whole
$SLM complete $m -p x --stop '' -q; echo $?
