/* The lexer: template source to tokens, with Jinja's white space rules as Transformers sets
 * them (trim_blocks and lstrip_blocks on, one final new line dropped).
 *
 * Written by hand after the rules of Jinja's regular expressions: outside tags the first of
 * `{{ {% {#` wins, inside tags an end mark counts only when brackets are balanced. The whole
 * source becomes tokens at once, so the parser can look ahead. */
#include <stdio.h>
#include <string.h>

#include "template/parse.h"

struct lexer {
    struct jj_parser *p;
    const char *s;
    size_t n, i;
    int line;
    bool line_starting;
    char *close; /* stack of the closing brackets awaited */
    size_t depth, cap;
};

static bool push(struct lexer *x, struct jj_token k)
{
    struct jj_parser *p = x->p;
    if (slm_grow(p->t->rt, SLM_MEM_TEMPLATE, (void **)&p->tok, p->n, &p->cap, sizeof *p->tok)) {
        p->code = slm_fail_mem(p->err, "template tokens", p->n * sizeof *p->tok);
        return false;
    }
    p->tok[p->n++] = k;
    return true;
}

static bool is_space(const struct lexer *x, size_t i, size_t *len)
{
    int32_t cp;
    if (i >= x->n)
        return false;
    *len = (size_t)slm_utf8_next(x->s + i, x->n - i, &cp);
    return cp >= 0 && slm_py_space(cp);
}

static void skip_space(struct lexer *x)
{
    size_t len;
    while (is_space(x, x->i, &len)) {
        x->line += x->s[x->i] == '\n';
        x->i += len;
    }
}

static bool at(const struct lexer *x, size_t i, const char *what)
{
    size_t n = strlen(what);
    return i <= x->n && x->n - i >= n && memcmp(x->s + i, what, n) == 0;
}

/* End of text without trailing white space. */
static size_t rstrip(const struct lexer *x, size_t lo, size_t hi)
{
    while (hi > lo) {
        size_t c = hi - 1;
        int32_t cp;
        while (c > lo && ((unsigned char)x->s[c] & 0xc0) == 0x80)
            c--;
        slm_utf8_next(x->s + c, hi - c, &cp);
        if (cp < 0 || !slm_py_space(cp))
            break;
        hi = c;
    }
    return hi;
}

/* Where data [lo, hi) ends once the tag behind it has taken its share. */
static size_t strip_before(const struct lexer *x, size_t lo, size_t hi, char sign,
                           bool variable)
{
    if (sign == '-')
        return rstrip(x, lo, hi);
    if (sign == '+' || variable)
        return hi;
    size_t l = hi;
    while (l > lo && x->s[l - 1] != '\n')
        l--;
    if (l == lo && !x->line_starting)
        return hi;
    return rstrip(x, l, hi) == l ? l : hi;
}

static bool push_data(struct lexer *x, size_t lo, size_t hi)
{
    return hi == lo || push(x, (struct jj_token){K_DATA, x->line, x->s + lo, hi - lo, {0}});
}

static void count_lines(struct lexer *x, size_t lo, size_t hi)
{
    for (size_t i = lo; i < hi; i++)
        x->line += x->s[i] == '\n';
}

/* Length of an end mark ("%}" or "#}") at i, 0 when there is none: takes its sign, the white
 * space behind '-' and one new line otherwise. */
static size_t end_mark(struct lexer *x, size_t i, const char *mark, bool plus)
{
    size_t start = i, len;
    bool minus = i < x->n && x->s[i] == '-', add = plus && i < x->n && x->s[i] == '+';
    if (minus || add)
        i++;
    if (!at(x, i, mark))
        return 0;
    i += 2;
    if (minus)
        while (is_space(x, i, &len))
            i += len;
    else if (!add && plus && i < x->n && x->s[i] == '\n')
        i++;
    return i - start;
}

static void take(struct lexer *x, size_t len)
{
    count_lines(x, x->i, x->i + len);
    x->i += len;
    x->line_starting = x->i > 0 && x->s[x->i - 1] == '\n';
}

static int lex_comment(struct lexer *x)
{
    int line = x->line;
    for (size_t i = x->i; i < x->n; i++) {
        size_t len = end_mark(x, i, "#}", true);
        if (len) {
            take(x, i + len - x->i);
            return 0;
        }
    }
    return slm_jj_parse_fail(x->p, line, "Missing end of comment tag");
}

/* Is there `raw` (or `endraw`) and then the end of the tag at i? Length up to the end, 0: no.
 */
static size_t raw_tag(struct lexer *x, size_t i, const char *word, bool plus)
{
    size_t start = i, len;
    while (is_space(x, i, &len))
        i += len;
    if (!at(x, i, word))
        return 0;
    i += strlen(word);
    while (is_space(x, i, &len))
        i += len;
    len = end_mark(x, i, "%}", plus);
    return len ? i + len - start : 0;
}

