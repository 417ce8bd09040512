# Shared by the lints: LC_ALL, the source lists, `allowed`, and `verdict`. Each lint gathers what it
# finds as lines of text and prints one line a rule: "ok rule" or "FAIL rule: what".
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
lint=tests/lint
build=${1:-build}
shopt -s nullglob

# allowed RULE: filters lines "file:line:name..." through allow.txt.
allowed() {
    awk -v rule="$1" -v list=$lint/allow.txt '
        BEGIN { while ((getline l < list) > 0) { split(l, a, " "); if (a[1] == rule) ok[a[2] SUBSEP a[3]] = 1 } }
        { split($0, p, ":"); if (!((p[1] SUBSEP "*") in ok) && !((p[1] SUBSEP p[3]) in ok)) print }'
}

# verdict NAME: reads findings from stdin.
verdict() {
    local name=$1 found
    found=$(cat)
    if [ -z "$found" ]; then
        echo "ok $name"
    else
        while IFS= read -r line; do echo "FAIL $name: $line"; done <<< "$found" | head -n 20
    fi
}
