# Cleaned text (a paragraph a line, form feeds between tales) as rows of JSON: a tale, or some 8,000
# bytes of a book up to the end of a paragraph, is one row.
function put() {
    if (length(text) > 200) printf "{\"work\":\"%s\",\"text\":\"%s\"}\n", work, text
    text = ""
}
/^\f$/ { put(); next }
{
    gsub(/\\/, "")
    gsub(/"/, "\\\\\"")
    gsub(/[\001-\037]/, " ")
    text = text (text == "" ? "" : "\\n") $0
    if (length(text) > 8000) put()
}
END { put() }
