# Training: lines of JSON, the plan alone, refusals, killed and gone on with the same bytes, a full disk.
M=tests/golden/llama
for i in $(seq 1 512); do echo $((i * i % 59 + 3)); done > "$TMP/ids"
run="$SLM train $M --ids-file $TMP/ids --seq 32 --batch 2 --steps 12 --lr 1e-3 --save-every 1 -t 2 -q"
$SLM train $M --ids-file "$TMP/ids" --batch 2 --seq 32 --steps 2 --lr 1e-3 --beta1 .9 --beta2 .95 --eps 1e-8 \
    --weight-decay .1 --clip 1 --schedule constant --precision f32 --seed 1 -o "$TMP/json" --json -q
ls "$TMP/json" | grep -v tmp
$SLM train $M --ids-file "$TMP/ids" --seq 32 --batch 2 --steps 3 --dry-run --json -q
$SLM train $M --ids-file "$TMP/ids" --seq 32 --steps 3 --memory 0.001 -q; echo $?
$SLM train $M -q; echo $?
$SLM train $M --ids-file "$TMP/ids" --seq 32 --optimizer none -q; echo $?
# killed at several moments, then to the end: as if nothing had been
$run -o "$TMP/whole" 2> /dev/null
for wait in 0.02 0.05 0.1 0.2; do
    $run -o "$TMP/killed" --resume 2> /dev/null &
    sleep $wait
    kill -9 $! 2> /dev/null
    wait $! 2> /dev/null
done
$run -o "$TMP/killed" --resume 2> /dev/null
cmp "$TMP/whole/model.safetensors" "$TMP/killed/model.safetensors" && echo same model
cmp "$TMP/whole/checkpoint.safetensors" "$TMP/killed/checkpoint.safetensors" && echo same checkpoint
$SLM train $M --ids-file "$TMP/ids" --seq 32 --batch 2 --steps 12 --lr 2e-3 -o "$TMP/killed" --resume -q; echo $?
# a disk that fills: the checkpoint before stays whole, and is gone on from
$SLM train $M --ids-file "$TMP/ids" --seq 32 --batch 2 --steps 3 -o "$TMP/full" -q 2> /dev/null
cp "$TMP/full/checkpoint.safetensors" "$TMP/before"
(trap '' XFSZ; ulimit -f 64; $SLM train $M --ids-file "$TMP/ids" --seq 32 --batch 2 --steps 6 -o "$TMP/full" --resume -q); echo $?
cmp "$TMP/before" "$TMP/full/checkpoint.safetensors" && echo untouched
# a new model, its adapter
$SLM train --init llama --width 32 --layers 2 --heads 4 --ffn 48 --vocab 64 --ids-file "$TMP/ids" --seq 32 --batch 2 \
    --steps 3 -o "$TMP/new" --gguf "$TMP/new.gguf" -q 2> /dev/null
$SLM train "$TMP/new" --ids-file "$TMP/ids" --seq 32 --batch 2 --steps 3 --lora --lora-r 4 --lora-targets q_proj,v_proj \
    -o "$TMP/adapter" -q 2> /dev/null
ls "$TMP/adapter"
