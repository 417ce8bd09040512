/* A safetensors header is JSON of one fixed shape, up to 100 MB of it. A scanner for just that
 * shape needs no tree in memory (a general parser takes some ten times the text), has no
 * recursion, and refuses whatever the format does not know: unknown fields, numbers that are no
 * whole numbers, fields given twice. */
#include "format/st_in.h"

#include <string.h>

struct scan {
    struct slm_st_file *f;
    const char *start, *p, *end;
    struct slm_buf text; /* the last string */
    slm_err *err;
};

static const struct { const char *name; enum slm_dtype type; } type_names[] = {
    {"F32", SLM_F32}, {"F16", SLM_F16}, {"BF16", SLM_BF16}, {"F64", SLM_F64}, {"I8", SLM_I8},
    {"I16", SLM_I16}, {"I32", SLM_I32}, {"I64", SLM_I64}, {"U8", SLM_U8}, {"U16", SLM_U16},
    {"U32", SLM_U32}, {"U64", SLM_U64}, {"BOOL", SLM_BOOL}, {"F8_E4M3", SLM_F8_E4M3},
    {"F8_E5M2", SLM_F8_E5M2},
};

const char *slm_st_type_name(enum slm_dtype t)
{
    for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++)
        if (type_names[i].type == t)
            return type_names[i].name;
    return NULL;
}

int slm_st_type_of(const char *name)
{
    for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++)
        if (!strcmp(type_names[i].name, name))
            return (int)type_names[i].type;
    return -1;
}

static int bad(struct scan *c, const char *want)
{
    return slm_fail(c->err, SLM_E_FORMAT, "%s: byte %zu of the header: want %s", c->f->path,
                    (size_t)(c->p - c->start), want);
}

static void blanks(struct scan *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t' || *c->p == '\r'))
        c->p++;
}

/* Is the next character ch? Then it is eaten. */
static bool eat(struct scan *c, char ch)
{
    blanks(c);
    if (c->p == c->end || *c->p != ch)
        return false;
    c->p++;
    return true;
}

static int hex4(struct scan *c, int32_t *out)
{
    *out = 0;
    if (c->end - c->p < 4)
        return bad(c, "four hex digits");
    for (int i = 0; i < 4; i++) {
        char ch = *c->p++;
        int v = ch >= '0' && ch <= '9' ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10
                : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
        if (v < 0)
            return bad(c, "four hex digits");
        *out = *out * 16 + v;
    }
    return 0;
}

/* Behind a backslash. */
static int escape(struct scan *c)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (c->p == c->end)
        return bad(c, "an escape");
    char ch = *c->p++;
    const char *at = ch ? strchr(from, ch) : NULL;
    if (at) {
        slm_buf_putc(&c->text, to[at - from]);
        return 0;
    }
    int32_t cp, low;
    if (ch != 'u')
        return bad(c, "an escape");
    int rc = hex4(c, &cp);
    if (rc)
        return rc;
    if (cp >= 0xd800 && cp < 0xdc00) {
        if (c->end - c->p < 2 || c->p[0] != '\\' || c->p[1] != 'u')
            return bad(c, "the second half of a surrogate pair");
        c->p += 2;
        if ((rc = hex4(c, &low)))
            return rc;
        if (low < 0xdc00 || low > 0xdfff)
            return bad(c, "the second half of a surrogate pair");
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
    }
    if (cp == 0 || (cp >= 0xdc00 && cp < 0xe000))
        return bad(c, "a character");
    char out[4];
    slm_buf_put(&c->text, out, (size_t)slm_utf8_put(out, cp));
    return 0;
}

