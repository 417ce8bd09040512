#!/usr/bin/env bash
# make check: everything `make test` runs, built and run in every way that the house promises. Each
# way has a build folder of its own (build-check-*), kept between runs. Ends with "N passed, N failed",
# the sum over all ways. Ways may be named: tests/check.sh gcc clang san tsan levels arm torture
set -u
cd "$(dirname "$0")/.." || exit 2
ways=${*:-gcc clang san tsan levels arm torture}
jobs=$(nproc 2> /dev/null || echo 1)
passed=0 failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

bad() { failed=$((failed + 1)); echo "FAIL $1"; }
good() { passed=$((passed + 1)); }

# add: counts the sum that $log ends with.
add() {
    local p f
    read -r p f < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$log" | tail -n 1)
    if [ -z "${p:-}" ]; then
        tail -n 25 "$log"
        bad "$1: did not get as far as its tests"
    else
        passed=$((passed + p)) failed=$((failed + f))
        grep -A24 'failed' "$log" | grep -v '^[0-9]* passed' | grep -E 'failed|FAIL|rror|      '
        echo "== $1: $p passed, $f failed"
    fi
}

# build DIR VARIABLE=...: all programs and tests.
build() {
    local dir=build-check-$1
    shift
    make -s -j"$jobs" BUILD="$dir" "$@" all tests > "$log" 2>&1 && return 0
    grep -E 'error|warning|undefined|\*\*\*' "$log" | head -n 20
    bad "$dir does not build"
    return 1
}

suite() {
    local dir=build-check-$1
    shift
    make -s --no-print-directory BUILD="$dir" "$@" test > "$log" 2>&1
    add "$dir $*"
}

# programs DIR PATTERN: the test programs of a build whose name matches.
programs() {
    find "build-check-$1/tests" -type f -perm -u+x ! -name '*.so' | grep -E "$2" | sort
}

# only DIR LABEL PATTERN: runs those alone.
only() {
    local p n=0
    for p in $(programs "$1" "$3"); do
        n=$((n + 1))
        local corpus=()
        case $p in */replay_*) corpus=("tests/fuzz/corpus/${p##*/replay_}") ;; esac
        if timeout 900 "$p" "${corpus[@]}" > "$log" 2>&1; then
            good
        else
            grep -E 'FAILED|rror|WARNING|SUMMARY' "$log" | head -n 8
            bad "$2: ${p##*/}"
        fi
    done
    [ $n -gt 0 ] || bad "$2: no program matches $3"
    echo "== $2: $n programs"
}

for way in $ways; do
    case $way in
    gcc) build gcc CC=gcc WERROR=1 DEBUG=1 && suite gcc CC=gcc WERROR=1 DEBUG=1 ;;
    clang) build clang CC=clang WERROR=1 && suite clang CC=clang WERROR=1 ;;
    san)
        export ASAN_OPTIONS=detect_stack_use_after_return=1:allocator_may_return_null=1
        build san CC=gcc SAN=1 OPT='-O1 -g' && only san 'ASan and UBSan' '/(unit|golden|grad|kern|fuzz)/(test|replay)_[a-z0-9_]*$'
        SLM=build-check-san/slm tests/cli.sh build-check-san > "$log"
        echo "$(grep -c '^ok' "$log") passed, $(grep -c '^FAIL' "$log") failed" >> "$log"
        add 'build-check-san cli'
        unset ASAN_OPTIONS
        ;;
    tsan) build tsan CC=gcc TSAN=1 OPT='-O1 -g' &&
        only tsan TSan '/(test_(base|pool|thread|graph|session|model|generate|runtime)[a-z_]*)$' ;;
    levels)
        build gcc CC=gcc WERROR=1 DEBUG=1 || continue
        for cpu in generic avx2 best; do
            for threads in 1 4; do
                export SLM_TEST_THREADS=$threads
                if [ $cpu = best ]; then unset SLM_CPU; else export SLM_CPU=$cpu; fi
                only gcc "level $cpu, $threads threads" '/(unit|golden|grad)/test_(graph|model|session|generate|family|op|golden|grad)[a-z0-9_]*$'
            done
            unset SLM_TEST_THREADS
            # The same bits on any number of threads, at this level.
            for n in 1 2 3 4; do
                build-check-gcc/slm logits models/storyteller.gguf --ids-file tests/data/ids.txt -t $n \
                    -o "$log.$n" --fast 2> /dev/null || bad "logits at $cpu with $n threads"
                if [ $n -gt 1 ]; then
                    if cmp -s "$log.1" "$log.$n"; then good; else bad "logits at $cpu: $n threads differ from one"; fi
                fi
            done
            rm -f "$log".?
        done
        unset SLM_CPU
        ;;
    arm)
        if make -s -j"$jobs" arm-check > "$log" 2>&1; then
            good
        else
            tail -n 15 "$log"
            bad 'aarch64 under qemu-user'
        fi
        echo '== aarch64 kernels under qemu-user'
        ;;
    torture)
        build gcc CC=gcc WERROR=1 DEBUG=1 || continue
        SLM_TORTURE=full only gcc 'every allocation fails once' '/test_torture$'
        ;;
    *) bad "no such way: $way" ;;
    esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
