cd $TMP
cat > neg.jsonl << 'X'
{"messages": [{"role": "system", "content": "Choose one of: play_music, set_timer, turn_on or none of these."}, {"role": "user", "content": "Wake me in ten minutes"}, {"role": "assistant", "content": "set_timer"}]}
{"messages": [{"role": "system", "content": "Choose one of:\n- play_music\n- set_timer\n- turn_on\n"}, {"role": "user", "content": "Some jazz, please"}, {"role": "assistant", "content": "play_music"}]}
{"prompt": "Pick: \"play_music\", \"set_timer\", \"turn_on\".\nText: light", "completion": "turn_on"}
{"prompt": "no options here play_music", "completion": "play_music"}
X
$SLM data negatives neg.jsonl --share .45 -o no.jsonl
cat no.jsonl
$SLM data negatives neg.jsonl --share .45 -o no2.jsonl -q -t 4 && cmp no.jsonl no2.jsonl
cat > tools.jsonl << 'X'
{"tools": [{"type": "function", "function": {"name": "get_weather"}}, {"type": "function", "function": {"name": "get_time"}}], "messages": [{"role": "user", "content": "Weather in Rome?"}, {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "get_weather", "arguments": "{}"}}]}, {"role": "tool", "content": "sun"}, {"role": "assistant", "content": "Sun."}]}
{"tools": [{"type": "function", "function": {"name": "play"}}], "messages": [{"role": "user", "content": "Play!"}, {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "play", "arguments": "{}"}}]}]}
X
$SLM data negatives tools.jsonl --share .5 -o t.jsonl --none "No tool for that." --none "I can not." -q; cat t.jsonl
cat > lab.jsonl << 'X'
{"text": "hi there", "options": ["greet", "bye"], "label": "greet"}
{"text": "see you", "options": ["greet", "bye"], "label": "bye"}
{"text": "how much", "options": ["price", "bye"], "label": "price"}
X
$SLM data negatives lab.jsonl --label label --options options --answer label --share .5 -o l.jsonl -q; cat l.jsonl
$SLM data negatives lab.jsonl --label label --share .4 --hold-out bye --from neg.jsonl -o l2.jsonl -q; cat l2.jsonl
echo '{"prompt": "hm", "labels": "a, b, c", "completion": "{\"intent\": \"b\", \"slots\": []}"}' > j.jsonl
$SLM data negatives j.jsonl --label completion.intent --options labels --share .5 -o k.jsonl -q; tail -n 1 k.jsonl
$SLM data negatives j.jsonl --label completion.intent --options labels --share .5 --none '{"intent": null}' -o k.jsonl -q; tail -n 1 k.jsonl
$SLM data negatives lab.jsonl --label label --hold-out byee; $SLM data negatives lab.jsonl --label nothing; $SLM data negatives lab.jsonl -o x.csv
