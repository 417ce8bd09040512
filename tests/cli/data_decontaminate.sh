cd $TMP
cat > eval.jsonl << 'X'
{"question": "Natalia sold clips to forty eight of her friends in April, and then she sold half as many in May.", "answer": "72 clips in all"}
{"question": "Which planet of the sun is the largest?", "answer": "Jupiter"}
{"question": "Two words"}
X
cat > a.jsonl << 'X'
{"text": "As was said: NATALIA sold clips to forty-eight of her friends in April and then went home."}
{"text": "Natalia sold clips to forty of her friends in April."}
{"prompt": "which planet of the Sun is the largest", "completion": "Saturn"}
{"prompt": "Two words", "completion": "Jupiter"}
nothing
X
$SLM data decontaminate a.jsonl --against eval.jsonl --ngram 10 -o out.jsonl --removed gone.jsonl
cat out.jsonl gone.jsonl
$SLM data decontaminate a.jsonl --against eval.jsonl -q --json | grep -o '"by_ngram": 1, "by_text": 1'
$SLM data decontaminate a.jsonl --against eval.jsonl --ngram 10 -t 4 -o out2.jsonl -q && cmp out.jsonl out2.jsonl
$SLM data decontaminate a.jsonl --against eval.jsonl --ngram 10 --against-by answer -q --json | grep -o '"runs": 0'
# what more rows than --common share is the form of the questions
for i in 1 2 3 4; do echo "{\"q\": \"choose the right answer to this question out of the four below $i\"}"; done > form.jsonl
echo '{"text": "Now choose the right answer to this question out of the four below: what is it?"}' > b.jsonl
for n in 3 0; do $SLM data decontaminate b.jsonl --against form.jsonl --ngram 8 --common $n -q --json | grep -o '"common_runs": [0-9]*\|"by_ngram": [0-9]*'; done
$SLM data decontaminate a.jsonl --against a.jsonl; $SLM data decontaminate a.jsonl; $SLM data decontaminate a.jsonl --against eval.jsonl -o eval.jsonl
