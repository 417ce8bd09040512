m=models/storyteller.gguf
$SLM run $m 'Once upon a time' -n 5 --temp 0 --json -q
$SLM run $m hello -n 1 --template chatml --system 'Be brief.' > /dev/null
$SLM run $m hello -n 1 --template no-such-template -q
