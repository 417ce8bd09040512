# Two ranks do what one does on the same global batch, within rounding, and share the optimiser's
# states; a checkpoint of two goes on with one and the other way round; what fails on one rank ends
# both with one message.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_btl_vader_single_copy_mechanism=none SLM_RUNS=$TMP/runs.db
m=tests/golden/llama
awk 'BEGIN { for (i = 0; i < 4000; i++) print (i * 7919 + int(i / 13)) % 60 }' > $TMP/ids
o="--ids-file $TMP/ids --seq 32 --lr 3e-3 --schedule constant --precision f32 -t 1"
one() { out=$TMP/$1; shift; $SLM train $m $o -o $out --json -q "$@"; }
two() { out=$TMP/$1; shift; mpirun -q -n 2 --bind-to none $SLM train $m $o -o $out --json -q "$@"; }
losses() { grep -ho '"loss": [0-9.]*' "$@" | cut -d ' ' -f 2; }
near() { paste <(losses $1) <(losses $2) | awk '{ d = $1 - $2; if (d > 1e-4 || d < -1e-4) bad = 1; n++ } END { print n, bad ? "apart" : "near" }'; }
one a --batch 4 --steps 6 > $TMP/a.json
two b --batch 2 --steps 6 --log $TMP/log.csv > $TMP/b.json
near $TMP/a.json $TMP/b.json
wc -l < $TMP/log.csv
$SLM runs list --json | grep -o '"state": "done"' | wc -l
# As many rows by accumulation; and muon, whose matrices step as a whole.
two c --batch 1 --accumulate 2 --steps 6 > $TMP/c.json
near $TMP/a.json $TMP/c.json
one d --batch 4 --steps 4 --optimizer muon > $TMP/d.json
two e --batch 2 --steps 4 --optimizer muon > $TMP/e.json
near $TMP/d.json $TMP/e.json
# Three steps of two ranks, then three of one; and the other way round.
two f --batch 2 --steps 3 > $TMP/f.json && one f --batch 4 --steps 6 --resume > $TMP/f2.json
one g --batch 4 --steps 3 > $TMP/g.json && two g --batch 2 --steps 6 --resume > $TMP/g2.json
for x in f g; do cat $TMP/$x.json $TMP/${x}2.json > $TMP/all.json; near $TMP/a.json $TMP/all.json; done
$SLM runs list --json | grep -o '"parent_step": [0-9][0-9]*'
# The same on two ranks twice gives the same bits.
two h --batch 2 --steps 6 > $TMP/h.json; cmp $TMP/b/checkpoint.safetensors $TMP/h/checkpoint.safetensors && echo same
# Trouble on one rank is one message, and no rank waits for ever.
apart() { timeout 60 mpirun -q -n 1 $SLM train $1 : -n 1 $SLM train $2 2> $TMP/err; echo $?; grep '^slm: ' $TMP/err; }
x="$o --batch 2 --steps 2 -q"
apart "$m $x" "$m $x --ids-file $TMP/none"
apart "$m $x" "tests/golden/qwen2 $x"
apart "$m $x" "$m $x --seq 16"
apart "$m $x -o /nowhere/x" "$m $x -o /nowhere/x"
OMPI_COMM_WORLD_SIZE=1 one i --batch 4 --steps 1 | grep -c loss
