/* The steps around the model of a tokenizer.json: each object with a "type" becomes one step, a
 * Sequence its members. Types and options that are not known are errors that name them. */
#include "vocab/tok_json.h"

#include <string.h>

#define DEEP 8
#define STEPS 64

typedef int parse_fn(slm_tokenizer *t, const slm_json *j, int depth, slm_err *err);

static int lacks(const slm_tokenizer *t, const char *what, const char *type, slm_err *err)
{
    return slm_fail(err, SLM_E_UNSUPPORTED, "%s: %s '%.60s' is not supported", t->name, what,
                    type);
}

static int wrong(const slm_tokenizer *t, const char *what, slm_err *err)
{
    return slm_fail(err, SLM_E_FORMAT, "%s: %s", t->name, what);
}

static bool flag(const slm_json *j, const char *key, bool otherwise)
{
    return slm_json_bool(slm_json_find(j, key), otherwise);
}

/* The type of a step, or NULL with an error filled in. */
static const char *type_of(const slm_tokenizer *t, const slm_json *j, const char *what,
                           int depth, slm_err *err)
{
    const char *type = slm_json_str(slm_json_find(j, "type"), NULL);
    if (!type || depth > DEEP || t->n_norm > STEPS || t->n_pre > STEPS) {
        slm_fail(err, SLM_E_FORMAT, "%s: %s: %s", t->name, what,
                 type ? "too many steps" : "no type");
        return NULL;
    }
    return type;
}

static int each(slm_tokenizer *t, const slm_json *list, int depth, parse_fn *parse,
                slm_err *err)
{
    int rc =
        slm_json_is(list, SLM_JSON_ARRAY) ? 0 : wrong(t, "a Sequence without its list", err);
    for (size_t i = 0; i < slm_json_count(list) && !rc; i++)
        rc = parse(t, slm_json_at(list, i), depth + 1, err);
    return rc;
}

static int dup_str(slm_tokenizer *t, const slm_json *j, const char *key,
                   struct slm_tok_str *out, slm_err *err)
{
    struct slm_tok_str s = slm_tok_json_str(j, key);
    if (!s.s)
        return slm_fail(err, SLM_E_FORMAT, "%s: a step without its %s", t->name, key);
    *out = slm_tok_dup(t, s.s, s.n);
    return out->s ? 0 : slm_fail_mem(err, "a tokenizer", s.n);
}

/* {"String": s} or {"Regex": r}; *regex tells which. */
static int pattern(slm_tokenizer *t, const slm_json *j, struct slm_tok_str *s, bool *regex,
                   slm_err *err)
{
    const slm_json *p = slm_json_find(j, "pattern");
    *regex = slm_json_find(p, "Regex") != NULL;
    int rc = dup_str(t, p, *regex ? "Regex" : "String", s, err);
    return rc || s->n ? rc : wrong(t, "an empty pattern", err);
}

/* --- normalizers --- */

static int norm_charsmap(slm_tokenizer *t, const slm_json *j, slm_err *err)
{
    struct slm_tok_str s = slm_tok_json_str(j, "precompiled_charsmap");
    if (!s.n)
        return 0; /* an empty map changes nothing */
    struct slm_buf blob;
    slm_buf_init(&blob, t->rt, SLM_MEM_TEXT, s.n);
    struct norm_step *st = slm_tok_add_norm(t, NORM_CHARSMAP);
    struct charsmap *m = slm_arena_alloc(&t->arena, sizeof *m);
    int rc = st && m ? 0 : slm_fail_mem(err, "a charsmap", s.n);
    if (!rc && !slm_base64_put(&blob, s.s, s.n))
        rc = wrong(t, "Precompiled: charsmap is no base64", err);
    rc = rc ? rc : slm_buf_check(&blob, "a charsmap", err);
    rc = rc ? rc
            : slm_charsmap_init(m, &t->arena, (const uint8_t *)blob.s, blob.n, t->name, err);
    if (st)
        st->map = m;
    slm_buf_release(&blob);
    return rc;
}

static int norm_replace(slm_tokenizer *t, const slm_json *j, slm_err *err)
{
    bool regex;
    struct norm_step *st = slm_tok_add_norm(t, NORM_REPLACE);
    if (!st)
        return slm_fail_mem(err, "a normalizer", 0);
    int rc = pattern(t, j, &st->a, &regex, err);
    rc = rc ? rc : dup_str(t, j, "content", &st->b, err);
    if (rc || !regex)
        return rc;
    st->kind = NORM_REPLACE_RE;
    return slm_regex_new(&st->re, t->rt, st->a.s, st->a.n, t->name, err);
}

