#!/usr/bin/env bash
# Command line tests: each tests/cli/x.sh runs in the project's root with $SLM (the program) and $TMP
# (an empty folder of its own). Beside it may lie
#   x.stdout.exact   stdout, byte for byte          x.stdout.glob   a shell pattern for each line
#   x.stderr.exact   stderr, the same               x.stderr.glob   (a line "..." stands for any lines)
#   x.exit           the exit code, 0 without it
# A script without x.stdout.* must still end with its code. Usage: tests/cli.sh BUILD [name ...]
set -u
cd "$(dirname "$0")/.." || exit 2
build=$1
shift
export SLM=$PWD/$build/slm LC_ALL=C.UTF-8 TERM=dumb
case $build in /*) SLM=$build/slm ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export SLM_RUNS=$work/runs.db # what tests train is no part of anyone's record

# lines_match PATTERNS TEXT: line by line; "..." takes any number of lines.
lines_match() {
    local -a pat txt
    mapfile -t pat < "$1"
    mapfile -t txt < "$2"
    local i=0 j=0 any=-1 back=0
    while [ $j -lt ${#txt[@]} ]; do
        if [ $i -lt ${#pat[@]} ] && [ "${pat[i]}" = ... ]; then
            any=$i back=$j i=$((i + 1))
        elif [ $i -lt ${#pat[@]} ] && [[ ${txt[j]} == ${pat[i]} ]]; then
            i=$((i + 1)) j=$((j + 1))
        elif [ $any -ge 0 ]; then
            back=$((back + 1)) j=$back i=$((any + 1))
        else
            echo "line $((j + 1)) is \"${txt[j]}\", want \"${pat[i]-nothing}\""
            return 1
        fi
    done
    while [ $i -lt ${#pat[@]} ] && [ "${pat[i]}" = ... ]; do i=$((i + 1)); done
    [ $i -eq ${#pat[@]} ] || { echo "ends before \"${pat[i]}\""; return 1; }
}

check_stream() {
    local base=$1 stream=$2 got=$3
    if [ -f "$base.$stream.exact" ] && ! cmp -s "$base.$stream.exact" "$got"; then
        echo "$stream differs: $(diff "$base.$stream.exact" "$got" | sed -n 2,3p | tr '\n' ' ')"
    elif [ -f "$base.$stream.glob" ]; then
        lines_match "$base.$stream.glob" "$got" | sed "s/^/$stream: /"
    fi
}

shopt -s nullglob
for script in tests/cli/*.sh; do
    base=${script%.sh} name=${script##*/}
    name=${name%.sh}
    [ $# -eq 0 ] || case " $* " in *" $name "*) ;; *) continue ;; esac
    rm -rf "$work/tmp"
    mkdir "$work/tmp"
    TMP=$work/tmp timeout 120 bash "$script" > "$work/out" 2> "$work/err" < /dev/null
    rc=$?
    want=0
    [ -f "$base.exit" ] && want=$(cat "$base.exit")
    why=
    [ "$rc" -eq "$want" ] || why="exit code $rc, want $want: $(tail -n 1 "$work/err")"
    [ -n "$why" ] || why=$(check_stream "$base" stdout "$work/out")
    [ -n "$why" ] || why=$(check_stream "$base" stderr "$work/err")
    if [ -z "$why" ]; then echo "ok cli/$name"; else echo "FAIL cli/$name: $why"; fi
done
