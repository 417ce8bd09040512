/* SentencePiece's .model: a protobuf message, read by a small reader of our own. Fields we do
 * not know are skipped by their wire type; every length is checked against what is left. */
#include "vocab/tok_spm.h"

#include <string.h>

struct pb {
    const uint8_t *p;
    size_t n;
};
struct field {
    uint32_t number;
    int wire;       /* 0 varint, 1 eight bytes, 2 bytes, 5 four bytes */
    uint64_t value; /* varint and fixed */
    struct pb bytes;
};

static bool varint(struct pb *b, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; shift < 64 && b->n; shift += 7) {
        uint8_t c = *b->p++;
        b->n--;
        *v |= (uint64_t)(c & 0x7F) << shift;
        if (c < 0x80)
            return true;
    }
    return false;
}

static bool fixed(struct pb *b, int bytes, uint64_t *v)
{
    if (b->n < (size_t)bytes)
        return false;
    *v = 0;
    for (int i = 0; i < bytes; i++)
        *v |= (uint64_t)b->p[i] << (8 * i);
    b->p += bytes;
    b->n -= (size_t)bytes;
    return true;
}

/* Next field: 1, 0 at the end, -1 when malformed. */
static int next(struct pb *b, struct field *f)
{
    uint64_t key, len;
    if (!b->n)
        return 0;
    if (!varint(b, &key) || !(key >> 3) || key >> 3 > 536870911)
        return -1;
    f->number = (uint32_t)(key >> 3);
    f->wire = (int)(key & 7);
    switch (f->wire) {
    case 0: return varint(b, &f->value) ? 1 : -1;
    case 1: return fixed(b, 8, &f->value) ? 1 : -1;
    case 5: return fixed(b, 4, &f->value) ? 1 : -1;
    case 2:
        if (!varint(b, &len) || len > b->n)
            return -1;
        f->bytes = (struct pb){b->p, (size_t)len};
        b->p += len;
        b->n -= (size_t)len;
        return 1;
    default: return -1;
    }
}

static struct slm_tok_str text(const struct field *f)
{
    return (struct slm_tok_str){(const char *)f->bytes.p, f->bytes.n};
}

/* What the file says, before it is judged. */
struct spm {
    size_t n_pieces;
    bool has_trainer, has_norm;
    uint64_t model_type;
    bool byte_fallback, suffix;
    struct slm_tok_str unk_surface, names[4]; /* unk bos eos pad */
    bool dummy, extra, escape;
    struct pb charsmap;
};

static int bad(slm_tokenizer *t, const char *what, slm_err *err)
{
    return slm_fail(err, SLM_E_FORMAT, "%s: SentencePiece model: %s", t->name, what);
}

static int read_trainer(slm_tokenizer *t, struct spm *m, struct pb b, slm_err *err)
{
    struct field f;
    int rc;
    m->has_trainer = true;
    while ((rc = next(&b, &f)) > 0) {
        bool bytes = f.wire == 2;
        if (f.number == 3 && f.wire == 0)
            m->model_type = f.value;
        else if (f.number == 24 && f.wire == 0)
            m->suffix = f.value != 0;
        else if (f.number == 35 && f.wire == 0)
            m->byte_fallback = f.value != 0;
        else if (f.number == 44 && bytes)
            m->unk_surface = text(&f);
        else if (f.number >= 45 && f.number <= 48 && bytes)
            m->names[f.number - 45] = text(&f);
    }
    return rc < 0 ? bad(t, "malformed trainer_spec", err) : 0;
}

static int read_normalizer(slm_tokenizer *t, struct spm *m, struct pb b, slm_err *err)
{
    struct field f;
    int rc;
    m->has_norm = true;
    while ((rc = next(&b, &f)) > 0) {
        if (f.number == 2 && f.wire == 2)
            m->charsmap = f.bytes;
        else if (f.number == 3 && f.wire == 0)
            m->dummy = f.value != 0;
        else if (f.number == 4 && f.wire == 0)
            m->extra = f.value != 0;
        else if (f.number == 5 && f.wire == 0)
            m->escape = f.value != 0;
    }
    return rc < 0 ? bad(t, "malformed normalizer_spec", err) : 0;
}