static int norm_options(slm_tokenizer *t, struct norm_step *st, const slm_json *j, slm_err *err)
{
    switch (st->kind) {
    case NORM_PREPEND: return dup_str(t, j, "prepend", &st->a, err);
    case NORM_STRIP:
        st->left = flag(j, "strip_left", true);
        st->right = flag(j, "strip_right", true);
        return 0;
    case NORM_BERT:
        st->clean = flag(j, "clean_text", true);
        st->chinese = flag(j, "handle_chinese_chars", true);
        st->lower = flag(j, "lowercase", true);
        st->accents = flag(j, "strip_accents", st->lower);
        return 0;
    default: return 0;
    }
}

int slm_tok_json_norm(slm_tokenizer *t, const slm_json *j, int depth, slm_err *err)
{
    static const struct {
        const char *name;
        enum norm_kind kind;
    } kinds[] = {
        {"Prepend", NORM_PREPEND},
        {"NFC", NORM_NFC},
        {"NFD", NORM_NFD},
        {"NFKC", NORM_NFKC},
        {"NFKD", NORM_NFKD},
        {"Lowercase", NORM_LOWER},
        {"StripAccents", NORM_STRIP_ACCENTS},
        {"Strip", NORM_STRIP},
        {"BertNormalizer", NORM_BERT},
        {"ByteLevel", NORM_BYTES},
        {"Nmt", NORM_NMT},
    };
    if (slm_json_type(j) == SLM_JSON_NULL)
        return 0;
    const char *type = type_of(t, j, "normalizer", depth, err);
    if (!type)
        return SLM_E_FORMAT;
    if (!strcmp(type, "Sequence"))
        return each(t, slm_json_find(j, "normalizers"), depth, slm_tok_json_norm, err);
    if (!strcmp(type, "Precompiled"))
        return norm_charsmap(t, j, err);
    if (!strcmp(type, "Replace"))
        return norm_replace(t, j, err);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(type, kinds[i].name))
            continue;
        struct norm_step *st = slm_tok_add_norm(t, kinds[i].kind);
        return st ? norm_options(t, st, j, err) : slm_fail_mem(err, "a normalizer", 0);
    }
    return lacks(t, "normalizer", type, err);
}

/* --- pre-tokenizers --- */

static int behavior(slm_tokenizer *t, const slm_json *j, enum split_behavior *out, slm_err *err)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    const char *s = slm_json_str(slm_json_find(j, "behavior"), NULL);
    *out = SPLIT_ISOLATED;
    for (int i = 0; s && i < 5; i++) {
        if (!strcmp(s, names[i])) {
            *out = (enum split_behavior)i;
            return 0;
        }
    }
    return s ? lacks(t, "split behavior", s, err) : 0;
}

static int pre_split(slm_tokenizer *t, const slm_json *j, slm_err *err)
{
    bool regex;
    struct pre_step *st = slm_tok_add_pre(t, PRE_SPLIT_STR);
    if (!st)
        return slm_fail_mem(err, "a pre-tokenizer", 0);
    int rc = pattern(t, j, &st->str, &regex, err);
    rc = rc ? rc : behavior(t, j, &st->behavior, err);
    st->invert = flag(j, "invert", false);
    if (rc || !regex)
        return rc;
    st->kind = PRE_SPLIT;
    if (st->behavior == SPLIT_ISOLATED && !st->invert)
        st->scan = slm_scan_find(st->str.s, st->str.n);
    return st->scan ? 0 : slm_regex_new(&st->re, t->rt, st->str.s, st->str.n, t->name, err);
}

static int scheme(slm_tokenizer *t, const slm_json *j, enum prepend_scheme *out, slm_err *err)
{
    const char *s = slm_json_str(slm_json_find(j, "prepend_scheme"), NULL);
    bool prefix = flag(j, "add_prefix_space", true);
    *out = prefix ? PREPEND_ALWAYS : PREPEND_NEVER;
    if (!s)
        return 0;
    *out = !strcmp(s, "first")   ? PREPEND_FIRST
           : !strcmp(s, "never") ? PREPEND_NEVER
                                 : PREPEND_ALWAYS;
    return !strcmp(s, "always") || *out != PREPEND_ALWAYS ? 0
                                                          : lacks(t, "prepend_scheme", s, err);
}

static int pre_options(slm_tokenizer *t, struct pre_step *st, const slm_json *j, slm_err *err)
{
    switch (st->kind) {
    case PRE_BYTES:
        st->prefix = flag(j, "add_prefix_space", true);
        st->regex = flag(j, "use_regex", true);
        st->scan = slm_scan_find(slm_pattern_gpt2, strlen(slm_pattern_gpt2));
        return 0;
    case PRE_METASPACE: {
        int rc = dup_str(t, j, "replacement", &st->str, err);
        st->split = flag(j, "split", true);
        if (!rc && !st->str.n)
            rc = wrong(t, "Metaspace: an empty replacement", err);
        return rc ? rc : scheme(t, j, &st->scheme, err);
    }
    case PRE_DIGITS:
        st->single = flag(j, "individual_digits", false);
        st->behavior = st->single ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS;
        return 0;
    case PRE_PUNCTUATION: return behavior(t, j, &st->behavior, err);
    case PRE_WHITESPACE_SPLIT: st->behavior = SPLIT_REMOVED; return 0;
    case PRE_CHAR:
        st->behavior = SPLIT_REMOVED;
        return dup_str(t, j, "delimiter", &st->str, err);
    default: return 0;
    }
}

