/* What a model speaks with: its tokenizer, its chat template or its family's, the ids that end
 * a generation, and the sampling its authors advise. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/model_room.h"
#include "vocab/vocab.h"

#define MAX_TEMPLATE ((size_t)4 << 20)

/* ---- tokenizer ---- */

static int llama2c_tokenizer(slm_model *m, slm_err *err)
{
    /* beside the weights, under the names that llama2.c gives it */
    struct slm_buf b;
    slm_buf_init(&b, m->rt, SLM_MEM_MODEL, 1 << 16);
    const char *path = m->src.path, *base = slm_path_base(path);
    char own[32], spm[32];
    snprintf(own, sizeof own, "tok%d.bin", m->hp.vocab);
    snprintf(spm, sizeof spm, "tok%d.model", m->hp.vocab);
    const char *names[] = {own, "tokenizer.bin", spm, "tokenizer.model"};
    int rc = SLM_E_NOTFOUND;
    for (size_t i = 0; i < 4 && rc == SLM_E_NOTFOUND; i++) {
        slm_buf_reset(&b);
        slm_buf_put(&b, path, (size_t)(base - path));
        slm_buf_puts(&b, names[i]);
        if (!b.failed && slm_path_is_file(b.s))
            rc = slm_tok_open_path(&m->tok, m->rt, b.s, err);
    }
    slm_buf_release(&b);
    return rc == SLM_E_NOTFOUND
               ? slm_fail(err, rc,
                          "%s: no tokenizer beside it (%s, tokenizer.bin, %s, tokenizer.model)",
                          path, own, spm)
               : rc;
}

static bool has_tokenizer(const slm_model *m)
{
    if (m->src.kind == SLM_SOURCE_HF)
        return slm_tok_dir_has(m->rt, m->src.path);
    if (m->src.kind == SLM_SOURCE_LLAMA2C)
        return true; /* found or not on opening */
    struct slm_gguf_str s = {0};
    const struct slm_gguf_key *k = slm_gguf_find(m->src.gguf, "tokenizer.ggml.model");
    if (!k && !slm_gguf_find(m->src.gguf, "tokenizer.ggml.tokens"))
        return false;
    if (k && slm_gguf_is_str(k))
        s = slm_gguf_elem_str(k, 0);
    return !(s.n == 4 && !memcmp(s.s, "none", 4)) && !(s.n == 8 && !memcmp(s.s, "no_vocab", 8));
}

static int open_tokenizer(slm_model *m, const slm_model_opts *o, slm_err *err)
{
    if (o->no_tokenizer)
        return 0;
    if (!has_tokenizer(m))
        return o->allow_no_tokenizer
                   ? 0
                   : slm_fail(err, SLM_E_NOTFOUND, "%s: no tokenizer", m->src.path);
    int rc = m->src.kind == SLM_SOURCE_HF ? slm_tok_open_dir(&m->tok, m->rt, m->src.path, err)
             : m->src.kind == SLM_SOURCE_GGUF
                 ? slm_tokenizer_from_gguf(&m->tok, m->rt, m->src.gguf, err)
                 : llama2c_tokenizer(m, err);
    if (rc == SLM_E_NOTFOUND && o->allow_no_tokenizer && m->src.kind == SLM_SOURCE_LLAMA2C)
        return 0;
    if (!rc && slm_tokenizer_size(m->tok) > m->hp.vocab)
        return slm_fail(err, SLM_E_FORMAT,
                        "%s: the tokenizer has %d tokens, the model's vocabulary %d",
                        m->src.path, slm_tokenizer_size(m->tok), m->hp.vocab);
    return rc;
}

/* ---- chat template ---- */

static const char *keep(slm_model *m, const char *s, size_t n)
{
    return slm_arena_strndup(&m->arena, s, n);
}

static int keep_template(slm_model *m, const char *s, size_t n, const char *origin,
                         slm_err *err)
{
    m->tmpl_source = keep(m, s, n);
    m->tmpl_origin = origin;
    return m->tmpl_source ? 0 : slm_fail_mem(err, origin, n);
}

