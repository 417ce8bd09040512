m=models/storyteller.gguf g=tests/golden/llama
yes 'The king and the queen lived in a castle by the sea, and they had three sons.' | head -n 40 > $TMP/text
yes 'A mouse ran over the table and took the cheese from the plate of the old man.' | head -n 40 > $TMP/other
p="$SLM perplexity -q"
# With itself it is no distance apart, be it a model beside or a file, in whichever definition.
$p $m -f $TMP/text -c 64 --exact --save-base $TMP/base --chunks 4 > $TMP/alone
$p $m -f $TMP/text -c 64 --exact --kld $m --chunks 4 > $TMP/beside
$p $m -f $TMP/text --exact --kld $TMP/base --chunks 4 > $TMP/file
cmp $TMP/beside $TMP/file && head -n 1 $TMP/file | cmp - $TMP/alone && sed -n 2,3p $TMP/file
$p $m -f $TMP/text -c 64 -d lm-eval --exact --save-base $TMP/windows > /dev/null
$p $m -f $TMP/text -d lm-eval --exact --kld $TMP/windows | sed -n 3p
# The fast path is a little apart; side by side and by file give the same bits.
$p $m -f $TMP/text -c 64 --kld $m --chunks 4 --json | sed 's/"seconds".*//' > $TMP/beside
$p $m -f $TMP/text --kld $TMP/base --chunks 4 --json | sed 's/"seconds".*//' > $TMP/file
cmp $TMP/beside $TMP/file && cat $TMP/file
# llama.cpp's form, written and read.
$p $m -f $TMP/text -c 64 --exact --save-base $TMP/llama --base-form llama.cpp --chunks 4 > /dev/null
head -c 8 $TMP/llama; echo; $p $m -f $TMP/text --exact --kld $TMP/llama --chunks 4 | sed -n 2,3p
# What does not fit is refused, and no file is left.
for args in "-f $TMP/other --kld $TMP/base" "-f $TMP/text --kld $TMP/base" "-f $TMP/text -c 32 --kld $TMP/base" \
    "-f $TMP/text -d lm-eval --kld $TMP/base" "-f $TMP/text --kld $g" "-f $TMP/text --kld $TMP/nothing" \
    "-f $TMP/text -d lm-eval --save-base $TMP/x --base-form llama.cpp" "-f $TMP/text --save-base $TMP/x"; do
    $p $m $args; echo $?
done
head -c 3000 $TMP/base > $TMP/cut; $p $m -f $TMP/text --kld $TMP/cut; echo $?
(ulimit -f 100; trap '' XFSZ; $p $m -f $TMP/text -c 64 --save-base $TMP/full; echo $?)
ls $TMP