static int lex_raw(struct lexer *x)
{
    int line = x->line;
    for (size_t i = x->i; i < x->n; i++) {
        if (!at(x, i, "{%"))
            continue;
        char sign =
            i + 2 < x->n && (x->s[i + 2] == '-' || x->s[i + 2] == '+') ? x->s[i + 2] : 0;
        size_t len = raw_tag(x, i + 2 + (sign != 0), "endraw", true);
        if (!len && sign)
            sign = 0, len = raw_tag(x, i + 2, "endraw", true);
        if (!len)
            continue;
        if (!push_data(x, x->i, strip_before(x, x->i, i, sign, false)))
            return x->p->code;
        take(x, i + 2 + (sign != 0) + len - x->i);
        return 0;
    }
    return slm_jj_parse_fail(x->p, line, "Missing end of raw directive");
}

static bool digits(const struct lexer *x, size_t *i, int base)
{
    size_t j = *i;
    for (;;) {
        if (j < x->n && x->s[j] == '_' && j > *i)
            j++;
        unsigned char c = j < x->n ? (unsigned char)x->s[j] : 0;
        int v = c >= '0' && c <= '9'                 ? c - '0'
                : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                     : 99;
        if (v >= base)
            break;
        j++;
    }
    while (j > *i && x->s[j - 1] == '_')
        j--;
    bool any = j > *i;
    *i = j;
    return any;
}

/* A float at x->i? Its end in *end. */
static bool scan_float(const struct lexer *x, size_t *end)
{
    size_t i = x->i, j;
    if ((i > 0 && x->s[i - 1] == '.') || !digits(x, &i, 10))
        return false;
    bool point = false;
    if (i < x->n && x->s[i] == '.') {
        j = i + 1;
        if (digits(x, &j, 10)) {
            i = j;
            point = true;
        }
    }
    *end = i;
    if (i < x->n && (x->s[i] == 'e' || x->s[i] == 'E')) {
        j = i + 1;
        if (j < x->n && (x->s[j] == '+' || x->s[j] == '-'))
            j++;
        if (digits(x, &j, 10)) {
            *end = j;
            return true;
        }
    }
    return point;
}

static size_t scan_int(const struct lexer *x)
{
    static const struct {
        char c;
        int base;
    } prefix[] = {{'b', 2}, {'o', 8}, {'x', 16}};
    size_t i = x->i;
    if (x->s[i] != '0') {
        digits(x, &i, 10);
        return i;
    }
    for (size_t k = 0; k < 3; k++)
        if (i + 1 < x->n && (x->s[i + 1] | 32) == prefix[k].c) {
            size_t j = i + 2;
            if (j < x->n && x->s[j] == '_')
                j++;
            if (digits(x, &j, prefix[k].base))
                return j;
        }
    digits(x, &i, 1);
    return i;
}

static int lex_number(struct lexer *x)
{
    size_t end, lo = x->i;
    struct jj_token k = {.line = x->line};
    char buf[400];
    size_t m = 0;
    bool real = scan_float(x, &end);
    if (!real)
        end = scan_int(x);
    for (size_t i = lo; i < end && m < sizeof buf - 1; i++)
        if (x->s[i] != '_')
            buf[m++] = x->s[i];
    buf[m] = 0;
    k.type = real ? K_FLOAT : K_INT;
    k.value.t = real ? T_FLOAT : T_INT;
    if (m >= sizeof buf - 1 || !(real ? slm_py_parse_float(buf, m, &k.value.f)
                                      : slm_py_parse_int(buf, m, 0, &k.value.i)))
        return slm_jj_parse_fail(x->p, x->line, "number too large: %.40s", buf);
    x->i = end;
    return push(x, k) ? 0 : x->p->code;
}

static int hex_escape(const char *s, size_t n, size_t digits_wanted, int32_t *cp)
{
    uint32_t v = 0;
    if (n < digits_wanted)
        return -1;
    for (size_t i = 0; i < digits_wanted; i++) {
        unsigned char c = (unsigned char)s[i];
        int d = c >= '0' && c <= '9'                 ? c - '0'
                : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                     : -1;
        if (d < 0)
            return -1;
        v = v << 4 | (uint32_t)d;
    }
    *cp = v > 0x10ffff ? -1 : (int32_t)v;
    return v > 0x10ffff ? -1 : (int)digits_wanted;
}

