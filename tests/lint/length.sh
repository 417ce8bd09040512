#!/usr/bin/env bash
# Lengths: files under 1,000 lines, functions under 100 lines and 6 parameters, the slm_err not
# counted. Tables (*.inc) are data. The share of functions under 60 lines is reported, not judged.
. "$(dirname "$0")/lib.sh"
files=(src/*/*.[ch] cli/*.[ch] include/slm/*.h tests/*/*.[ch])
wc -l "${files[@]}" | awk '$2 != "total" && $1 > 1000 { print $2 ": " $1 " lines" }' | verdict "files within 1,000 lines"

# Functions: from a "{" in the first column (or at the end of a line that starts there) to "}".
table=$(awk -f $lint/code.awk "${files[@]}" | awk '
    {
        at = index($0, ":"); file = substr($0, 1, at - 1); s = substr($0, at + 1)
        at = index(s, ":"); line = substr(s, 1, at - 1) + 0; s = substr(s, at + 1)
        if (file != last) { last = file; head = ""; body = 0 }
        if (body) { if (s ~ /^}/) { print file ":" start ":" name ":" line - start + 1 ":" params; body = 0; head = "" } next }
        if (s ~ /^[ \t]*#/ || s ~ /\\$/) { head = ""; next }
        if (s ~ /^[A-Za-z_]/ && head == "") { head = s; start = line } else if (head != "") head = head " " s
        if (s ~ /;[ \t]*$/ || s ~ /^}/) { if (s !~ /^{/) head = ""; next }
        if (s ~ /^{[ \t]*$/ || (s ~ /^[A-Za-z_].*{[ \t]*$/)) {
            if (head ~ /\(/ && head !~ /=[ \t]*{?[ \t]*$/ && head !~ /^(typedef|struct|enum|union)[ A-Za-z0-9_]*{/) {
                sub(/[ \t]*{[ \t]*$/, "", head)
                p = index(head, "("); name = substr(head, 1, p - 1); sub(/.*[ *]/, "", name)
                args = substr(head, p + 1); sub(/,[ \t]*slm_err \*err\)[ \t]*$/, ")", args); depth = 0; params = args ~ /^[ \t]*(void)?[ \t]*\)/ ? 0 : 1
                for (i = 1; i <= length(args); i++) {
                    c = substr(args, i, 1)
                    if (c == "(") depth++
                    else if (c == ")" && depth-- == 0) break
                    else if (c == "," && depth == 0) params++
                }
                body = 1
            } else head = ""
        }
    }')
echo "$table" | awk -F: 'NF == 5 && $4 > 100 { print $1 ":" $2 ":" $3 ": " $4 " lines" }' | allowed length |
    verdict "functions within 100 lines"
echo "$table" | awk -F: 'NF == 5 && $5 > 6 && $1 !~ /^src\/kernels\// { print $1 ":" $2 ":" $3 ": " $5 " parameters" }' |
    allowed params | verdict "functions within 6 parameters"
echo "$table" | awk -F: 'NF == 5 { n++; if ($4 < 60) k++ } END { if (n) printf "note: %d of %d functions (%.1f %%) are under 60 lines\n", k, n, 100 * k / n }'
