m=models/storyteller.gguf o="--type Q4_0 --allow-requantize --method gptq"
for i in 1 2 3 4 5 6 7 8; do
    echo "The old man went down to the sea with his $i nets, and the wind came over the hills."
    echo "\"Who is there?\" said the king; but nobody answered, for the $i mice had hidden under the floor."
    echo "A little girl found a golden key in the snow, and looked for $i days for the lock that it fitted."
done > $TMP/text
$SLM quantize $m $TMP/a.gguf $o --calibration $TMP/text -q; echo $?
$SLM quantize $m $TMP/b.gguf --type Q4_0 --allow-requantize -q 2> /dev/null; echo $?
[ $(wc -c < $TMP/a.gguf) = $(wc -c < $TMP/b.gguf) ] && cmp -s $TMP/a.gguf $TMP/b.gguf; echo $?
a=$($SLM perplexity $TMP/a.gguf -f $TMP/text -d lm-eval -c 256 --kld $m -q --json | grep -o '"kld_mean": [0-9.]*' | cut -c 13-)
b=$($SLM perplexity $TMP/b.gguf -f $TMP/text -d lm-eval -c 256 --kld $m -q --json | grep -o '"kld_mean": [0-9.]*' | cut -c 13-)
awk "BEGIN { print ($a < 0.7 * $b) }"
# A target with measured sensitivity keeps within its bytes and diverges less than the mix of as many.
n=$(wc -c < $TMP/b.gguf)
$SLM quantize $m $TMP/c.gguf --type Q4_0 --allow-requantize --target-size $n --calibration $TMP/text -q; echo $?
[ $(wc -c < $TMP/c.gguf) -le $n ]; echo $?
c=$($SLM perplexity $TMP/c.gguf -f $TMP/text -d lm-eval -c 256 --kld $m -q --json | grep -o '"kld_mean": [0-9.]*' | cut -c 13-)
awk "BEGIN { print ($c < $b) }"
rm $TMP/c.gguf
echo short > $TMP/short
for args in "--type Q4_0 --method gptq" "--type Q4_0 --calibration $TMP/text" "--type Q4_0 --chunks 3" \
    "$o --calibration $TMP/short" "$o --calibration $TMP/none" "--type Q4_0 --method best"; do
    $SLM quantize $m $TMP/c.gguf $args -q; echo $?
done
ls $TMP
