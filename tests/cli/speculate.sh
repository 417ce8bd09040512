say() { $SLM complete models/storyteller.gguf -q -p 'Once upon a time there was a dog. Once upon a' -n 40 "$@"; }
for t in "--temp 0" "--temp 0.9 --seed 7 --repeat-penalty 1.1"; do
    say $t --no-speculate > "$TMP/off"
    for how in "--speculate on" "--speculate always" "--speculate always --draft-max 3" \
        "--speculate always -md models/storyteller.gguf" "--draft-model=models/storyteller.gguf --draft-min 2"; do
        say $t $how > "$TMP/on"
        cmp "$TMP/off" "$TMP/on" && echo "the same"
    done
done
say --temp 0 --speculate always --json | grep -o '"drafted": [1-9][0-9]*, "accepted": [1-9]' | tr -d 0-9
$SLM complete models/storyteller.gguf -p 'A dog. A dog. A dog' -n 20 --temp 0 --speculate always -v 2>&1 | grep -o 'guesses right'
for wrong in "--speculate sometimes" "--no-speculate -md models/storyteller.gguf" "--speculate on --no-speculate" \
    "--draft-max 3 --draft-min 4" "--draft-max 48" "--speculate off --draft-min 2" "-md $TMP/none" \
    "-md tests/golden/llama"; do
    say $wrong
    echo $? >&2
done
