cd $TMP
cat > a.jsonl << 'X'
{"text": "The quick brown fox jumps over the lazy dog and runs away from the big bad wolf in the night."}
{"text": "The quick brown fox jumps over the lazy dog, and runs away from the big, bad wolf in the night!"}
{"text": "The  quick brown fox jumps over the lazy dog and runs away from the big bad wolf in the night."}
{"text": "Something else: which nobody would take for the other, as its words are all different."}
not json
[1]
{"messages": [{"role": "system", "content": "Say yes."}, {"role": "user", "content": "Shall we?"}, {"role": "assistant", "content": "Yes."}]}
{"messages": [{"role": "system", "content": "Say no."}, {"role": "user", "content": "Shall we?"}, {"role": "assistant", "content": "Yes."}]}
{"question": "2 + 2?"}
{"question": "2 - 2?"}
X
$SLM data dedup a.jsonl -o out.jsonl --removed gone.jsonl
cat out.jsonl gone.jsonl
# one thread, many; one pass, several; checked or not: the same file
for o in "-t 1" "-t 4" "--verify" "--bands 20 --rows 4"; do $SLM data dedup a.jsonl -o b.jsonl -q $o && cmp out.jsonl b.jsonl; done
$SLM data dedup a.jsonl --exact -q --json | grep -o '"exact": 2, "near": 0, "kept": 6'
$SLM data dedup a.jsonl --by messages.user.content -q --json | grep -o '"exact": 1, "near": 0, "kept": 7'
$SLM data dedup a.jsonl --filter gopher -q --json --show 0 | grep -o '"filter": {"fewer than 50 words": 8,'
printf 'q,a\n"What, then?",x\nHow?,y\n"What,  then?",x\n' > c.csv
$SLM data dedup c.csv -o d.csv -q && cat d.csv
$SLM data dedup c.csv -o c.csv; $SLM data dedup a.jsonl -o x.csv; $SLM data dedup a.jsonl --filter best
$SLM data dedup a.jsonl --bands 3; $SLM data dedup nowhere.jsonl; ls