int slm_tok_json_pre(slm_tokenizer *t, const slm_json *j, int depth, slm_err *err)
{
    static const struct {
        const char *name;
        enum pre_kind kind;
    } kinds[] = {
        {"ByteLevel", PRE_BYTES},
        {"Metaspace", PRE_METASPACE},
        {"Digits", PRE_DIGITS},
        {"Whitespace", PRE_WHITESPACE},
        {"WhitespaceSplit", PRE_WHITESPACE_SPLIT},
        {"Punctuation", PRE_PUNCTUATION},
        {"BertPreTokenizer", PRE_BERT},
        {"CharDelimiterSplit", PRE_CHAR},
    };
    if (slm_json_type(j) == SLM_JSON_NULL)
        return 0;
    const char *type = type_of(t, j, "pre_tokenizer", depth, err);
    if (!type)
        return SLM_E_FORMAT;
    if (!strcmp(type, "Sequence"))
        return each(t, slm_json_find(j, "pretokenizers"), depth, slm_tok_json_pre, err);
    if (!strcmp(type, "Split"))
        return pre_split(t, j, err);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(type, kinds[i].name))
            continue;
        struct pre_step *st = slm_tok_add_pre(t, kinds[i].kind);
        return st ? pre_options(t, st, j, err) : slm_fail_mem(err, "a pre-tokenizer", 0);
    }
    return lacks(t, "pre_tokenizer", type, err);
}

/* --- decoders --- */

static int dec_options(slm_tokenizer *t, struct dec_step *st, const slm_json *j, slm_err *err)
{
    bool regex;
    int rc;
    switch (st->kind) {
    case DEC_REPLACE:
        rc = pattern(t, j, &st->a, &regex, err);
        rc = rc ? rc : dup_str(t, j, "content", &st->b, err);
        return rc || !regex ? rc : lacks(t, "decoder", "Replace with a Regex", err);
    case DEC_STRIP: {
        int64_t a = slm_json_int(slm_json_find(j, "start"), 0);
        int64_t b = slm_json_int(slm_json_find(j, "stop"), 0);
        if (a < 0 || b < 0 || a > 1000000 || b > 1000000)
            return wrong(t, "decoder: Strip: a count out of range", err);
        st->start = (int)a;
        st->stop = (int)b;
        rc = dup_str(t, j, "content", &st->a, err);
        return rc || st->a.n ? rc : wrong(t, "decoder: Strip: no content", err);
    }
    case DEC_METASPACE:
        rc = dup_str(t, j, "replacement", &st->a, err);
        return rc ? rc : scheme(t, j, &st->scheme, err);
    case DEC_WORDPIECE:
        st->cleanup = flag(j, "cleanup", true);
        return dup_str(t, j, "prefix", &st->a, err);
    case DEC_BPE: return dup_str(t, j, "suffix", &st->a, err);
    default: return 0;
    }
}

int slm_tok_json_dec(slm_tokenizer *t, const slm_json *j, int depth, slm_err *err)
{
    static const struct {
        const char *name;
        enum dec_kind kind;
    } kinds[] = {
        {"ByteLevel", DEC_BYTES},
        {"Replace", DEC_REPLACE},
        {"ByteFallback", DEC_BYTE_FALLBACK},
        {"Fuse", DEC_FUSE},
        {"Strip", DEC_STRIP},
        {"Metaspace", DEC_METASPACE},
        {"WordPiece", DEC_WORDPIECE},
        {"BPEDecoder", DEC_BPE},
    };
    if (slm_json_type(j) == SLM_JSON_NULL)
        return 0;
    const char *type = type_of(t, j, "decoder", depth, err);
    if (!type)
        return SLM_E_FORMAT;
    if (!strcmp(type, "Sequence"))
        return each(t, slm_json_find(j, "decoders"), depth, slm_tok_json_dec, err);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(type, kinds[i].name))
            continue;
        struct dec_step *st = slm_tok_add_dec(t, kinds[i].kind);
        return st ? dec_options(t, st, j, err) : wrong(t, "decoder: too many steps", err);
    }
    return lacks(t, "decoder", type, err);
}

/* --- post-processors --- */

#define AFFIX 32

