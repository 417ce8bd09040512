# A book as a paragraph a line: what printers and archivists put around the text goes (headings,
# notes on pictures, Markdown, hard line ends, typographic signs), verse keeps its lines.
# Works on bytes: run it with LC_ALL=C. Text marked <|endoftext|> is several tales: a form feed
# stands between them in what comes out.
function sign(s) {
    gsub(/\357\273\277/, "", s)                      # byte order mark
    gsub(/\r/, "", s)
    gsub(/\342\200\234|\342\200\235|\342\200\236|\302\253|\302\273/, "\"", s)
    gsub(/\342\200\230|\342\200\231|\342\200\262/, "'", s)
    gsub(/\342\200\224|\342\200\225/, "--", s)
    gsub(/\342\200\223|\342\200\220|\342\200\221/, "-", s)
    gsub(/\342\200\246/, "...", s)
    gsub(/\342\200\213|\342\201\240/, "", s)                  # blanks of no width
    gsub(/\302\240|\342\200\211|\t/, " ", s)
    gsub(/\\\*|\*/, "", s)                           # Markdown's stars
    gsub(/_/, "", s)                                 # underscores are italics
    gsub(/\{[0-9]+\}|\[[0-9]+\]|\[[A-Z]\]/, "", s)   # marks of notes and pages
    return s
}
# Is the paragraph a heading, a picture's caption, a rule, a title?
function idle(s,   t) {
    if (s ~ /^[ ]*(\[|\(Illustration|#|>|!\[|---|===)/) return 1
    if (s ~ /^[ ]*(CHAPTER|Chapter|BOOK|PART|Part|FOOTNOTE|Footnote|CONTENTS|PREFACE|THE END|The End|THE END\.|FINIS|INTRODUCTION|LIST OF|ILLUSTRATIONS)( |\.|:|$)/) return 1
    if (s !~ /[a-z]/) return 1                       # capitals, numerals, stars
    t = s
    gsub(/[^0-9]/, "", t)
    return length(t) * 4 > length(s)                 # tables of contents
}
function flush(   i, s, verse) {
    if (!n) return
    if (NR < 6 && n < 4 && length(line[1]) < 60) { n = 0; return }    # title and author
    if (n == 1 && line[1] ~ /^          /) { n = 0; return }          # a heading in the middle
    verse = n > 1
    for (i = 1; i <= n; i++)
        if (line[i] !~ /^  / && length(line[i]) > 44) verse = 0
    for (i = 2; i <= n; i++) if (line[i] ~ /^ *[a-z0-9]/) verse = 0       # prose set narrow
    if (verse) {
        for (i = 1; i <= n; i++) if (idle(line[i])) verse = 0
        for (i = 1; i <= n && verse; i++) { s = line[i]; sub(/^ +/, "", s); out(s) }
    }
    if (!verse) {
        s = ""
        for (i = 1; i <= n; i++) { sub(/^ +/, "", line[i]); s = s (i > 1 ? " " : "") line[i] }
        if (!idle(s) && !(n == 1 && length(s) < 60 && s !~ /[.!?,;:'"-] *$/)) out(s)
    }
    n = 0
}
function out(s) {
    gsub(/  +/, " ", s)
    sub(/ +$/, "", s)
    gsub(/ ?-- ?/, "--", s)
    if (s != "") print s
}
{
    $0 = sign($0)
    while ((at = index($0, "<|endoftext|>"))) {
        line[++n] = substr($0, 1, at - 1)
        if (line[n] ~ /^ *$/) n--
        flush()
        print "\f"
        $0 = substr($0, at + 13)
    }
    sub(/ +$/, "")
    if ($0 == "") flush()
    else if ($0 ~ /^#/) { flush(); print "\f" }
    else if (in_note || $0 ~ /^ *\[(Illustration|Transcriber|Footnote|Sidenote|Picture|Decorative)/) {
        flush()
        in_note = $0 !~ /\]/
    }
    else line[++n] = $0
}
END { flush() }
