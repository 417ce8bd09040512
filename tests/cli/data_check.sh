m=models/storyteller.gguf
cat > $TMP/chat.jsonl << 'X'
{"messages": [{"role": "user", "content": "The sun?"}, {"role": "assistant", "content": "It is up."}], "id": 1}
{"messages": [{"role": "user", "content": "The moon?"}, {"role": "assistant", "content": "It is down."}]}
{"messages": [{"role": "user", "content": "The sun?"}, {"role": "assistant", "content": "It is up."}]}
X
# a model that does not chat: a template by name
$SLM data check $TMP/chat.jsonl --model $m --template chatml --seq 128 | sed "s#$TMP/##"
# what is not good is told with its place, and the exit code says so
cat > $TMP/bad.jsonl << 'X'
{"prompt": "Say yes.", "completion": " yes"}
{"prompt": "Say no.", "completion": ""}
{"prompt": "Say
{"question": "?"}
{"messages": [{"role": "assistant", "content": "a"}, {"role": "system", "content": "b"}]}
X
$SLM data check $TMP/bad.jsonl --model $m --seq 64 2> $TMP/err | sed "s#$TMP/##"; echo ${PIPESTATUS[0]}; sed "s#$TMP/##" $TMP/err
$SLM data check $TMP/bad.jsonl --model $m --seq 64 --allow-loss -q > /dev/null; echo $?
# tables: columns by their names, labels counted
printf 'text,category\nwhere is my card,card\n"lost, stolen",card\nhow much,fee\nwhich fee,fee\nmy card,card\nthe fee,fee\n' > $TMP/t.csv
$SLM data check $TMP/t.csv --model $m --map prompt=text --map completion=category -q | sed -n 's/^labels.*/&/p; s/^  most.*/&/p; s/^tokens.*/&/p'
$SLM data check $TMP/t.csv --model $m 2>&1 | grep -o 'fields text, category: .*' | head -n 1
# texts: a document a mark; any number of threads, the same store; made once
printf 'Once upon a time.\n<|end|>\nThere was a cat.\n' > $TMP/a.txt
for t in 1 4; do $SLM data check $TMP/a.txt --separator '<|end|>' --model $m -q -t $t --store $TMP/store$t | head -n 4; done | sed "s#$TMP/##"
cmp $TMP/store1 $TMP/store4 && echo same
$SLM data check $TMP/a.txt --separator '<|end|>' --model $m --store $TMP/store1 2>&1 > /dev/null | grep -o 'was made of the same data already'
$SLM data check $TMP/a.txt --separator '<|end|>' --model $m -q --json | grep -o '"rows":2,"kept":2,.*"docs":2'
$SLM data stats $TMP/chat.jsonl -q | sed "s#$TMP/##"
$SLM data stats $TMP/none.jsonl 2> /dev/null; echo $?
: > $TMP/empty.jsonl
$SLM data check $TMP/empty.jsonl --model $m 2>&1 | sed "s#$TMP/##" | tail -n 1