/* One escape behind a backslash at s; appends to out, returns the bytes eaten, -1 malformed. */
static int unescape_one(const char *s, size_t n, char *out, size_t *m)
{
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    int32_t cp = 0;
    int len;
    const char *f = s[0] ? strchr(from, s[0]) : NULL;
    if (f) {
        out[(*m)++] = to[f - from];
        return 1;
    }
    if (s[0] == '\n')
        return 1;
    if (s[0] >= '0' && s[0] <= '7') {
        size_t i = 0;
        for (; i < 3 && i < n && s[i] >= '0' && s[i] <= '7'; i++)
            cp = cp * 8 + (s[i] - '0');
        *m += (size_t)slm_utf8_put(out + *m, cp);
        return (int)i;
    }
    if (s[0] == 'x' || s[0] == 'u' || s[0] == 'U') {
        len = hex_escape(s + 1, n - 1, s[0] == 'x' ? 2 : s[0] == 'u' ? 4 : 8, &cp);
        if (len < 0)
            return -1;
        *m += (size_t)slm_utf8_put(out + *m, cp);
        return 1 + len;
    }
    if (s[0] == 'N')
        return -1;
    out[(*m)++] = '\\';
    if ((unsigned char)s[0] < 0x80) {
        out[(*m)++] = s[0];
        return 1;
    }
    /* Python escapes what is not ASCII first, so its own backslash is eaten here */
    len = slm_utf8_next(s, n, &cp);
    *m += (size_t)snprintf(out + *m, 12,
                           cp < 0x100     ? "x%02x"
                           : cp < 0x10000 ? "u%04x"
                                          : "U%08x",
                           (unsigned)cp);
    return len;
}

static int lex_string(struct lexer *x)
{
    char quote = x->s[x->i];
    size_t lo = x->i + 1, i = lo, m = 0;
    int line = x->line;
    while (i < x->n && x->s[i] != quote)
        i += x->s[i] == '\\' ? 2 : 1;
    if (i >= x->n)
        return slm_jj_parse_fail(x->p, line, "unexpected char '%c'", quote);
    /* an escape grows to at most 5 bytes a byte ("\" + 2 bytes -> "\xe9") */
    char *out = slm_arena_alloc(&x->p->t->arena, (i - lo) * 4 + 16);
    if (!out)
        return x->p->code = slm_fail_mem(x->p->err, "template string", i - lo);
    for (size_t j = lo; j < i;) {
        if (x->s[j] != '\\') {
            out[m++] = x->s[j++];
            continue;
        }
        int len = unescape_one(x->s + j + 1, i - j - 1, out, &m);
        if (len < 0)
            return slm_jj_parse_fail(x->p, line, "malformed escape in a string");
        j += 1 + (size_t)len;
    }
    count_lines(x, lo, i);
    x->i = i + 1;
    return push(x, (struct jj_token){K_STRING, line, out, m, {0}}) ? 0 : x->p->code;
}

static int lex_name(struct lexer *x)
{
    size_t lo = x->i;
    int32_t cp;
    bool ok = true;
    while (x->i < x->n) {
        int len = slm_utf8_next(x->s + x->i, x->n - x->i, &cp);
        if (cp < 0 || !(cp == '_' || slm_py_alnum(cp)))
            break;
        if (x->i == lo && !(cp == '_' || slm_py_alpha(cp)))
            ok = false;
        x->i += (size_t)len;
    }
    if (x->i == lo)
        return slm_jj_parse_fail(x->p, x->line, "unexpected char at byte %zu", x->i);
    if (!ok)
        return slm_jj_parse_fail(x->p, x->line, "Invalid character in identifier");
    return push(x, (struct jj_token){K_NAME, x->line, x->s + lo, x->i - lo, {0}}) ? 0
                                                                                  : x->p->code;
}

static const struct {
    char s[3];
    uint8_t type;
} operators[] = {
    {"//", K_FLOORDIV}, {"**", K_POW},   {"==", K_EQ},      {"!=", K_NE},      {">=", K_GE},
    {"<=", K_LE},       {"+", K_ADD},    {"-", K_SUB},      {"/", K_DIV},      {"*", K_MUL},
    {"%", K_MOD},       {"~", K_TILDE},  {"[", K_LBRACKET}, {"]", K_RBRACKET}, {"(", K_LPAREN},
    {")", K_RPAREN},    {"{", K_LBRACE}, {"}", K_RBRACE},   {">", K_GT},       {"<", K_LT},
    {"=", K_ASSIGN},    {".", K_DOT},    {":", K_COLON},    {"|", K_PIPE},     {",", K_COMMA},
    {";", K_SEMICOLON},
};

