m=models/storyteller.gguf
$SLM complete $m -p 'Once upon a time' -n -1 -c 32 --temp 0 --ignore-eos --json -q | grep -o '"finish": "[a-z]*"'
$SLM complete $m -p 'one two three four five six seven eight nine ten' -n 5 -c 8 -q; echo $?
$SLM complete $m -p '' -n 3 -q > /dev/null; echo $?
$SLM complete $m -p '' --no-bos -n 3 -q; echo $?
$SLM complete $m -n 3 -q; echo $?
$SLM complete $m -p a -f b -q; echo $?