/* Into c->text; valid UTF-8 without NUL. */
static int string(struct scan *c, const char *want)
{
    if (!eat(c, '"'))
        return bad(c, want);
    slm_buf_reset(&c->text);
    for (;;) {
        const char *run = c->p;
        while (c->p < c->end && *c->p != '"' && *c->p != '\\' && (unsigned char)*c->p >= 0x20)
            c->p++;
        slm_buf_put(&c->text, run, (size_t)(c->p - run));
        if (c->p == c->end || (unsigned char)*c->p < 0x20)
            return bad(c, "the end of a string");
        if (*c->p++ == '"')
            break;
        int rc = escape(c);
        if (rc)
            return rc;
    }
    if (!slm_utf8_valid(c->text.s, c->text.n))
        return bad(c, "UTF-8");
    return slm_buf_check(&c->text, c->f->path, c->err);
}

static int number(struct scan *c, uint64_t *out)
{
    blanks(c);
    const char *from = c->p;
    *out = 0;
    for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
        if (__builtin_mul_overflow(*out, (uint64_t)10, out) ||
            __builtin_add_overflow(*out, (uint64_t)(*c->p - '0'), out))
            return bad(c, "a number below 2^64");
    if (c->p == from || (*from == '0' && c->p > from + 1))
        return bad(c, "a whole number");
    return 0;
}

/* [1, 2, 3]: at most max numbers. */
static int numbers(struct scan *c, uint64_t *out, int max, int *n)
{
    *n = 0;
    if (!eat(c, '['))
        return bad(c, "'['");
    if (eat(c, ']'))
        return 0;
    do {
        if (*n == max)
            return slm_fail(c->err, SLM_E_FORMAT,
                            "%s: byte %zu of the header: more than %d numbers", c->f->path,
                            (size_t)(c->p - c->start), max);
        int rc = number(c, &out[*n]);
        if (rc)
            return rc;
        ++*n;
    } while (eat(c, ','));
    return eat(c, ']') ? 0 : bad(c, "']'");
}

static char *keep(struct scan *c)
{
    return slm_arena_strndup(c->f->arena, c->text.s, c->text.n);
}

enum field { DTYPE_FIELD = 1, SHAPE_FIELD = 2, OFFSETS_FIELD = 4, ALL_FIELDS = 7 };

static int field(struct scan *c, struct slm_tensor_ref *t, uint64_t offsets[2], int *seen)
{
    int rc = string(c, "the name of a field"), n, which;
    if (rc)
        return rc;
    which = !strcmp(c->text.s, "dtype")          ? DTYPE_FIELD
            : !strcmp(c->text.s, "shape")        ? SHAPE_FIELD
            : !strcmp(c->text.s, "data_offsets") ? OFFSETS_FIELD
                                                 : 0;
    if (!which || (*seen & which))
        return slm_fail(c->err, SLM_E_FORMAT, "%s: tensor %s: %s field %s", c->f->path, t->name,
                        which ? "repeated" : "unknown", c->text.s);
    *seen |= which;
    if (!eat(c, ':'))
        return bad(c, "':'");
    if (which == SHAPE_FIELD)
        return numbers(c, t->dim, SLM_TENSOR_DIMS, &t->n_dims);
    if (which == OFFSETS_FIELD) {
        if ((rc = numbers(c, offsets, 2, &n)))
            return rc;
        return n == 2 ? 0 : bad(c, "two offsets");
    }
    if ((rc = string(c, "the name of an element type")))
        return rc;
    int type = slm_st_type_of(c->text.s);
    if (type < 0)
        return slm_fail(c->err, SLM_E_UNSUPPORTED, "%s: tensor %s: element type %s is unknown",
                        c->f->path, t->name, c->text.s);
    t->type = (enum slm_dtype)type;
    return 0;
}

