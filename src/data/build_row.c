/* One row on its way into a store: parsed, understood, rendered, tokenised. Touches nothing but
 * its slot and its thread's scratch, so rows go side by side. */
#include <stdio.h>
#include <string.h>

#include "data/build_in.h"

static void lose(struct slot *s, enum slm_data_loss loss, const char *why)
{
    s->loss = loss;
    snprintf(s->why, sizeof s->why, "%.199s", why);
}

static void keep_names(struct slot *s, const struct slm_example *e)
{
    size_t k = 0;
    s->n_unused = 0;
    for (int i = 0; i < e->n_unused; i++) { /* the row goes before they are counted */
        size_t n = strlen(e->unused[i]) + 1;
        if (n > 64 || k + n > sizeof s->own_names)
            continue;
        memcpy(s->own_names + k, e->unused[i], n);
        s->unused[s->n_unused++] = s->own_names + k;
        k += n;
    }
}

/* A short answer may be a label. */
static void keep_answer(struct slot *s, const struct slm_example *e)
{
    const slm_json *m = e->messages[0];
    size_t n = 0, count = slm_json_count(m);
    const char *a = slm_json_str(
        m && count ? slm_json_find(slm_json_at(m, count - 1), "content") : e->plain[1], &n);
    s->n_answer = a && e->format != SLM_DATA_TEXT ? n : SIZE_MAX;
    s->answer[0] = 0;
    if (s->n_answer < sizeof s->answer) {
        memcpy(s->answer, a, n);
        s->answer[n] = 0;
    }
}

static bool any_special(const slm_tokenizer *t, const struct slm_example *e)
{
    for (int side = 0; side < 2; side++)
        for (size_t i = 0; i < slm_json_count(e->messages[side]); i++) {
            size_t n;
            const char *s =
                slm_json_str(slm_json_find(slm_json_at(e->messages[side], i), "content"), &n);
            if (s && slm_spells_special(t, s, n))
                return true;
        }
    return false;
}

/* Both answers of a pair follow the same tokens. */
static bool same_prompt(const struct slot *s)
{
    const struct encoding *a = &s->enc[0], *b = &s->enc[1];
    for (size_t i = 0; i < a->ids.len && i < b->ids.len; i++) {
        if (a->learn[i] || b->learn[i])
            return a->learn[i] == b->learn[i];
        if (a->ids.data[i] != b->ids.data[i])
            return false;
    }
    return true;
}

/* What the loss of the row depends on. */
static void fingerprint(struct slot *s)
{
    struct slm_hash h;
    slm_hash_init(&h, (uint64_t)s->label);
    for (int i = 0; i < s->sides; i++) {
        slm_hash_u64(&h, s->enc[i].ids.len);
        slm_hash_put(&h, s->enc[i].ids.data, s->enc[i].ids.len * sizeof(int32_t));
        slm_hash_put(&h, s->enc[i].learn, s->enc[i].ids.len);
    }
    slm_hash_end(&h);
    s->same = h.a;
}

static bool any_learnt(const struct encoding *x)
{
    return x->ids.len > 1 && memchr(x->learn + 1, 1, x->ids.len - 1);
}

static void render_row(struct build *b, struct slot *s, struct slm_example *e,
                       struct rendering *t)
{
    struct renderer r = b->renderer;
    s->sides = e->format == SLM_DATA_PREFERENCE ? 2 : 1;
    if (r.train_on == SLM_TRAIN_AUTO)
        r.train_on = e->format == SLM_DATA_TEXT ? SLM_TRAIN_ALL
                     : e->format == SLM_DATA_MESSAGES || e->format == SLM_DATA_SHAREGPT
                         ? SLM_TRAIN_ASSISTANT
                         : SLM_TRAIN_COMPLETION;
    for (int i = 0; i < s->sides && !s->code && !e->loss; i++) {
        s->code = slm_render(&r, e, i, t, &s->err);
        if (s->code || e->loss)
            return;
        s->chat = t->chat;
        s->alpaca = e->alpaca && !t->chat;
        if (!i) {
            s->script = slm_data_script(t->text.s, t->text.n);
            s->bytes = t->text.n;
        }
        s->code = slm_encode(&r, t, &s->enc[i], &s->err);
        if (!s->code && !any_learnt(&s->enc[i])) {
            e->loss = SLM_LOSS_MASKED;
            snprintf(e->why, sizeof e->why, "no token of it would be learnt");
        }
    }
    if (!s->code && !e->loss && s->sides == 2 && !same_prompt(s)) {
        e->loss = SLM_LOSS_SPANS;
        snprintf(e->why, sizeof e->why,
                 "the prompts of chosen and rejected become different tokens");
    }
}

