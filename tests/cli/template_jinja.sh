cat > $TMP/t.jinja <<'T'
{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<go>{% endif %}
T
echo '[{"role": "user", "content": "hi \u00e9"}]' > $TMP/m.json
echo '{"bos_token": "B"}' > $TMP/v.json
t() { $SLM template $TMP/t.jinja --messages $TMP/m.json "$@"; echo; }
t
t --no-generation-prompt --vars $TMP/v.json
t --json < /dev/null
printf '%s\n' '{"messages": [{"role": "a", "content": "b"}], "add_generation_prompt": false}' 'nonsense' | $SLM template $TMP/t.jinja --lines --json
echo '{"template": "{{ a + 1 }}", "vars": {"a": 2}}' | $SLM template - --lines --json
echo '{{ strftime_now("%Y-%m-%d %H:%M:%S") }}' > $TMP/now.jinja
$SLM template $TMP/now.jinja --messages $TMP/m.json --now 2024-07-26T15:04:05; echo