/* {"dtype": ..., "shape": ..., "data_offsets": ...} */
static int tensor(struct scan *c, const char *name)
{
    struct slm_st_file *f = c->f;
    struct slm_tensor_ref t = {.name = name};
    uint64_t offsets[2];
    int seen = 0, rc = 0;
    if (!eat(c, '{'))
        return bad(c, "'{'");
    if (!eat(c, '}')) {
        do
            rc = field(c, &t, offsets, &seen);
        while (!rc && eat(c, ','));
        if (rc)
            return rc;
        if (!eat(c, '}'))
            return bad(c, "'}'");
    }
    if (seen != ALL_FIELDS)
        return slm_fail(c->err, SLM_E_FORMAT, "%s: tensor %s: no %s", f->path, name,
                        !(seen & DTYPE_FIELD)   ? "dtype"
                        : !(seen & SHAPE_FIELD) ? "shape"
                                                : "data_offsets");
    if (offsets[1] < offsets[0])
        return slm_fail(c->err, SLM_E_FORMAT, "%s: tensor %s: its bytes end before they begin",
                        f->path, name);
    if (f->n_tensors == SLM_ENTRIES_MAX ||
        slm_grow(f->rt, SLM_MEM_FORMAT, (void **)&f->tensors, f->n_tensors, &f->tensors_cap,
                 sizeof t) ||
        slm_grow(f->rt, SLM_MEM_FORMAT, (void **)&f->begin, f->n_tensors, &f->begin_cap,
                 sizeof *f->begin))
        return slm_fail_mem(c->err, f->path, f->n_tensors * sizeof t);
    t.bytes = offsets[1] - offsets[0];
    f->begin[f->n_tensors] = offsets[0];
    f->tensors[f->n_tensors++] = t;
    return 0;
}

/* {"key": "value", ...}; some writers say null for none */
static int metadata(struct scan *c)
{
    struct slm_st_file *f = c->f;
    blanks(c);
    if (c->end - c->p >= 4 && !memcmp(c->p, "null", 4)) {
        c->p += 4;
        return 0;
    }
    if (!eat(c, '{'))
        return bad(c, "'{'");
    if (eat(c, '}'))
        return 0;
    do {
        struct slm_st_pair m;
        int rc = string(c, "a key of the metadata");
        if (rc)
            return rc;
        m.name = keep(c);
        if (!eat(c, ':'))
            return bad(c, "':'");
        if ((rc = string(c, "a string (metadata hold nothing else)")))
            return rc;
        m.value = keep(c);
        if (!m.name || !m.value || f->n_meta == SLM_ENTRIES_MAX ||
            slm_grow(f->rt, SLM_MEM_FORMAT, (void **)&f->meta, f->n_meta, &f->meta_cap,
                     sizeof m))
            return slm_fail_mem(c->err, f->path, c->text.n);
        f->meta[f->n_meta++] = m;
    } while (eat(c, ','));
    return eat(c, '}') ? 0 : bad(c, "'}'");
}

static int entry(struct scan *c, bool *meta_seen)
{
    int rc = string(c, "the name of a tensor");
    if (rc)
        return rc;
    if (!c->text.n)
        return bad(c, "a name that is not empty");
    if (!strcmp(c->text.s, "__metadata__")) {
        if (*meta_seen)
            return slm_fail(c->err, SLM_E_FORMAT, "%s: __metadata__ is there twice",
                            c->f->path);
        *meta_seen = true;
        return eat(c, ':') ? metadata(c) : bad(c, "':'");
    }
    const char *name = keep(c);
    if (!name)
        return slm_fail_mem(c->err, c->f->path, c->text.n);
    return eat(c, ':') ? tensor(c, name) : bad(c, "':'");
}

int slm_st_scan(struct slm_st_file *f, const char *s, size_t n, slm_err *err)
{
    struct scan c = {.f = f, .start = s, .p = s, .end = s + n, .err = err};
    bool meta_seen = false;
    int rc = 0;
    slm_buf_init(&c.text, f->rt, SLM_MEM_FORMAT, n + 1);
    if (!eat(&c, '{'))
        rc = bad(&c, "'{'");
    else if (!eat(&c, '}')) {
        do
            rc = entry(&c, &meta_seen);
        while (!rc && eat(&c, ','));
        if (!rc && !eat(&c, '}'))
            rc = bad(&c, "'}'");
    }
    blanks(&c);
    if (!rc && c.p != c.end)
        rc = bad(&c, "the end");
    slm_buf_release(&c.text);
    return rc;
}