/* First pass: counts the pieces and reads the two specs. */
static int scan(slm_tokenizer *t, struct spm *m, struct pb b, slm_err *err)
{
    struct field f;
    int rc, sub = 0;
    while (!sub && (rc = next(&b, &f)) > 0) {
        if (f.wire != 2)
            continue;
        if (f.number == 1)
            m->n_pieces++;
        else if (f.number == 2)
            sub = read_trainer(t, m, f.bytes, err);
        else if (f.number == 3)
            sub = read_normalizer(t, m, f.bytes, err);
    }
    if (sub)
        return sub;
    if (rc < 0)
        return bad(t, "malformed or cut off", err);
    if (!m->n_pieces)
        return bad(t, "no pieces", err);
    if (!m->has_trainer || !m->has_norm)
        return bad(t, m->has_trainer ? "no normalizer_spec" : "no trainer_spec", err);
    if (m->model_type != 1 && m->model_type != 2)
        return slm_fail(err, SLM_E_UNSUPPORTED, "%s: SentencePiece model: model_type %llu%s",
                        t->name, (unsigned long long)m->model_type,
                        m->model_type == 3   ? " (WORD)"
                        : m->model_type == 4 ? " (CHAR)"
                                             : "");
    return 0;
}

static int read_piece(slm_tokenizer *t, int id, struct pb b, slm_err *err)
{
    struct field f;
    int rc;
    struct slm_tok_str s = {"", 0};
    uint64_t type = SLM_TOKEN_NORMAL;
    union {
        uint32_t u;
        float f;
    } score = {0};
    while ((rc = next(&b, &f)) > 0) {
        if (f.number == 1 && f.wire == 2)
            s = text(&f);
        else if (f.number == 2 && f.wire == 5)
            score.u = (uint32_t)f.value;
        else if (f.number == 3 && f.wire == 0)
            type = f.value;
    }
    if (rc < 0 || !s.n || type < 1 || type > 6 || !(score.f == score.f))
        return slm_fail(err, SLM_E_FORMAT, "%s: SentencePiece model: piece %d is malformed",
                        t->name, id);
    t->piece[id] = slm_tok_dup(t, s.s, s.n);
    if (!t->piece[id].s)
        return slm_fail_mem(err, "pieces", s.n);
    t->type[id] = (uint8_t)type;
    t->score[id] = score.f;
    return 0;
}

static int read_pieces(slm_tokenizer *t, struct pb b, slm_err *err)
{
    struct field f;
    int id = 0, rc = 0;
    while (!rc && next(&b, &f) > 0) {
        if (f.number == 1 && f.wire == 2)
            rc = read_piece(t, id++, f.bytes, err);
    }
    return rc;
}

/* --- what SentencePiece needs of any source (also GGUF and llama2.c) --- */

/* User-defined pieces, which the text is searched for before anything else. */
static int index_user(slm_tokenizer *t, slm_err *err)
{
    size_t n = 0;
    for (int i = 0; i < t->n; i++)
        n += t->type[i] == SLM_TOKEN_USER;
    if (!n)
        return 0;
    struct slm_tok_str *keys = slm_arena_alloc_n(&t->arena, n, sizeof *keys);
    t->user_id = slm_arena_alloc_n(&t->arena, n, sizeof *t->user_id);
    if (!keys || !t->user_id)
        return slm_fail_mem(err, "user-defined pieces", n);
    n = 0;
    for (int i = 0; i < t->n; i++) {
        if (t->type[i] != SLM_TOKEN_USER)
            continue;
        keys[n] = t->piece[i];
        t->user_first[(uint8_t)keys[n].s[0]] = 1;
        t->user_id[n++] = i;
    }
    t->has_user = true;
    return slm_trie_init(&t->user, &t->arena, keys, n)
               ? slm_fail_mem(err, "user-defined pieces", n)
               : 0;
}

