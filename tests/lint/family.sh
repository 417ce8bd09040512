#!/usr/bin/env bash
# A family is a row: its name stands in the family table, in the name overrides and in the tests,
# and nowhere else in code. families.txt lists the words and the files that may hold them.
. "$(dirname "$0")/lib.sh"
words=$(awk '$1 == "word" { print $2 }' $lint/families.txt | paste -sd'|')
awk -v strings=1 -f $lint/code.awk src/*/*.[ch] cli/*.[ch] | grep -iE ":[0-9]+:.*($words)" |
    awk -v list=$lint/families.txt '
        BEGIN { while ((getline l < list) > 0) { split(l, a, " "); if (a[1] == "file") ok[a[2]] = 1 } }
        { split($0, p, ":"); if (!(p[1] in ok)) print }' | cut -c1-120 | verdict "family names in their tables only"