/* Without a tokenizer: what can be told of the text. */
static void text_alone(const struct build *b, struct slot *s, const struct slm_example *e)
{
    const slm_json *all[] = {e->messages[0], e->messages[1], e->tools, e->plain[1]};
    struct slm_buf t;
    slm_buf_init(&t, b->rt, SLM_MEM_DATA, (size_t)1 << 29);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i])
            slm_json_put(&t, all[i]);
        slm_buf_putc(&t, '\n');
    }
    s->same = slm_hash64(t.s, t.n, (uint64_t)s->label);
    s->code = slm_buf_check(&t, "a row", &s->err);
    slm_buf_release(&t);
    s->bytes = s->row.n_raw;
    s->sides = 1;
    s->script = "no letters";
    size_t n;
    const slm_json *m = e->messages[0], *last = slm_json_at(m, slm_json_count(m) - 1);
    const char *text = slm_json_str(m ? slm_json_find(last, "content") : e->plain[1], &n);
    if (text)
        s->script = slm_data_script(text, n);
}

static void read_row(struct build *b, struct slot *s, struct rendering *scratch,
                     const struct slm_example_opts *o)
{
    struct slm_example e;
    s->code = slm_example_read(&e, b->rt, s->row.json, o, &s->err);
    if (!s->code && !e.loss && b->o->tokenizer) {
        s->special = b->renderer.tmpl && any_special(b->o->tokenizer, &e);
        render_row(b, s, &e, scratch);
    } else if (!s->code && !e.loss) {
        text_alone(b, s, &e);
    }
    s->format = e.format;
    s->label = e.label;
    s->loss = e.loss;
    if (e.loss)
        lose(s, e.loss, e.why);
    keep_names(s, &e);
    keep_answer(s, &e);
    slm_example_release(&e);
}

void slm_build_row(struct build *b, struct slot *s, struct rendering *scratch)
{
    static const enum slm_data_loss state[] = {[SLM_ROW_NOT_UTF8] = SLM_LOSS_UTF8,
                                               [SLM_ROW_NOT_JSON] = SLM_LOSS_JSON,
                                               [SLM_ROW_NO_OBJECT] = SLM_LOSS_JSON,
                                               [SLM_ROW_FIELDS] = SLM_LOSS_CSV};
    s->loss = SLM_LOSS_NONE;
    s->n_unused = 0;
    s->special = s->chat = s->alpaca = false;
    s->code = slm_row_parse(b->rows, &s->row, &s->err);
    if (s->code)
        return;
    if (!s->row.json) {
        lose(s, state[s->row.state], s->row.why);
        return;
    }
    read_row(b, s, scratch, &b->ex);
    if (!s->code && s->loss == SLM_LOSS_TEMPLATE) {
        /* some templates want the arguments of calls as text */
        struct slm_example_opts o = b->ex;
        char why[sizeof s->why];
        memcpy(why, s->why, sizeof why);
        o.arguments_text = true;
        read_row(b, s, scratch, &o);
        if (s->loss == SLM_LOSS_TEMPLATE)
            memcpy(s->why, why, sizeof why);
    }
    if (!s->code && !s->loss && b->o->tokenizer)
        fingerprint(s);
    slm_row_release(&s->row);
}
