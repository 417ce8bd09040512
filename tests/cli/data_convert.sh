cat > $TMP/a.jsonl << 'X'
{"conversations": [{"from": "system", "value": "Brief."}, {"from": "human", "value": "Hi, \"you\""}, {"from": "gpt", "value": "Ho."}], "id": 7}
{"conversations": [{"from": "human", "value": "1?"}, {"from": "gpt", "value": "One."}, {"from": "human", "value": "2?"}, {"from": "gpt", "value": "Two."}]}
X
for to in messages sharegpt alpaca prompt; do $SLM data convert $TMP/a.jsonl $TMP/$to.jsonl --to $to -q > /dev/null; echo $?; cat $TMP/$to.jsonl; done
# and back: nothing is lost on the way
for from in messages alpaca prompt; do $SLM data convert $TMP/$from.jsonl $TMP/back.jsonl --to messages -q > /dev/null; cmp $TMP/messages.jsonl $TMP/back.jsonl && echo $from; done
# a table has no room for turns: told, and not written
$SLM data convert $TMP/a.jsonl -o $TMP/a.csv --to csv 2> $TMP/err | sed "s#$TMP/##"; echo ${PIPESTATUS[0]}; cat $TMP/a.csv | tr -d '\r'; sed "s#$TMP/##" $TMP/err
$SLM data convert $TMP/a.csv $TMP/b.jsonl --to messages -q | sed "s#$TMP/##"; cat $TMP/b.jsonl
$SLM data convert $TMP/a.jsonl $TMP/t.jsonl --to text --template chatml --model models/storyteller.gguf -q > /dev/null; tail -n 1 $TMP/t.jsonl
$SLM data convert $TMP/a.jsonl --to messages; echo $?
$SLM data convert $TMP/a.jsonl $TMP/x.jsonl; echo $?
