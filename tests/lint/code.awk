# Prints C code as "file:line:text" without comments, and with strings emptied unless strings=1, so
# that the lints read code and not prose. Includes keep their names.
FNR == 1 { inside = 0 }
{
    out = ""
    s = $0
    if (!inside && s ~ /^[ \t]*#[ \t]*include/) {
        sub(/\/\*.*/, "", s)
        print FILENAME ":" FNR ":" s
        next
    }
    while (length(s)) {
        if (inside) {
            if (!(k = index(s, "*/"))) { s = ""; break }
            s = substr(s, k + 2); inside = 0
        } else if (match(s, /\/\*|\/\/|"|'/)) {
            out = out substr(s, 1, RSTART - 1)
            mark = substr(s, RSTART, RLENGTH)
            s = substr(s, RSTART + RLENGTH)
            if (mark == "/*") { inside = 1; out = out " " }
            else if (mark == "//") { s = "" }
            else {
                k = 1
                while (k <= length(s) && (c = substr(s, k, 1)) != mark) k += c == "\\" ? 2 : 1
                out = out mark (strings ? substr(s, 1, k - 1) : "") mark
                s = substr(s, k + 1)
            }
        } else { out = out s; s = "" }
    }
    print FILENAME ":" FNR ":" out
}