/* chat_template may be one text, or a list of {name, template}, of which "default" is meant. */
static int config_template(slm_model *m, const slm_json *t, const char *origin, slm_err *err)
{
    size_t n;
    const char *s = slm_json_str(t, &n);
    if (s)
        return keep_template(m, s, n, origin, err);
    for (size_t i = 0; i < slm_json_count(t) && slm_json_is(t, SLM_JSON_ARRAY); i++) {
        const slm_json *e = slm_json_at(t, i);
        const char *name = slm_json_str(slm_json_find(e, "name"), NULL);
        s = slm_json_str(slm_json_find(e, "template"), &n);
        if (name && s && !strcmp(name, "default"))
            return keep_template(m, s, n, origin, err);
    }
    return 0;
}

static int folder_template(slm_model *m, slm_err *err)
{
    struct slm_buf path, text;
    slm_buf_init(&path, m->rt, SLM_MEM_MODEL, 1 << 16);
    slm_buf_init(&text, m->rt, SLM_MEM_MODEL, MAX_TEMPLATE);
    slm_path_join(&path, m->src.path, "chat_template.jinja"); /* room for either name */
    int rc = slm_buf_check(&path, m->src.path, err);
    if (!rc && slm_path_is_file(path.s)) {
        rc = slm_file_slurp(&text, path.s, err);
        if (!rc)
            rc = keep_template(m, text.s, text.n, "chat_template.jinja", err);
    } else if (!rc &&
               slm_path_is_file(slm_path_join(&path, m->src.path, "chat_template.json"))) {
        slm_json *j = NULL;
        rc = slm_json_load(&j, m->rt, path.s, MAX_TEMPLATE, err);
        if (!rc)
            rc = config_template(m, slm_json_find(j, "chat_template"), "chat_template.json",
                                 err);
        slm_json_free(j);
    }
    if (!rc && !m->tmpl_source)
        rc = config_template(m, slm_json_find(m->src.tok_config, "chat_template"),
                             "tokenizer_config.json", err);
    slm_buf_release(&text);
    slm_buf_release(&path);
    return rc;
}

static int find_template(slm_model *m, slm_err *err)
{
    int rc = 0;
    if (m->src.kind == SLM_SOURCE_HF)
        rc = folder_template(m, err);
    struct slm_gguf_str s = {0};
    if (m->src.gguf)
        rc = slm_gguf_str(m->src.gguf, "tokenizer.chat_template", SLM_GGUF_OPTIONAL, &s, err);
    if (!rc && s.n)
        rc = keep_template(m, s.s, s.n, "tokenizer.chat_template", err);
    return rc;
}

/* The token by which a style is known to be what a vocabulary was made for. */
static bool has_mark(const slm_model *m, const char *style)
{
    static const struct {
        const char *style, *mark;
    } marks[] = {
        {"llama3", "<|start_header_id|>"},
        {"chatml", "<|im_start|>"},
        {"gemma", "<start_of_turn>"},
        {"phi3", "<|assistant|>"},
        {"mistral", "[INST]"},
        {"ministral3", "[INST]"},
    };
    for (size_t i = 0; m->tok && i < sizeof marks / sizeof *marks; i++)
        if (!strcmp(marks[i].style, style))
            return slm_tokenizer_find(m->tok, marks[i].mark, strlen(marks[i].mark)) >= 0;
    return false;
}

static int family_template(slm_model *m, slm_err *err)
{
    const char *const *chat = m->hp.family->chat, *style = chat[0];
    for (int i = 0; i < 3 && chat[i] && !m->chats; i++) {
        style = chat[i];
        m->chats = has_mark(m, style);
    }
    m->tmpl_source = slm_template_builtin(style);
    char origin[64];
    int n = snprintf(origin, sizeof origin, "family default: %s", style);
    m->tmpl_origin = keep(m, origin, (size_t)n);
    return m->tmpl_origin ? 0 : slm_fail_mem(err, "chat template", sizeof origin);
}

