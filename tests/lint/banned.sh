#!/usr/bin/env bash
# Banned functions, unfinished business, and dead code.
. "$(dirname "$0")/lib.sh"
code=$(mktemp); trap 'rm -f "$code"' EXIT
awk -f $lint/code.awk src/*/*.[ch] cli/*.[ch] > "$code"
grep -E '(^|[^A-Za-z0-9_.>])(strcpy|strcat|strncat|stpcpy|sprintf|vsprintf|gets|strtok|strtok_r|alloca|__builtin_alloca|localtime|gmtime|asctime|ctime|atoi|atol|atof|tmpnam|mktemp|scanf|sscanf|fscanf|bcopy|bzero|assert)[ ]*\(' "$code" |
    verdict "no banned functions"
grep -E '#[ \t]*if[ \t]+0([ \t]|$)' "$code" | verdict "no code switched off"
grep -nE '\b(TODO|FIXME|XXX|HACK)\b' -- src/*/* cli/* include/slm/* tests/*/*.[ch] docs/* README.md 2> /dev/null |
    grep -v '^docs/.*TODO lint' | verdict "no unfinished business"
grep -nE '^[ \t]*//' -- src/*/*.[ch] cli/*.[ch] include/slm/* 2> /dev/null | verdict "block comments only"
for d in old attic deprecated; do find src cli include -name "$d" -type d; done | verdict "no attic"
