# Greedy continuation of ids, against the reference's; the same with one thread.
m=tests/golden/llama
ids() { tr -d ' \n' < $m/expect.json | sed -n "s/.*\"greedy\":{[^}]*\"$1\":\[\([0-9,]*\)\].*/\1/p" | tr , ' '; }
ids prompt > $TMP/ids
n=$(ids continuation | wc -w)
for t in 1 2; do
    $SLM complete $m --ids-file $TMP/ids -n $n --temp 0 --ignore-eos --exact --json -t $t |
        sed 's/.*"ids": \[\([^]]*\)\].*/\1/' | tr -d , > $TMP/got$t
done
[ "$(cat $TMP/got1)" = "$(ids continuation)" ] && cmp $TMP/got1 $TMP/got2 && echo same
