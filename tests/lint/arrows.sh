#!/usr/bin/env bash
# The law of arrows: who may include whom, who may call what, and no mutable globals.
. "$(dirname "$0")/lib.sh"
code=$(mktemp); trap 'rm -f "$code"' EXIT
awk -f $lint/code.awk src/*/*.[ch] src/*/*.inc cli/*.[ch] > "$code"

# Includes: the own room, or the face of a room on a lower floor; the command line sees slm/ only.
awk -v rooms=$lint/rooms.txt '
    BEGIN {
        while ((getline l < rooms) > 0) {
            n = split(l, a, " ")
            if (a[1] == "#") continue
            floor[a[1]] = a[2]
            for (i = 3; i <= n; i++) face[a[1] "/" a[i]] = 1
        }
    }
    match($0, /#[ \t]*include[ \t]*"[^"]*"/) {
        split($0, p, ":"); n = split(p[1], d, "/")
        inc = substr($0, RSTART, RLENGTH); sub(/^[^"]*"/, "", inc); sub(/"$/, "", inc)
        if (inc ~ /^slm\//) next
        k = index(inc, "/"); room = k ? substr(inc, 1, k - 1) : ""
        if (d[1] == "cli") { if (k && room != "cli") print p[1] ":" p[2] ": includes " inc; next }
        own = d[2]
        if (!(own in floor)) { print p[1] ": room " own " is not in rooms.txt"; next }
        if (!k || room == own) next
        if (!(room in floor)) print p[1] ":" p[2] ": includes " inc ", which is no room"
        else if (floor[room] + 0 >= floor[own] + 0) print p[1] ":" p[2] ": includes " inc " (not below)"
        else if (!((room "/*") in face) && !(inc in face)) print p[1] ":" p[2] ": includes " inc " (not the face)"
    }' "$code" | verdict "includes run down"

grep -E '#[ \t]*include[ \t]*<(pthread|sys/[a-z]+|unistd|fcntl|dirent|sched|linux/[a-z]+)\.h>' "$code" |
    grep -vE '^(src/base|cli)/' | verdict "system headers in base only"
grep -E '#[ \t]*include[ \t]*<([a-z0-9]*intrin|arm_[a-z]+)\.h>' "$code" |
    grep -vE '^src/kernels/[a-z0-9_]*_(avx2|avxvnni|avx512|avx512vnni|avx512vbmi|avx512bf16|amx|neon|dotprod|i8mm)\.[ch]:' |
    verdict "intrinsics in kernels/*_isa only"
grep -E '#[ \t]*include[ \t]*<(jansson|pcre2|utf8proc|sqlite3|mpi|histedit|editline/[a-z]+)\.h>' "$code" | sort |
    awk -F: '{ match($3, /<.*>/); h = substr($3, RSTART, RLENGTH); if (seen[h]++) print $1 ":" $2 ": " h " is behind another file already" }' |
    verdict "each outside library behind one file"

# found NAMES: calls of these functions, as file:line:name.
found() {
    grep '^src/' "$code" | awk -v names="$1" '
        { at = index($0, ":"); rest = substr($0, at + 1); at2 = index(rest, ":"); s = " " substr(rest, at2 + 1)
          while (match(s, "[^A-Za-z0-9_.>](" names ")[ ]*\\(")) {
              n = substr(s, RSTART + 1, RLENGTH - 2); sub(/ +$/, "", n)
              print substr($0, 1, at) substr(rest, 1, at2) n
              s = substr(s, RSTART + RLENGTH) } }'
}
found 'printf|fprintf|vprintf|vfprintf|puts|fputs|putchar|perror|exit|_exit|quick_exit|abort|getenv|secure_getenv|setenv|system|popen' |
    allowed call | verdict "no talk and no end below the command line"
found 'malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|strdup|strndup|asprintf|free' |
    allowed heap | verdict "heap through slm_alloc"
found 'setlocale|strtok|rand|srand|signal|longjmp|setjmp' | verdict "no state of the process"

# No mutable globals: nothing in .data or .bss (constant tables with pointers lie in .data.rel.ro).
if [ -f "$build/libslm.a" ]; then
    objdump -t "$build/libslm.a" | awk '
        /file format/ { obj = $1 }
        ($4 ~ /^\.(data|bss|tdata|tbss)/ || $4 == "*COM*") && $4 !~ /^\.data\.rel\.ro/ && $3 !~ /d/ && $5 !~ /^0+$/ { print obj " " $4 " " $NF }
        ($3 ~ /^\.(data|bss|tdata|tbss)/ || $3 == "*COM*") && $3 !~ /^\.data\.rel\.ro/ && $2 !~ /d/ && $4 !~ /^0+$/ { print obj " " $3 " " $NF }' |
        grep -v '__gcov\|__asan\|__ubsan' | verdict "no mutable globals"
fi
