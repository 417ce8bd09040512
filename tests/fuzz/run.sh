#!/usr/bin/env bash
# Lets each fuzzer of BUILD run for SECONDS on a scratch copy of its corpus; crashes are left in
# BUILD/crash. Usage: tests/fuzz/run.sh BUILD SECONDS [name ...]
set -u
build=$1 seconds=$2
shift 2
bad=0
mkdir -p "$build/crash"
for bin in "$build"/fuzz/fuzz_*; do
    name=${bin##*/fuzz_}
    case $name in *.d) continue ;; esac
    [ $# -eq 0 ] || case " $* " in *" $name "*) ;; *) continue ;; esac
    mkdir -p "$build/corpus/$name"
    seeds=tests/fuzz/corpus/$name
    log=$build/crash/$name.log
    if ! "$bin" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=65536 \
        -print_final_stats=1 -artifact_prefix="$build/crash/$name-" \
        "$build/corpus/$name" "$seeds" > "$log" 2>&1; then
        bad=$((bad + 1))
        echo "FAIL $name: see $log"
        tail -n 25 "$log"
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "$name: ${runs:-0} executions"
done
[ "$bad" -eq 0 ]