static int lex_operator(struct lexer *x)
{
    for (size_t k = 0; k < sizeof operators / sizeof *operators; k++) {
        if (!at(x, x->i, operators[k].s))
            continue;
        char c = operators[k].s[0];
        if (c == '(' || c == '[' || c == '{') {
            if (slm_grow(x->p->t->rt, SLM_MEM_TEMPLATE, (void **)&x->close, x->depth, &x->cap,
                         1))
                return x->p->code = slm_fail_mem(x->p->err, "template brackets", x->depth);
            x->close[x->depth++] = c == '(' ? ')' : c == '[' ? ']' : '}';
        } else if (c == ')' || c == ']' || c == '}') {
            if (!x->depth)
                return slm_jj_parse_fail(x->p, x->line, "unexpected '%c'", c);
            char want = x->close[--x->depth];
            if (want != c)
                return slm_jj_parse_fail(x->p, x->line, "unexpected '%c', expected '%c'", c,
                                         want);
        }
        struct jj_token t = {
            operators[k].type, x->line, x->s + x->i, strlen(operators[k].s), {0}};
        x->i += t.n;
        return push(x, t) ? 0 : x->p->code;
    }
    return slm_jj_parse_fail(x->p, x->line, "unexpected char at byte %zu", x->i);
}

/* Inside a tag, up to and with its end. */
static int lex_tag(struct lexer *x, bool variable)
{
    x->depth = 0;
    while (x->i < x->n) {
        size_t len, end = x->depth ? 0 : end_mark(x, x->i, variable ? "}}" : "%}", !variable);
        if (end) {
            int line = x->line;
            take(x, end);
            return push(x,
                        (struct jj_token){variable ? K_VAR_END : K_BLOCK_END, line, "", 0, {0}})
                       ? 0
                       : x->p->code;
        }
        unsigned char c = (unsigned char)x->s[x->i];
        int code;
        if (is_space(x, x->i, &len)) {
            skip_space(x);
            continue;
        }
        if (c >= '0' && c <= '9')
            code = lex_number(x);
        else if (c == '\'' || c == '"')
            code = lex_string(x);
        else if (c == '_' || (c | 32) >= 'a'
                     ? (c == '_' || ((c | 32) <= 'z' && c < 0x80) || c >= 0x80)
                     : c >= 0x80)
            code = lex_name(x);
        else
            code = lex_operator(x);
        if (code)
            return code;
    }
    return push(x, (struct jj_token){K_EOF, x->line, "", 0, {0}}) ? 0 : x->p->code;
}

static int lex_root(struct lexer *x)
{
    while (x->i < x->n) {
        size_t lo = x->i, i = lo;
        while (i < x->n &&
               !(x->s[i] == '{' && i + 1 < x->n && strchr("{%#", x->s[i + 1]) && x->s[i + 1]))
            i++;
        if (i >= x->n)
            return push_data(x, lo, x->n) ? 0 : x->p->code;
        char kind = x->s[i + 1];
        size_t after = i + 2;
        char sign =
            after < x->n && (x->s[after] == '-' || x->s[after] == '+') ? x->s[after] : 0;
        size_t raw = kind == '%' ? raw_tag(x, after + (sign != 0), "raw", false) : 0;
        if (!push_data(x, lo, strip_before(x, lo, i, sign, kind == '{')))
            return x->p->code;
        take(x, after + (sign != 0) + raw - lo);
        int code = 0;
        if (raw) {
            code = lex_raw(x);
        } else if (kind == '#') {
            code = lex_comment(x);
        } else {
            int type = kind == '{' ? K_VAR_BEGIN : K_BLOCK_BEGIN;
            if (!push(x, (struct jj_token){type, x->line, "", 0, {0}}))
                return x->p->code;
            code = lex_tag(x, kind == '{');
        }
        if (code)
            return code;
    }
    return 0;
}

/* \r\n and \r become \n, and one \n at the end goes. */
static char *normal_newlines(struct jj_parser *p, size_t *n)
{
    slm_template *t = p->t;
    char *s = slm_arena_alloc(&t->arena, t->n_src + 1);
    size_t m = 0;
    if (!s)
        return NULL;
    for (size_t i = 0; i < t->n_src; i++) {
        if (t->src[i] == '\r') {
            s[m++] = '\n';
            i += i + 1 < t->n_src && t->src[i + 1] == '\n';
        } else {
            s[m++] = t->src[i];
        }
    }
    if (m && s[m - 1] == '\n')
        m--;
    *n = m;
    return s;
}

int slm_jj_lex(struct jj_parser *p)
{
    struct lexer x = {.p = p, .line = 1, .line_starting = true};
    x.s = normal_newlines(p, &x.n);
    if (!x.s)
        return p->code = slm_fail_mem(p->err, "template source", p->t->n_src);
    int code = lex_root(&x);
    slm_free(p->t->rt, x.close);
    if (!code && !push(&x, (struct jj_token){K_EOF, x.line, "", 0, {0}}))
        code = p->code;
    return code;
}