static int open_template(slm_model *m, slm_err *err)
{
    int rc = find_template(m, err);
    if (rc)
        return rc;
    m->chats = m->tmpl_source != NULL;
    if (!m->tmpl_source)
        rc = family_template(m, err);
    if (rc || !m->tmpl_source)
        return rc;
    slm_err why = {0};
    rc = slm_template_new(&m->tmpl, m->rt, m->tmpl_source, strlen(m->tmpl_source),
                          m->tmpl_origin, &why);
    if (rc == SLM_E_NOMEM)
        return slm_fail(err, rc, "%s", why.msg);
    m->chats &= !rc;
    if (rc) { /* the model can still complete; whoever chats is told */
        m->tmpl_origin = slm_arena_strdup(&m->arena, why.msg);
        slm_log(m->rt, SLM_LOG_WARN, "%s: chat template unusable: %s", m->src.path, why.msg);
    }
    return 0;
}

/* ---- end of generation, defaults ---- */

static int add_eog(slm_model *m, const slm_json *v, slm_err *err)
{
    size_t n = slm_json_is(v, SLM_JSON_ARRAY) ? slm_json_count(v) : 1;
    if (slm_json_type(v) == SLM_JSON_NULL)
        return 0;
    m->eog = slm_arena_alloc_n(&m->arena, n, sizeof *m->eog);
    if (!m->eog)
        return slm_fail_mem(err, "end of generation", n * sizeof *m->eog);
    for (size_t i = 0; i < n; i++) {
        int64_t id = slm_json_int(slm_json_is(v, SLM_JSON_ARRAY) ? slm_json_at(v, i) : v, -1);
        if (id < 0 || id >= m->hp.vocab)
            return slm_fail(err, SLM_E_FORMAT,
                            "%s: eos_token_id %lld is outside the vocabulary of %d",
                            m->src.path, (long long)id, m->hp.vocab);
        m->eog[m->n_eog++] = (int32_t)id;
    }
    return 0;
}

static int read_eog(slm_model *m, slm_err *err)
{
    if (m->src.kind != SLM_SOURCE_HF)
        return 0;
    /* the generation config wins over the model's */
    const slm_json *v = slm_json_find(m->src.generation, "eos_token_id");
    if (slm_json_type(v) == SLM_JSON_NULL)
        v = slm_json_find(m->src.text, "eos_token_id");
    return add_eog(m, v, err);
}

static float advice(const slm_model *m, const char *hf, const char *gguf)
{
    if (m->src.generation)
        return (float)slm_json_num(slm_json_find(m->src.generation, hf), (double)NAN);
    const struct slm_gguf_key *k = m->src.gguf ? slm_gguf_find(m->src.gguf, gguf) : NULL;
    return k && k->type != SLM_GGUF_ARR && !slm_gguf_is_str(k) ? (float)slm_gguf_elem_num(k, 0)
                                                               : NAN;
}

static void read_defaults(slm_model *m)
{
    slm_model_defaults *d = &m->defaults;
    d->temp = advice(m, "temperature", "general.sampling.temp");
    d->top_p = advice(m, "top_p", "general.sampling.top_p");
    d->min_p = advice(m, "min_p", "general.sampling.min_p");
    d->repeat_penalty = advice(m, "repetition_penalty", "general.sampling.penalty_repeat");
    float k = advice(m, "top_k", "general.sampling.top_k");
    d->top_k = k > 0 && k < 1e6f ? (int)k : 0;
}

int slm_model_chats(const slm_model *m) { return m->chats; }

int slm_model_attach(slm_model *m, const slm_model_opts *o, slm_err *err)
{
    read_defaults(m);
    int rc = open_tokenizer(m, o, err);
    if (!rc)
        rc = read_eog(m, err);
    return rc ? rc : open_template(m, err);
}

int slm_model_attach_new(slm_model *m, const char *path, slm_err *err)
{
    static const float none = NAN;
    m->defaults = (slm_model_defaults){.temp = none, .top_p = none, .min_p = none,
                                       .repeat_penalty = none};
    int rc = path ? slm_tokenizer_open(&m->tok, m->rt, path, err) : 0;
    if (rc || !path)
        return rc;
    const char *own = m->src.path;
    m->src.path = path;
    m->src.kind = slm_path_is_dir(path) ? SLM_SOURCE_HF : m->src.kind;
    rc = open_template(m, err);
    m->src.path = own;
    return rc;
}