static int byte_ids(slm_tokenizer *t, int32_t *ids, bool need, slm_err *err)
{
    for (int b = 0; b < 256; b++)
        ids[b] = -1;
    for (int i = 0; i < t->n; i++) {
        int b =
            t->type[i] == SLM_TOKEN_BYTE ? slm_byte_piece(t->piece[i].s, t->piece[i].n) : -1;
        if (b >= 0)
            ids[b] = i;
    }
    for (int b = 0; b < 256 && need; b++) {
        if (ids[b] < 0)
            return slm_fail(err, SLM_E_FORMAT,
                            "%s: byte fallback without a token for byte 0x%02X", t->name, b);
    }
    return 0;
}

static int index_unigram(slm_tokenizer *t, slm_err *err)
{
    struct unigram *u = &t->uni;
    bool any = false;
    struct slm_tok_str *keys = slm_arena_alloc_n(&t->arena, (size_t)t->n, sizeof *keys);
    if (!keys)
        return slm_fail_mem(err, "pieces", (size_t)t->n);
    for (int i = 0; i < t->n; i++) {
        int type = t->type[i];
        if (type == SLM_TOKEN_NORMAL || type == SLM_TOKEN_USER || type == SLM_TOKEN_UNUSED)
            keys[i] = t->piece[i];
        if (type != SLM_TOKEN_NORMAL)
            continue;
        double s = (double)t->score[i];
        u->min_score = !any || s < u->min_score ? s : u->min_score;
        u->max_score = !any || s > u->max_score ? s : u->max_score;
        any = true;
    }
    return slm_trie_init(&u->trie, &t->arena, keys, (size_t)t->n)
               ? slm_fail_mem(err, "pieces", (size_t)t->n)
               : 0;
}

int slm_tok_spm_model(slm_tokenizer *t, bool unigram, bool byte_fallback, slm_err *err)
{
    int32_t unk = t->named[SLM_TOK_UNK];
    if (unk < 0 && !byte_fallback)
        return slm_fail(err, SLM_E_FORMAT, "%s: no unknown token", t->name);
    t->kind = unigram ? MODEL_UNIGRAM : MODEL_BPE;
    t->bpe.spm = !unigram;
    t->uni.spm = unigram;
    t->bpe.unk = t->uni.unk = unk;
    t->bpe.byte_fallback = t->uni.byte_fallback = byte_fallback;
    int rc = byte_ids(t, unigram ? t->uni.fallback : t->bpe.fallback, byte_fallback, err);
    rc = rc ? rc : slm_tok_index(t, false, err);
    rc = rc ? rc : slm_tok_raw_marks(t, err);
    rc = rc ? rc : index_user(t, err);
    if (rc)
        return rc;
    for (int i = 0; i < t->n; i++)
        t->bpe.has_unused |=
            !unigram && t->type[i] == SLM_TOKEN_UNUSED && t->source == FROM_SPM;
    if (unigram)
        return index_unigram(t, err);
    rc = slm_bpe_from_scores(t, err);
    if (!rc)
        slm_bpe_finish(t);
    return rc;
}

int slm_tok_spm_added(slm_tokenizer *t, slm_err *err)
{
    for (int i = 0; i < t->n; i++) {
        if (t->type[i] != SLM_TOKEN_CONTROL && t->type[i] != SLM_TOKEN_UNKNOWN)
            continue;
        struct added *a = slm_tok_add_added(t, t->piece[i].s, t->piece[i].n, i, err);
        if (!a)
            return SLM_E_NOMEM;
        a->special = true;
    }
    return 0;
}

int slm_tok_spm_decoder(slm_tokenizer *t, bool dummy, bool extra, slm_err *err)
{
    struct dec_step *d = slm_tok_add_dec(t, DEC_SPM);
    if (!d)
        return slm_fail(err, SLM_E_INTERNAL, "%s: decoder", t->name);
    d->prefix_space = dummy || extra;
    d->extra_spaces = extra;
    d->a = (struct slm_tok_str){" \xE2\x81\x87 ", 5};
    return 0;
}

