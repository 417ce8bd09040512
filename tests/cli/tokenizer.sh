t=tests/data/lexicon/tale.txt
$SLM tokenizer train $t --vocab-size 480 --special '<s>,</s>' -o $TMP/t.json -q > /dev/null
$SLM tokenizer train $t --vocab-size 480 --special '<s>' --special '</s>' --add-bos --model-max 128 -o $TMP/folder --json -t 1 |
    sed 's/.*"vocab": \([0-9]*\), "merges": \([0-9]*\).*"sequences": \([0-9]*\).*/\1 \2 \3/'
ls $TMP/folder; grep model_max $TMP/folder/tokenizer_config.json
$SLM tokenizer train $t --type unigram --byte-fallback --vocab-size 400 --special '<unk>,<s>,</s>' -o $TMP/u.gguf -q > /dev/null
for x in $TMP/t.json $TMP/folder $TMP/u.gguf; do
    $SLM tokenize $x --no-bos --json < $t > $TMP/ids && $SLM tokenize $x --decode < $TMP/ids | cmp - $t && echo back
done
printf 'the geese' | $SLM tokenize $TMP/folder --json
$SLM tokenizer show $TMP/folder --on $t | sed "s|$TMP/||"
$SLM tokenizer compare $TMP/t.json $TMP/folder --on $t | tail -n 2
$SLM tokenizer train $t --vocab-size 200 -o $TMP/no.json; echo $?
$SLM tokenizer train $t --vocab-size 300; echo $?
$SLM tokenizer train $TMP/nothing -o $TMP/no.json; echo $?
: > $TMP/empty; $SLM tokenizer train $TMP/empty -o $TMP/no.json; echo $?
printf 'a\377b a\377b\nfine\n' > $TMP/bad; $SLM tokenizer train $TMP/bad --vocab-size 300 -o $TMP/ok.json > /dev/null; echo $?
[ ! -e $TMP/no.json ] && echo nothing written
