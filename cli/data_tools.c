/* Options and talk that the tools of `slm data` have in common. */
#include "data_tools.h"

#include <math.h>
#include <string.h>

#define F(field) offsetof(struct slm_cli_data_in, field)
const struct slm_cli_opt slm_cli_data_in_opts[] = {
    SLM_CLI_CHOICE(0, "form", F(form), "auto jsonl json csv tsv text",
                   "how rows stand in the files (default: by their names)"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "separator", F(separator), "TEXT",
                  "what parts the documents of plain text: line, blank (blank lines), or the "
                  "text itself; without it a file is a document"),
    SLM_CLI_VALUE(OPT_TEXT, 0, "delimiter", F(delimiter), "CHAR",
                  "what parts the fields of CSV (default: found out)"),
    SLM_CLI_VALUE(OPT_LIST, 0, "by", F(by), "FIELD",
                  "only the text of this field counts (may be given several times): prompt, "
                  "messages.user.content, meta.text (default: the content, but for what the "
                  "system says)"),
    SLM_CLI_END,
};
#undef F

int slm_cli_data_in(struct slm_cli *c, const struct slm_cli_data_in *a,
                    struct slm_cli_progress *bar, slm_corpus_in *in, slm_err *err)
{
    *in = (slm_corpus_in){.paths = c->words.v,
                          .n_paths = c->words.n,
                          .form = a->form ? slm_data_form_find(a->form) : SLM_DATA_FORM_AUTO,
                          .separator = a->separator,
                          .by = a->by.item,
                          .n_by = a->by.n,
                          .progress = slm_cli_progress_step,
                          .progress_arg = bar};
    if (a->delimiter && strlen(a->delimiter) != 1 && strcmp(a->delimiter, "\\t"))
        return slm_cli_fail(err, SLM_E_ARG, "--delimiter: '%.20s' is no single character",
                            a->delimiter);
    if (a->delimiter)
        in->delimiter = a->delimiter[1] ? '\t' : a->delimiter[0];
    slm_cli_catch_interrupt();
    return 0;
}

double slm_cli_share(float x) { return round((double)x * 1e6) / 1e6; }

const char *slm_cli_count(char buf[32], int64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)(n < 0 ? -n : n)), k = 0;
    if (n < 0)
        buf[k++] = '-';
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            buf[k++] = ',';
        buf[k++] = digits[i];
    }
    buf[k] = 0;
    return buf;
}

void slm_cli_data_say_seen(const struct slm_cli *c, const slm_corpus_seen *s)
{
    char n[32], size[32];
    slm_cli_say(c, "%s rows read from %d file%s, %s", slm_cli_count(n, s->rows), s->files,
                s->files == 1 ? "" : "s", slm_cli_size(size, (double)s->bytes));
    if (!s->bad)
        return;
    slm_cli_say(c, "%s of them left out: unreadable", slm_cli_count(n, s->bad));
    for (int i = 0; i < s->n_examples; i++)
        slm_cli_say(c, "  %s:%lld: %s", s->example[i].file, (long long)s->example[i].line,
                    s->example[i].text);
    if (s->bad > s->n_examples)
        slm_cli_say(c, "  ...");
}

void slm_cli_data_json_note(struct slm_cli_json *j, const char *key, const slm_corpus_note *n)
{
    if (key)
        slm_js_key(j, key);
    slm_js_open(j, '{');
    slm_js_kstr(j, "file", n->file);
    slm_js_kint(j, "line", n->line);
    slm_js_kstr(j, "text", n->text);
    slm_js_close(j, '}');
}

void slm_cli_data_json_notes(struct slm_cli_json *j, const char *key, const slm_corpus_note *n,
                             int count)
{
    slm_js_key(j, key);
    slm_js_open(j, '[');
    for (int i = 0; i < count; i++)
        slm_cli_data_json_note(j, NULL, &n[i]);
    slm_js_close(j, ']');
}

void slm_cli_data_json_counts(struct slm_cli_json *j, const char *key,
                              const slm_corpus_count *v, int n)
{
    slm_js_key(j, key);
    slm_js_open(j, '{');
    for (int i = 0; i < n; i++)
        slm_js_kint(j, v[i].name, v[i].rows);
    slm_js_close(j, '}');
}

void slm_cli_data_json_seen(struct slm_cli_json *j, const slm_corpus_seen *s)
{
    slm_js_kint(j, "rows", s->rows);
    slm_js_kint(j, "bad", s->bad);
    slm_js_kint(j, "bytes", (int64_t)s->bytes);
    slm_js_kint(j, "files", s->files);
    slm_cli_data_json_notes(j, "unreadable", s->example, s->n_examples);
}
