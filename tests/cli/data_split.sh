cd $TMP
for i in $(seq 1 60); do echo "{\"text\": \"question number $i of the lot\", \"label\": \"l$((i % 3))\", \"user\": \"u$((i / 7))\"}"; done > a.jsonl
echo '{"text": "Question number 1, of the lot!", "label": "l1", "user": "u9"}' >> a.jsonl
echo 'no row' >> a.jsonl
$SLM data split a.jsonl -o p --train .8 --valid .1 --test .1 --stratify label -s 3
cat p/train.jsonl p/valid.jsonl p/test.jsonl | sort > all; head -61 a.jsonl | sort | cmp - all && wc -l < all
# near-duplicates fall on one side; any number of threads gives the same
for f in p/*.jsonl; do grep -c 'uestion number 1[, ]' $f; done | sort | tr '\n' ' '; echo
$SLM data split a.jsonl -o q --train .8 --valid .1 --test .1 --stratify label -s 3 -t 5 -q && diff -r p q && echo same
# groups stay whole
$SLM data split a.jsonl -o g --test .25 --group user -q --json | grep -o '"groups": 9'
cat g/train.jsonl g/test.jsonl | wc -l
for f in g/*.jsonl; do grep -o '"u[0-9]*"' $f | sort -u; done | sort | uniq -d | wc -l
printf 'q,l\n"a, b",x\n"c\nd",y\ne,x\nf,y\n' > c.csv
$SLM data split c.csv -o r --test 1 --train 3 -q && head -n 1 r/test.csv && cat r/*.csv | grep -c .
$SLM data split a.jsonl --train .8 --test .1
$SLM data split a.jsonl --test 100
$SLM data split c.csv --test .001
