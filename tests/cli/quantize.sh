# Sizes are told before work and hold to the byte; what cannot be is refused, and no half file stays.
m=models/storyteller.gguf
$SLM convert $m $TMP/f32.gguf --type f32 -q
$SLM quantize $TMP/f32.gguf --type q4_k_m --dry-run | sed -n '1p;2p;$p'
$SLM quantize $TMP/f32.gguf $TMP/a.gguf --type Q4_0 --keep 'blk.0.*=q8_0' --keep ffn_norm=q8_0 -q; echo $?
$SLM quantize $TMP/f32.gguf $TMP/a.gguf --type Q4_0 --keep 'blk.0.attn*=q8_0' -q && stat -c %s $TMP/a.gguf
bytes=$($SLM quantize $TMP/f32.gguf $TMP/b.gguf --type Q4_K_M --target-size 3M --json -q | grep -o '"bytes": [0-9]*' | head -n 1)
[ "$bytes" = "\"bytes\": $(stat -c %s $TMP/b.gguf)" ] && [ "${bytes#*: }" -le 3000000 ] && echo fits
$SLM complete $TMP/b.gguf -p 'Once upon a time' -n 4 --temp 0 -q > $TMP/said; echo $?
rm $TMP/said
rm $TMP/*.gguf
for o in '--type Q4_0' '--type Q9_9' '--target-size 1' '--target-size x' '--type IQ1_S --allow-requantize' ''; do
    $SLM quantize $m $TMP/x.gguf $o; echo $?
done
$SLM quantize $m $TMP/x.bin --type Q8_0; echo $?
$SLM quantize $m --type Q8_0; echo $?
$SLM quantize tests/golden/llama $TMP/x.gguf --type Q4_K_M --keep attn_v=q4_K; echo $?
$SLM quantize tests/golden/qwen2 $TMP/y.gguf --type Q5_K_S 2>&1 | tail -n 2; echo $?
$SLM convert $m $TMP/x.gguf --type q4_K; echo $?
mkfifo $TMP/pipe.gguf; $SLM quantize $m $TMP/pipe.gguf --type Q4_K_M --target-size 3M --calibration /nowhere; echo $?
rm $TMP/pipe.gguf; mkdir $TMP/dir.gguf; $SLM imatrix $m -f /nowhere -o $TMP/dir.gguf; echo $?; rmdir $TMP/dir.gguf
(trap '' XFSZ; ulimit -f 1000; $SLM quantize $m $TMP/z.gguf --type Q8_0; echo $?) # as a full disk
ls $TMP
