#!/usr/bin/env bash
# Runs every test of a build and adds up. Usage: tests/run.sh [--lint] BUILD [PROGRAM ...]
#
# A program speaks cmocka ("[  PASSED  ] 5 test(s)."), or prints "ok name" and "FAIL name: why"
# lines, or ends with "N passed, N failed". One that crashes, runs nothing, skips something or ends
# with an exit code of its own counts as a failure and is named. Nothing here is skipped: what cannot
# run has failed. Programs run side by side, as many as there are cores; logs stay in BUILD/log.
set -u
cd "$(dirname "$0")/.." || exit 2
lint_only=0
[ "$1" = --lint ] && { lint_only=1; shift; }
build=$1
shift
log=$build/log
rm -rf "$log"
mkdir -p "$log"
export SLM=$build/slm
jobs_max=${JOBS:-$(nproc 2> /dev/null || echo 1)}
limit=${TEST_TIMEOUT:-600}

# start NAME COMMAND...: in the background, output to log/NAME.out, exit code to log/NAME.rc.
names=()
start() {
    local name=$1
    shift
    names+=("$name")
    mkdir -p "$log/$(dirname "$name")"
    while [ "$(jobs -rp | wc -l)" -ge "$jobs_max" ]; do wait -n; done
    { timeout "$limit" "$@" > "$log/$name.out" 2>&1 < /dev/null; echo $? > "$log/$name.rc"; } &
}

if [ $lint_only = 0 ]; then
    for p in "$@"; do start "${p#"$build"/tests/}" "$p"; done
    for p in "$build"/tests/fuzz/replay_*; do
        case $p in *.d) continue ;; esac
        start "fuzz/${p##*/}" "$p" "tests/fuzz/corpus/${p##*/replay_}"
    done
    start cli tests/cli.sh "$build"
    start install tests/install.sh "$build"
    start headers tests/lint/headers.sh "$build"
fi
for l in arrows names length banned style family; do start "lint/$l" tests/lint/$l.sh "$build"; done
wait

# One log to "passed failed reason".
tally() {
    awk -v rc="$1" '
        /^\[==========\].* [0-9]+ test\(s\) run\./ { for (i = 1; i < NF; i++) if ($(i + 1) == "test(s)") run += $i; cm = 1 }
        /^\[==========\].*Running [0-9]+ test\(s\)/ { cm = 1; groups++ }
        /^\[==========\].* run\./ { groups-- }
        /^\[  PASSED  \]/ { for (i = 1; i < NF; i++) if ($(i + 1) ~ /^test\(s\)/) pass += $i }
        /^\[  SKIPPED \].*test\(s\)/ { skip = 1 }
        /^ok / { pass++; plain = 1 }
        /^FAIL / { fail++; plain = 1 }
        /^[0-9]+ passed, [0-9]+ failed$/ { last_p = $1; last_f = $3; sum = 1 }
        END {
            if (sum && !cm) { pass = last_p; fail = last_f }
            if (cm) { if (run > pass) fail += run - pass; if (groups > 0) { fail++; why = "did not finish" } }
            if (skip) why = "skipped tests"
            if (rc == 124) { fail++; why = "ran out of time" }
            else if (rc > 128) { fail++; why = "killed by signal " rc - 128 }
            else if (rc && !fail) { fail++; why = "exit code " rc }
            if (pass + fail == 0) { fail = 1; why = "ran no test" }
            print pass + 0, fail + 0, why
        }' "$2"
}

passed=0 failed=0
for name in "${names[@]}"; do
    read -r p f why < <(tally "$(cat "$log/$name.rc")" "$log/$name.out")
    passed=$((passed + p)) failed=$((failed + f))
    if [ "$f" -eq 0 ]; then
        printf '  %-28s %4d passed\n' "$name" "$p"
    else
        printf '  %-28s %4d passed, %d failed%s\n' "$name" "$p" "$f" "${why:+ ($why)}"
        grep -E '^FAIL |^\[  FAILED  \] |^\[  ERROR|: error: |ERROR: |runtime error|WARNING: Thread|broken promise' "$log/$name.out" |
            grep -v 'test(s)' | cut -c1-240 | head -n 24 | sed 's/^/      /'
    fi
    grep -h '^note: ' "$log/$name.out" | sed 's/^/      /'
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
