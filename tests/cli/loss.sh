# What models say of chosen and rejected answers, as a table and as JSON; what is refused.
m=tests/golden/llama
cat > $TMP/pairs.json <<'EOF'
[{"prompt": [1, 5, 9], "chosen": [7, 2], "rejected": [3, 4, 2]},
 {"prompt": [1], "chosen": [8, 8, 2], "rejected": [6]}]
EOF
$SLM loss $m --kind simpo --pairs $TMP/pairs.json
$SLM loss $m --kind dpo --pairs $TMP/pairs.json | tail -1
$SLM loss $m --kind orpo --lambda 0.5 --pairs $TMP/pairs.json --json -q | tr -d '0-9.-'
$SLM loss $m --kind kto --beta 0.3 --reference tests/golden/llama-bias --pairs $TMP/pairs.json --json | tr -d '0-9.-'
for bad in "--kind dpo" "--pairs $TMP/pairs.json" "--kind ppo --pairs x" "--kind dpo --pairs $TMP/none.json" \
    "--kind dpo --beta 0 --pairs x"; do
    $SLM loss $m $bad
    echo "exit $?"
done
echo '[{"prompt": [1], "chosen": [2], "rejected": []}]' > $TMP/empty.json
$SLM loss $m --kind dpo --pairs $TMP/empty.json
