#!/usr/bin/env bash
# Every public header, alone, as C11 and as C++11, without a warning.
. "$(dirname "$0")/lib.sh"
cxx=${CXX:-g++}
for h in include/slm/*.h; do
    for mode in "${CC:-gcc} -x c -std=c11 -Wstrict-prototypes" "$cxx -x c++ -std=c++11"; do
        printf '#include "%s"\n' "${h#include/}" |
            $mode -Wall -Wextra -Wpedantic -Wshadow -Wundef -Werror -Iinclude -fsyntax-only - 2>&1 | head -n 3 |
            verdict "$h as $(echo "$mode" | grep -o "c++11\|c11")"
    done
done
