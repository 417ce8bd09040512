# Requests to a smart home and the JSON that answers them, from lists of phrases and devices (the "piles" of
# home-llm): rows of JSON with "prompt" and "completion". Each row is drawn from a phrase, its devices and its
# values by random numbers of our own, so that every awk draws the same. Lists come as files:
#   awk -v rows=20000 -v seed=1 -f rows.awk pile_of_device_names.csv pile_of_templated_actions.csv ...
# One row in `every` is a held-out one: its combination of phrase and devices goes to the file `held`, and what
# is drawn for training never has such a combination. No row is drawn twice.

function random(n) {                                 # 0 .. n - 1, Lehmer's generator
    state = (state * 16807) % 2147483647
    return state % n
}
function hash(s,   i, h) {                           # of a combination: which side it is on
    h = 7
    for (i = 1; i <= length(s); i++) h = (h * 31 + code[substr(s, i, 1)]) % 1000003
    return h
}
# Fields of a line of CSV into f[]; a line may open a quote that it never closes.
function csv(s, f,   n, c, i, quoted, text) {
    n = 0; quoted = 0; text = ""
    for (i = 1; i <= length(s); i++) {
        c = substr(s, i, 1)
        if (c == "\"") quoted = !quoted
        else if (c == "," && !quoted) { f[++n] = text; text = "" }
        else text = text c
    }
    f[++n] = text
    return n
}
function json(s) { gsub(/\\/, "", s); gsub(/"/, "\\\\\"", s); return s }
function words(list, to,   n) { n = split(list, to, ","); return n }

BEGIN {
    for (i = 32; i < 127; i++) code[sprintf("%c", i)] = i
    state = seed + 1000
    n_color = words("red,green,blue,yellow,orange,purple,pink,white,warm white,cool white", color)
    n_fan = words("low,medium,high,auto", fan_mode)
    n_hvac = words("heat,cool,auto,off,dry", hvac)
}
{ sub(/\r$/, ""); gsub(/[^ -~]/, "") }
FNR == 1 { kind = FILENAME; sub(/.*pile_of_/, "", kind); sub(/\..*/, "", kind); if (kind != "todo_items") next }
kind == "device_names" && csv($0, f) >= 2 {
    type = f[1]; sub(/\..*/, "", type)
    name = tolower(f[2])
    if (name == "" || (name in known)) next          # a name for two devices says nothing
    known[name] = 1
    dev[type, n_dev[type]++] = name
    id[type, name] = f[1]
    next
}
kind == "templated_actions" && csv($0, f) >= 3 { add(f[1], f[2], f[3]); next }
kind == "status_requests" && csv($0, f) >= 3 { if (!((f[1], f[3]) in asked)) add(f[1], "get_state", f[3]); asked[f[1], f[3]] = 1; next }
kind == "durations" && csv($0, f) >= 2 { dur_name[n_dur] = tolower(f[2]); dur[n_dur++] = f[1]; next }
kind == "todo_items" { todo[n_todo++] = $0; next }

function add(type, service, phrase) {
    sub(/ +$/, "", phrase)
    # a phrase that its list cuts off, or one without a slot for what it needs, is none
    if (phrase !~ /<device_name|<temp|<humidity|<fan_mode|<hvac_mode/ || phrase ~ /,$/) return
    t_type[n_t] = type; t_service[n_t] = service; t_phrase[n_t++] = phrase
}
# Puts a value for a slot into the phrase; what it adds to the call.
function fill(slot, shown, key, value) {
    if (index(phrase, "<" slot ">") == 0) return ""
    sub("<" slot ">", shown, phrase)
    return ",\"" key "\":" value
}
function draw(   t, n, i, types, services, type, name, slot, calls, more, k, key) {
    t = random(n_t)
    phrase = t_phrase[t]
    n = split(t_type[t], types, "|")
    split(t_service[t], services, "|")
    key = t; calls = ""
    for (i = 1; i <= n; i++) {
        type = types[i]
        slot = n == 1 ? "<device_name>" : "<device_name" i ">"
        more = ""
        if (index(phrase, slot)) {
            if (!n_dev[type]) return 0
            name = dev[type, random(n_dev[type])]
            sub(slot, name, phrase)
            more = ",\"device\":\"" id[type, name] "\""
            key = key "|" name
        }
        if (i == 1) {
            k = 1 + random(100); more = more fill("brightness", k, "brightness", k)
            k = 1 + random(n_color); more = more fill("color", color[k], "color", "\"" color[k] "\"")
            k = 60 + random(26); more = more fill("temp_f", k, "temperature", k)
            k = 15 + random(13); more = more fill("temp_c", k, "temperature", k)
            k = 5 * (6 + random(9)); more = more fill("humidity", k, "humidity", k)
            k = 1 + random(n_fan); more = more fill("fan_mode", fan_mode[k], "fan_mode", "\"" fan_mode[k] "\"")
            k = 1 + random(n_hvac); more = more fill("hvac_mode", hvac[k], "hvac_mode", "\"" hvac[k] "\"")
            k = random(n_dur); more = more fill("duration", dur_name[k], "duration", "\"" dur[k] "\"")
            k = random(n_todo); more = more fill("todo", tolower(todo[k]), "item", "\"" json(tolower(todo[k])) "\"")
        }
        calls = calls (i > 1 ? "," : "") "{\"service\":\"" type "." services[i] "\"" more "}"
    }
    if (phrase ~ /<[a-z_0-9]*>/) return 0
    if ((phrase) in seen) return 0
    seen[phrase] = 1
    # values that change from row to row do not tell combinations apart
    side = hash(key) % every == 0 ? "held" : "train"
    text = "{\"prompt\":\"" json(phrase) "\\n\",\"completion\":\"" json("{\"calls\":[" calls "]}") "\\n\"}"
    return 1
}
END {
    for (tries = 0; made < rows && tries < rows * 20; tries++) {
        if (!draw()) continue
        if (side == "held") { if (n_held++ < most) print text > held }
        else { print text; made++ }
    }
    printf "%d devices, %d phrases; %d rows to learn from, %d held out\n", length_of(), n_t, made, n_held < most ? n_held : most > "/dev/stderr"
}
function length_of(   i, n) { for (i in id) n++; return n }
