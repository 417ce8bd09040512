#!/usr/bin/env bash
# Form: 96 columns (of characters), no tabs, no blanks at line ends, a heading comment in each file.
. "$(dirname "$0")/lib.sh"
files=(src/*/*.[ch] cli/*.[ch] include/slm/*.h tests/*/*.[ch])
awk '{ s = $0; gsub(/[\200-\277]/, "", s); if (length(s) > 96) print FILENAME ":" FNR ": " length(s) " columns" }' "${files[@]}" |
    verdict "96 columns"
grep -n "$(printf '\t')" -- "${files[@]}" src/*/*.inc /dev/null | cut -c1-90 | verdict "no tabs"
grep -nE '[[:blank:]]+$' -- "${files[@]}" src/*/*.inc docs/*.md ./*.md /dev/null | cut -c1-90 | verdict "no blanks at line ends"
awk 'FNR == 1 && $0 !~ /^\/\*/ { print FILENAME }' "${files[@]}" | verdict "each file opens with what it owns"
