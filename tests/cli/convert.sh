# To a folder and back, the greedy text stays; no half files; a bad type is refused.
m=models/storyteller.gguf
$SLM convert $m $TMP/folder && $SLM convert $TMP/folder $TMP/again.gguf -q && ls $TMP
for x in $m $TMP/folder $TMP/again.gguf; do $SLM complete $x -p 'Once upon a time' -n 12 --temp 0 --exact -q; done | sort -u | wc -l
$SLM convert $m $TMP/x.gguf --type q99; echo $?
$SLM convert $TMP/nowhere $TMP/x.gguf; echo $?
ls $TMP
