/* The report of a build as JSON: what --json prints, and the note in a store. */
#include <stdio.h>
#include <string.h>

#include "data/data.h"

static void key(struct slm_buf *b, const char *name)
{
    char last = b->n ? b->s[b->n - 1] : 0;
    if (last != '{')
        slm_buf_putc(b, ',');
    slm_buf_put_json(b, name, strlen(name));
    slm_buf_putc(b, ':');
}

static void count(struct slm_buf *b, const char *name, int64_t n)
{
    key(b, name);
    slm_buf_printf(b, "%lld", (long long)n);
}

static void text(struct slm_buf *b, const char *name, const char *s)
{
    key(b, name);
    slm_buf_put_json(b, s, strlen(s));
}

static void counts(struct slm_buf *b, const char *name, const slm_data_count *c, int n)
{
    key(b, name);
    slm_buf_putc(b, '{');
    for (int i = 0; i < n; i++)
        count(b, c[i].name, c[i].n);
    slm_buf_putc(b, '}');
}

static void losses(struct slm_buf *b, const slm_data_report *r)
{
    key(b, "lost");
    slm_buf_putc(b, '{');
    for (int i = 1; i < SLM_LOSS_COUNT; i++) {
        if (!r->lost[i])
            continue;
        key(b, slm_data_loss_name(i));
        slm_buf_putc(b, '{');
        count(b, "rows", r->lost[i]);
        key(b, "first");
        for (int k = 0; k < SLM_DATA_PLACES && r->place[i][k][0]; k++) {
            slm_buf_putc(b, k ? ',' : '[');
            slm_buf_put_json(b, r->place[i][k], strlen(r->place[i][k]));
        }
        slm_buf_puts(b, r->place[i][0][0] ? "]}" : "[]}");
    }
    slm_buf_putc(b, '}');
}

static void shape(struct slm_buf *b, const slm_data_report *r)
{
    static const char *const packs[] = {"best_fit", "wrapped", "none"};
    char up_to[24];
    key(b, "formats");
    slm_buf_putc(b, '{');
    for (int i = 0; i < SLM_DATA_FORMAT_COUNT; i++)
        if (r->format[i])
            count(b, slm_data_format_name(i), r->format[i]);
    slm_buf_puts(b, "}");
    key(b, "lengths");
    slm_buf_putc(b, '{');
    for (int i = 0; i < SLM_DATA_BINS; i++)
        if (r->length[i]) {
            snprintf(up_to, sizeof up_to, "%lld", (long long)1 << i);
            count(b, up_to, r->length[i]);
        }
    slm_buf_puts(b, "}");
    key(b, "packed_rows");
    slm_buf_putc(b, '{');
    for (int i = 0; i < 3; i++)
        if (r->packed_rows[i])
            count(b, packs[i], r->packed_rows[i]);
    slm_buf_puts(b, "}");
}

int slm_data_report_json(const slm_data_report *r, slm_runtime *rt, slm_text *out, slm_err *err)
{
    static const char *const kinds[] = {"text", "chat", "pair", "judged"};
    struct slm_buf b;
    slm_buf_init(&b, rt, SLM_MEM_DATA, (size_t)1 << 24);
    slm_buf_putc(&b, '{');
    count(&b, "files", r->files);
    count(&b, "bytes", r->bytes);
    count(&b, "rows", r->rows);
    count(&b, "kept", r->kept);
    losses(&b, r);
    count(&b, "truncated", r->truncated);
    count(&b, "split", r->split);
    count(&b, "tokens_cut", r->tokens_cut);
    text(&b, "kind", kinds[r->kind]);
    count(&b, "docs", r->docs);
    count(&b, "tokens", r->tokens);
    count(&b, "targets", r->targets);
    count(&b, "longest", r->longest);
    shape(&b, r);
    count(&b, "by_template", r->by_template);
    count(&b, "by_alpaca", r->by_alpaca);
    count(&b, "by_text", r->by_text);
    count(&b, "open_turns", r->open_turns);
    count(&b, "special", r->special);
    count(&b, "duplicates", r->duplicates);
    counts(&b, "scripts", r->script, r->n_scripts);
    count(&b, "n_labels", r->n_labels);
    count(&b, "least_label", r->least_label);
    counts(&b, "labels", r->label,
           (int)(r->n_labels < SLM_DATA_LABELS ? r->n_labels : SLM_DATA_LABELS));
    counts(&b, "unused", r->unused, r->n_unused);
    text(&b, "hash", r->hash);
    slm_buf_putc(&b, '}');
    int rc = slm_buf_check(&b, "report", err);
    rc = rc ? rc : slm_text_put(out, rt, b.s, b.n, err);
    slm_buf_release(&b);
    return rc;
}
