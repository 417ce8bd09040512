echo '{% if %}' > $TMP/bad.jinja
echo '{{ raise_exception("no such role") }}' > $TMP/raise.jinja
echo '[]' > $TMP/m.json
echo '[' > $TMP/half.json
try() { $SLM template "$@"; echo "exit $?"; }
try $TMP/bad.jinja --messages $TMP/m.json
try $TMP/raise.jinja --messages $TMP/m.json
try $TMP/raise.jinja --messages $TMP/half.json
try $TMP/raise.jinja
try $TMP/raise.jinja --messages $TMP/m.json --now yesterday
try - --messages $TMP/m.json
