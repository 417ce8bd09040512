#!/usr/bin/env bash
# Names: one prefix on everything with external linkage, unique file names, exports as declared.
. "$(dirname "$0")/lib.sh"
if [ -f "$build/libslm.a" ]; then
    nm -g --defined-only "$build/libslm.a" 2> /dev/null | awk 'NF == 3 && $3 !~ /^(slm_|\.?__)/ { print $3 }' |
        verdict "external names begin with slm_"
fi
printf '%s\n' src/*/*.[ch] src/*/*.inc cli/*.[ch] tests/*/*.[ch] | awk -F/ '
    seen[$NF] { print $0 " and " seen[$NF] } { seen[$NF] = $0 }' | verdict "file names are unique"
printf '%s\n' src/*/* cli/* include/slm/* tests/*/*.[ch] | awk -F/ '$NF !~ /^[a-z0-9_]+(\.[a-z0-9]+)?$/' |
    verdict "file names are snake_case"

# A shared library exports what the public headers declare with SLM_API, no more and no less.
if [ -f "$build/libslm.so" ]; then
    declared=$(printf '#include "%s"\n' include/slm/*.h | ${CC:-gcc} -std=c11 -E -P -I. -Iinclude -DSLM_API=SLM_MARK -x c - |
        tr '\n' ' ' | tr ';{}' '\n\n\n' | sed -n 's/.*SLM_MARK[^(]*[ *]\(slm_[a-z0-9_]*\) *(.*/\1/p' | sort -u)
    exported=$(nm -D --defined-only "$build/libslm.so" | awk '$3 !~ /^(_init|_fini|_edata|_end|__bss_start)$/ { print $3 }' | sort -u)
    { comm -23 <(echo "$declared") <(echo "$exported") | sed 's/$/: declared, not exported/'
      comm -13 <(echo "$declared") <(echo "$exported") | sed 's/$/: exported, not declared/'; } |
        verdict "exports are the headers"
fi