/* Id of a control token by name, -1. */
static int32_t control(const slm_tokenizer *t, struct slm_tok_str name, int type)
{
    for (int i = 0; i < t->n; i++) {
        if (t->type[i] == type && t->piece[i].n == name.n &&
            !memcmp(t->piece[i].s, name.s, name.n))
            return i;
    }
    return -1;
}

static int build(slm_tokenizer *t, const struct spm *m, slm_err *err)
{
    bool unigram = m->model_type == 1;
    for (int i = 0; i < t->n; i++) {
        if (t->type[i] == SLM_TOKEN_UNKNOWN && t->named[SLM_TOK_UNK] >= 0)
            return bad(t, "two unknown tokens", err);
        if (t->type[i] == SLM_TOKEN_UNKNOWN)
            t->named[SLM_TOK_UNK] = i;
        if (t->type[i] == SLM_TOKEN_BYTE && slm_byte_piece(t->piece[i].s, t->piece[i].n) < 0)
            return bad(t, "a byte piece that is no <0xNN>", err);
    }
    if (t->named[SLM_TOK_UNK] < 0)
        return bad(t, "no unknown token", err);
    static const struct slm_tok_str others[] = {{"<bos>", 5}, {"<eos>", 5}};
    t->named[SLM_TOK_BOS] = control(t, m->names[1], SLM_TOKEN_CONTROL);
    t->named[SLM_TOK_EOS] = control(t, m->names[2], SLM_TOKEN_CONTROL);
    t->named[SLM_TOK_PAD] = control(t, m->names[3], SLM_TOKEN_CONTROL);
    for (int k = SLM_TOK_BOS; k <= SLM_TOK_EOS;
         k++) { /* Gemma's, where the trainer's do not fit */
        if (t->named[k] < 0)
            t->named[k] = control(t, others[k], SLM_TOKEN_CONTROL);
    }
    t->add_bos = !unigram;
    struct norm_step *st = slm_tok_add_norm(t, NORM_SPM);
    if (!st)
        return slm_fail_mem(err, "a normaliser", 0);
    st->dummy_prefix = m->dummy;
    st->extra_spaces = m->extra;
    st->escape = m->escape;
    st->suffix = m->suffix;
    int rc = 0;
    if (m->charsmap.n) {
        st->map = slm_arena_alloc(&t->arena, sizeof *st->map);
        rc = st->map ? slm_charsmap_init(st->map, &t->arena, m->charsmap.p, m->charsmap.n,
                                         t->name, err)
                     : slm_fail_mem(err, "a charsmap", m->charsmap.n);
    }
    rc = rc ? rc : slm_tok_spm_model(t, unigram, m->byte_fallback, err);
    rc = rc ? rc : slm_tok_spm_added(t, err);
    rc = rc ? rc : slm_tok_spm_decoder(t, m->dummy, m->extra, err);
    if (!rc && m->unk_surface.s)
        t->dec[0].a = slm_tok_dup(t, m->unk_surface.s, m->unk_surface.n);
    return rc;
}

int slm_tok_open_spm(slm_tokenizer **out, slm_runtime *rt, const char *s, size_t n,
                     const char *name, slm_err *err)
{
    struct spm m = {.model_type = 1,
                    .dummy = true,
                    .extra = true,
                    .escape = true,
                    .names = {{"<unk>", 5}, {"<s>", 3}, {"</s>", 4}, {"<pad>", 5}}};
    struct pb all = {(const uint8_t *)s, n};
    slm_tokenizer *t = NULL;
    int rc = slm_tok_begin(&t, rt, name, err);
    if (!rc)
        t->source = FROM_SPM;
    rc = rc ? rc : scan(t, &m, all, err);
    rc = rc ? rc : slm_tok_tables(t, m.n_pieces, err);
    rc = rc ? rc : read_pieces(t, all, err);
    rc = rc ? rc : build(t, &m, err);
    if (rc && t)
        slm_tokenizer_close(&t);
    *out = t;
    return rc;
}
