# What is kept of training: record with lineage, log, report; trouble with the record stops nothing.
export SLM_RUNS=$TMP/runs.db
m=tests/golden/llama
seq 1 400 | awk '{ print $1 * 7 % 61 }' > $TMP/ids
t() { $SLM train "$@" --ids-file $TMP/ids --seq 16 --batch 2 --lr 1e-3 -t 1; }
t $m --steps 3 -o $TMP/first --name begin --log $TMP/log.jsonl --report $TMP/report.html -q
grep -c '"event": "step"' $TMP/log.jsonl; grep -o '<svg' $TMP/report.html | wc -l
# Moved elsewhere, it is still known as what the first run made; a resumed run goes on from itself.
mv $TMP/first $TMP/moved
t $TMP/moved --steps 2 -o $TMP/second --log $TMP/log.csv -q
t $TMP/moved --steps 4 -o $TMP/second --log $TMP/log.csv -q --resume
wc -l < $TMP/log.csv; cut -d , -f 2,3 $TMP/log.csv
first=$($SLM runs show begin --json | grep -o '"id": "[0-9a-f]*"')
$SLM runs list --json | grep -c "\"parent\": ${first#*: }"
$SLM runs list | awk '{ print $2, $3, $NF == "-" ? "new" : "goes on" }'
$SLM runs show last --json | grep -o '"parent_step": [0-9]*'
$SLM runs show begin | grep -c "^command       slm train $m --steps 3"
$SLM runs show begin | sed -n 's/^step 3 *final.*/final/p'
# Nowhere, or in a file that is no record: one warning, the same training.
t $m --steps 1 --runs-db off -q; echo $?
head -c 4096 /dev/zero > $TMP/bad.db
t $m --steps 1 --runs-db $TMP/bad.db --report $TMP/report.html > /dev/null 2> $TMP/err; echo $?
grep -c 'bad.db: file is not a database; this run goes on without being recorded' $TMP/err
grep -o '<svg' $TMP/report.html | wc -l
t $m --steps 1 --log $TMP/log.txt -q; echo $?
echo a,b > $TMP/other.csv; t $m --steps 1 --log $TMP/other.csv -q; echo $?
t $m --steps 1 --log $TMP/no/such.csv -q; echo $?
$SLM runs list | wc -l
