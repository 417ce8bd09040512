# A shape in memory and in a file, several tests at once, and every form of output.
$SLM bench --shape smollm2-135m --type q4_0 -p 2 -n 2 -r 1 -d 0,3 --streams 1,2 -q --csv -t 1 | cut -d, -f1-7
$SLM bench --shape smollm2-135m --type q8_0 -o $TMP/m.gguf -q && $SLM show $TMP/m.gguf --json | grep -c smollm2
$SLM bench $TMP/m.gguf -p 2 -n 0 -r 1 -t 1 -q --csv --html $TMP/page.html | cut -d, -f1-7
grep -c '<svg' $TMP/page.html
$SLM bench --shape list | head -3