/* Puts ids around what earlier processors put. */
static int wrap(slm_tokenizer *t, const int32_t *a, int na, const int32_t *b, int nb,
                slm_err *err)
{
    int32_t before[2 * AFFIX], behind[2 * AFFIX];
    if (na + t->n_before > AFFIX || nb + t->n_behind > AFFIX)
        return lacks(t, "post_processor", "of so many tokens", err);
    for (int i = 0; i < na + nb; i++) {
        int32_t id = i < na ? a[i] : b[i - na];
        if (id < 0 || id >= t->n || !t->piece[id].s)
            return slm_fail(err, SLM_E_FORMAT, "%s: post_processor: token id %d does not exist",
                            t->name, (int)id);
    }
    memcpy(before, a, (size_t)na * sizeof *a);
    memcpy(behind, t->behind, (size_t)t->n_behind * sizeof *b);
    if (t->n_before)
        memcpy(before + na, t->before, (size_t)t->n_before * sizeof *a);
    memcpy(behind + t->n_behind, b, (size_t)nb * sizeof *b);
    slm_tok_affixes(t, before, na + t->n_before, behind, nb + t->n_behind);
    return t->before ? 0 : slm_fail_mem(err, "a post-processor", 0);
}

static int post_special(slm_tokenizer *t, const slm_json *j, const char *id, int32_t *list,
                        int *n, slm_err *err)
{
    const slm_json *ids =
        slm_json_find(slm_json_find(slm_json_find(j, "special_tokens"), id), "ids");
    if (!slm_json_count(ids))
        return slm_fail(err, SLM_E_FORMAT,
                        "%s: post_processor: special token '%.60s' is not declared", t->name,
                        id);
    for (size_t i = 0; i < slm_json_count(ids); i++) {
        int64_t v = slm_json_int(slm_json_at(ids, i), -1);
        if (*n == AFFIX || v < 0 || v >= t->n)
            return slm_fail(err, SLM_E_FORMAT,
                            "%s: post_processor: an id of '%.60s' does not exist", t->name, id);
        list[(*n)++] = (int32_t)v;
    }
    return 0;
}

static int post_template(slm_tokenizer *t, const slm_json *j, slm_err *err)
{
    const slm_json *single = slm_json_find(j, "single");
    int32_t list[2][AFFIX];
    int n[2] = {0, 0}, side = 0, rc = 0;
    for (size_t i = 0; i < slm_json_count(single) && !rc; i++) {
        const slm_json *p = slm_json_at(single, i), *seq = slm_json_find(p, "Sequence");
        const char *id = slm_json_str(slm_json_find(seq, "id"), NULL);
        const char *special =
            slm_json_str(slm_json_find(slm_json_find(p, "SpecialToken"), "id"), NULL);
        if (special)
            rc = post_special(t, j, special, list[side], &n[side], err);
        else if (id && !strcmp(id, "A") && !side)
            side = 1;
        else
            rc = wrong(t, "post_processor: TemplateProcessing: not one sequence A", err);
    }
    if (!rc && !side)
        rc = wrong(t, "post_processor: TemplateProcessing: no sequence A", err);
    return rc ? rc : wrap(t, list[0], n[0], list[1], n[1], err);
}

static int post_pair(slm_tokenizer *t, const slm_json *j, slm_err *err)
{
    int64_t cls = slm_json_int(slm_json_at(slm_json_find(j, "cls"), 1), -1);
    int64_t sep = slm_json_int(slm_json_at(slm_json_find(j, "sep"), 1), -1);
    if (cls < 0 || sep < 0 || cls >= t->n || sep >= t->n)
        return wrong(t, "post_processor: cls or sep is no token", err);
    int32_t a = (int32_t)cls, b = (int32_t)sep;
    return wrap(t, &a, 1, &b, 1, err);
}

int slm_tok_json_post(slm_tokenizer *t, const slm_json *j, int depth, slm_err *err)
{
    if (!t->before)
        slm_tok_affixes(t, NULL, 0, NULL, 0);
    if (!t->before)
        return slm_fail_mem(err, "a post-processor", 0);
    if (slm_json_type(j) == SLM_JSON_NULL)
        return 0;
    const char *type = type_of(t, j, "post_processor", depth, err);
    if (!type)
        return SLM_E_FORMAT;
    if (!strcmp(type, "Sequence"))
        return each(t, slm_json_find(j, "processors"), depth, slm_tok_json_post, err);
    if (!strcmp(type, "TemplateProcessing"))
        return post_template(t, j, err);
    if (!strcmp(type, "BertProcessing") || !strcmp(type, "RobertaProcessing"))
        return post_pair(t, j, err);
    return !strcmp(type, "ByteLevel") ? 0 : lacks(t, "post_processor", type, err);
}
