# Every command has a page, the same by both ways, within 80 columns.
for c in $($SLM help | awk '/^  [a-z]/ { print $1 }'); do
    $SLM help $c > $TMP/a || echo "$c: no help"
    $SLM $c --help > $TMP/b || echo "$c: no --help"
    cmp $TMP/a $TMP/b
    head -n 1 $TMP/a | grep -q "^Usage: slm $c " || echo "$c: no usage"
    grep -q -e '--json' -e '^Commands:' $TMP/a || echo "$c: no --json"
    sed 1d $TMP/a | awk -v c=$c '/^Examples/ { exit } length($0) > 80 || / $/ { print c ": " $0 }'
done
