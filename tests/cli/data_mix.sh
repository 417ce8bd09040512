cd $TMP
for i in $(seq 1 40); do echo "{\"text\": \"a $i\"}"; done > a.jsonl
for i in $(seq 1 10); do echo "{\"text\": \"b $i\"}"; done > b.jsonl
printf 'text\nc 1\nc 2\nc 3\nc 4\n' > c.csv
$SLM data mix a.jsonl:0.75 b.jsonl:0.25 -o m.jsonl
sort -u m.jsonl | wc -l
$SLM data mix --source a.jsonl:1 --source b.jsonl:1 --source c.csv:1 --rows 90 --max-epochs 3 -o n.jsonl --mark src
for s in a.jsonl b.jsonl c.csv; do grep -c "\"src\":\"$s\"" n.jsonl; done
$SLM data mix --source a.jsonl:1 --source b.jsonl:1 --source c.csv:1 --rows 90 --max-epochs 3 -o o.jsonl --mark src -q -t 3 && cmp n.jsonl o.jsonl
$SLM data mix --source a.jsonl:1 --source b.jsonl:1 --rows 90 -o o.jsonl -q -s 8 --json | grep -o '"rows_written": [0-9]*, "epochs": [0-9.]*'
$SLM data mix a.jsonl b.jsonl --bytes 200 -q --json | grep -o '"weight": [0-9.]*'
$SLM data mix a.jsonl b.jsonl --rows 500 --max-epochs 2
$SLM data mix a.jsonl:1 b.jsonl; $SLM data mix a.jsonl:-1; $SLM data mix a.jsonl --tokens 9; $SLM data mix a.jsonl b.jsonl -o a.jsonl; $SLM data mix
$SLM data mix a.jsonl:1 c.csv:1 -o x.csv
