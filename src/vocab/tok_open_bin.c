/* llama2.c's tokenizer.bin: the longest token's length, then score, length and bytes of each
 * piece. It is a SentencePiece vocabulary whose marks were written as blanks and whose types
 * are known by place: unknown, bos, eos, 256 bytes, then pieces. */
#include "vocab/tok_spm.h"

#include <string.h>

static uint32_t u32(const char *s)
{
    const uint8_t *p = (const uint8_t *)s;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Is it the piece of byte id - 3: "<0x41>", or in older files the character of that number? */
static bool is_byte(const char *s, size_t n, int id)
{
    int32_t cp = -1;
    if (id < 3 || id >= 259)
        return false;
    return slm_byte_piece(s, n) >= 0 || ((size_t)slm_utf8_next(s, n, &cp) == n && cp == id - 3);
}

/* The piece as SentencePiece writes it. */
static struct slm_tok_str piece(slm_tokenizer *t, const char *s, size_t n, int id)
{
    if (id == 1 || id == 2) /* stored with line breaks around */
        return slm_tok_dup(t, id == 1 ? "<s>" : "</s>", id == 1 ? 3 : 4);
    if (is_byte(s, n, id)) {
        static const char digits[] = "0123456789ABCDEF";
        const char full[] = {'<', '0', 'x', digits[(id - 3) >> 4], digits[(id - 3) & 15], '>'};
        return slm_tok_dup(t, full, sizeof full);
    }
    char *p = slm_arena_alloc(&t->arena, 3 * n + 1);
    size_t m = 0;
    for (size_t i = 0; p && i < n; i++) {
        if (s[i] == ' ') {
            memcpy(p + m, SLM_MARK, SLM_MARK_LEN);
            m += SLM_MARK_LEN;
        } else {
            p[m++] = s[i];
        }
    }
    return (struct slm_tok_str){p, m};
}

static int read_pieces(slm_tokenizer *t, const char *s, size_t n, slm_err *err)
{
    int id = 0;
    for (size_t i = 4; i < n; id++) {
        union {
            uint32_t u;
            float f;
        } score = {u32(s + i)};
        size_t len = u32(s + i + 4);
        t->piece[id] = piece(t, s + i + 8, len, id);
        if (!t->piece[id].s)
            return slm_fail_mem(err, "pieces", len);
        t->score[id] = score.f == score.f ? score.f : 0;
        t->type[id] = id == 0                       ? SLM_TOKEN_UNKNOWN
                      : id < 3                      ? SLM_TOKEN_CONTROL
                      : is_byte(s + i + 8, len, id) ? SLM_TOKEN_BYTE
                                                    : SLM_TOKEN_NORMAL;
        i += 8 + len;
    }
    return 0;
}

static int build(slm_tokenizer *t, const char *s, size_t n, slm_err *err)
{
    size_t count = 0, i = 4;
    uint32_t longest = n >= 4 ? u32(s) : 0;
    while (n - i >= 8 && n > 4 && i < n) {
        size_t len = u32(s + i + 4);
        if (!len || len > longest || len > n - i - 8)
            break;
        i += 8 + len;
        count++;
    }
    if (i != n || count < 260)
        return slm_fail(err, SLM_E_FORMAT, "%s: piece %zu is malformed", t->name, count);
    int rc = slm_tok_tables(t, count, err);
    rc = rc ? rc : read_pieces(t, s, n, err);
    struct norm_step *st = slm_tok_add_norm(t, NORM_SPM);
    if (!st && !rc)
        rc = slm_fail_mem(err, "a normaliser", 0);
    if (rc)
        return rc;
    st->dummy_prefix = st->escape = true;
    t->named[SLM_TOK_UNK] = 0;
    t->named[SLM_TOK_BOS] = 1;
    t->named[SLM_TOK_EOS] = 2;
    t->add_bos = true;
    rc = slm_tok_spm_model(t, false, true, err);
    rc = rc ? rc : slm_tok_spm_added(t, err);
    return rc ? rc : slm_tok_spm_decoder(t, true, false, err);
}

int slm_tok_open_bin(slm_tokenizer **out, slm_runtime *rt, const char *s, size_t n,
                     const char *name, slm_err *err)
{
    slm_tokenizer *t = NULL;
    int rc = slm_tok_begin(&t, rt, name, err);
    if (!rc)
        t->source = FROM_BIN;
    rc = rc ? rc : build(t, s, n, err);
    if (rc && t)
        slm_tokenizer_close(&t);
    *out = t;
    return rc;
}
