# The record that the first version wrote: listed, shown, compared, forgotten; times are fixed.
export TZ=UTC SLM_RUNS=$TMP/runs.db
$SLM runs list; $SLM runs list --json
cp tests/data/runs/version1.db $SLM_RUNS
$SLM runs list
$SLM runs list -n 2 --json | grep -o '"state": "[a-z]*"'
$SLM runs list --state failed | tail -n +2
$SLM runs show tales-longer
$SLM runs show 36a7 | sed -n '/^Files/,$p'
$SLM runs show last --csv | head -n 3
$SLM runs show tales-longer --json | grep -o '"loss": \[\[41, [0-9.]*\]'
$SLM runs compare tales-lora tales-longer
$SLM runs compare tales-lora tales-longer --metric grad_norm --csv | tail -n 1
$SLM runs compare tales-lora tales-longer last --html $TMP/page.html && grep -o '<svg' $TMP/page.html | wc -l
grep -c 'not a number at step 26' $TMP/page.html
$SLM runs show tales-longer --html $TMP/page.html && grep -c 'https*:' $TMP/page.html
$SLM runs rm tales-lora; echo $?
$SLM runs show tales-lora; echo $?
$SLM runs compare last; echo $?
$SLM runs show last --csv --json; echo $?
$SLM runs show 'no; DROP TABLE runs'; echo $?
$SLM runs list --runs-db off; echo $?
$SLM runs list --runs-db $TMP/none.db; echo $?
head -c 2000 /dev/zero > $TMP/bad.db; $SLM runs list --runs-db $TMP/bad.db; echo $?
ls $TMP
