# Two ranks do what one does on the same global batch, within rounding; a checkpoint of two goes on
# with one and the other way round; what fails on one rank ends both with one message.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl=self,vader,tcp
export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_rmaps_base_oversubscribe=1
m=tests/golden/llama
two() { mpirun -q -n 2 --bind-to none $SLM "$@" 2> $TMP/err; }
awk 'BEGIN { for (i = 0; i < 4000; i++) print (i * 7919 + int(i / 13)) % 90 }' > $TMP/ids
o="--ids-file $TMP/ids --seq 32 --lr 3e-3 --schedule constant --precision f32 --seed 1 --json -t 1"
losses() { grep -o '"loss": [0-9.]*' "$1" | cut -d ' ' -f 2; }
near() { paste <(losses $1) <(losses $2) | awk '{ d = $1 - $2; if (d > 1e-5 || d < -1e-5) bad = 1; n++ } END { print n, bad ? "apart" : "near" }'; }
for optim in adamw muon; do
    $SLM train $m $o --optimizer $optim --batch 4 --steps 6 -o $TMP/one > $TMP/one.json 2> $TMP/err || cat $TMP/err
    two train $m $o --optimizer $optim --batch 2 --steps 6 -o $TMP/two > $TMP/two.json || cat $TMP/err
    near $TMP/one.json $TMP/two.json
    rm -r $TMP/one $TMP/two
done
# Accumulation on one rank is the same as more ranks; 3 steps on two ranks, then 3 on one.
$SLM train $m $o --batch 2 --accumulate 2 --steps 6 -o $TMP/one > $TMP/one.json 2> $TMP/err
two train $m $o --batch 2 --steps 6 --save-every 3 -o $TMP/two > $TMP/two.json
near $TMP/one.json $TMP/two.json
$SLM runs list --json | grep -o '"state": "done"' | wc -l
