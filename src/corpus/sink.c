/* The file that a tool writes: rows go over byte for byte where the forms are alike, so nothing
 * that the tool did not mean to change changes; else as JSON lines. */
#include "corpus/shelf.h"

#include <string.h>

static enum slm_data_form form_of(const char *path)
{
    return slm_str_ends(path, ".csv")   ? SLM_DATA_FORM_CSV
           : slm_str_ends(path, ".tsv") ? SLM_DATA_FORM_TSV
           : slm_str_ends(path, ".txt") || slm_str_ends(path, ".text") ||
                   slm_str_ends(path, ".md")
               ? SLM_DATA_FORM_TEXT
               : SLM_DATA_FORM_JSONL;
}

/* The bytes before the first row of a file of records: its header. */
static size_t header_of(const struct slm_shelf *s, int file, const char **at)
{
    if (s->first[file] == s->first[file + 1])
        return 0;
    size_t n = (size_t)s->place[s->first[file]].at;
    *at = s->base[file];
    if (n >= 3 && !memcmp(*at, "\xef\xbb\xbf", 3)) {
        *at += 3;
        n -= 3;
    }
    while (n && ((*at)[n - 1] == '\n' || (*at)[n - 1] == '\r'))
        n--;
    return n;
}

int slm_sink_check(const struct slm_shelf *s, const char *path, slm_err *err)
{
    enum slm_data_form form = form_of(path);
    const char *head = "", *first = NULL;
    size_t n_first = 0;
    int rc = slm_out_check(path, err);
    if (rc)
        return rc;
    for (int i = 0; i < s->files; i++) {
        const char *file = slm_rows_file(s->rows, i);
        enum slm_data_form own = slm_rows_form(s->rows, i);
        if (slm_path_same(file, path))
            return slm_fail(err, SLM_E_ARG, "%s: is read from; write to another name", path);
        if (form == SLM_DATA_FORM_JSONL || s->first[i] == s->first[i + 1])
            continue;
        if (own != form || (form == SLM_DATA_FORM_TEXT && !s->in->separator))
            return slm_fail(err, SLM_E_ARG,
                            "%s: rows of %s (%s) cannot be kept as they are in a %s file; name "
                            "the output .jsonl",
                            path, file, slm_data_form_name(own), slm_data_form_name(form));
        if (form == SLM_DATA_FORM_TEXT)
            continue;
        size_t n = header_of(s, i, &head);
        if (first && (n != n_first || memcmp(head, first, n)))
            return slm_fail(err, SLM_E_ARG,
                            "%s: %s has another header than the file before; name the output "
                            ".jsonl",
                            path, file);
        first = head;
        n_first = n;
    }
    return 0;
}

static int put(struct slm_sink *k, const char *s, size_t n, slm_err *err)
{
    return slm_out_write(&k->o, s, n, err);
}

/* What stands behind each text. */
static int set_end(struct slm_sink *k, slm_err *err)
{
    const char *sep = k->shelf->in->separator;
    slm_buf_init(&k->end, k->shelf->rt, SLM_MEM_DATA, SIZE_MAX / 4);
    if (k->form != SLM_DATA_FORM_TEXT || !strcmp(sep, "line") || !strcmp(sep, "blank")) {
        slm_buf_puts(&k->end, k->form == SLM_DATA_FORM_TEXT && *sep == 'b' ? "\n\n" : "\n");
    } else {
        for (const char *p = sep; *p; p++) {
            bool escape = *p == '\\' && p[1] && strchr("nt\\", p[1]);
            p += escape;
            slm_buf_putc(&k->end, escape && *p == 'n' ? '\n' : escape && *p == 't' ? '\t' : *p);
        }
    }
    return slm_buf_check(&k->end, "a separator", err);
}

int slm_sink_open(struct slm_sink *k, const struct slm_shelf *s, const char *path, slm_err *err)
{
    *k = (struct slm_sink){.shelf = s, .form = form_of(path)};
    int rc = slm_sink_check(s, path, err);
    if (!rc)
        rc = slm_out_open(&k->o, s->rt, path, err);
    if (rc)
        return rc;
    k->open = true;
    slm_buf_init(&k->line, s->rt, SLM_MEM_DATA, SIZE_MAX / 4);
    rc = set_end(k, err);
    const char *head;
    size_t n = 0;
    bool records = k->form == SLM_DATA_FORM_CSV || k->form == SLM_DATA_FORM_TSV;
    for (int i = 0; i < s->files && records && !n; i++)
        n = header_of(s, i, &head);
    if (n && !rc)
        rc = put(k, head, n, err);
    return rc || !n ? rc : put(k, "\n", 1, err);
}

int slm_sink_row(struct slm_sink *k, const struct slm_shelf *s, uint32_t number, slm_err *err)
{
    struct slm_row row;
    size_t n;
    if (k->form == slm_rows_form(s->rows, slm_shelf_file_of(s, number))) {
        const char *raw = slm_shelf_raw(s, number, &n);
        int rc = put(k, raw, n, err);
        k->rows++;
        return rc ? rc : put(k, k->end.s, k->end.n, err);
    }
    int rc = slm_shelf_get(s, number, &row, err);
    if (!rc && row.json)
        rc = slm_sink_json(k, row.json, err);
    slm_row_release(&row);
    return rc;
}

int slm_sink_json(struct slm_sink *k, const slm_json *j, slm_err *err)
{
    slm_buf_reset(&k->line);
    slm_json_put(&k->line, j);
    slm_buf_putc(&k->line, '\n');
    k->rows++;
    int rc = slm_buf_check(&k->line, "a row", err);
    return rc ? rc : put(k, k->line.s, k->line.n, err);
}

int slm_sink_removed(struct slm_sink *k, const struct slm_shelf *s, uint32_t number,
                     const struct slm_removed *r, slm_err *err)
{
    struct slm_row row;
    int rc = slm_shelf_get(s, number, &row, err);
    if (rc)
        return rc;
    struct slm_buf *b = &k->line;
    slm_buf_reset(b);
    slm_buf_puts(b, "{\"file\":");
    slm_buf_put_json(b, row.file, strlen(row.file));
    slm_buf_printf(b, ",\"line\":%lld,\"why\":", (long long)row.line);
    slm_buf_put_json(b, r->why, strlen(r->why));
    if (r->key) {
        slm_buf_printf(b, ",\"%s\":{\"file\":", r->key);
        slm_buf_put_json(b, r->file, strlen(r->file));
        slm_buf_printf(b, ",\"line\":%lld}", (long long)r->line);
    }
    if (r->text) {
        slm_buf_puts(b, ",\"text\":");
        slm_buf_put_json(b, r->text, strlen(r->text));
    }
    slm_buf_puts(b, ",\"row\":");
    if (row.json)
        slm_json_put(b, row.json);
    else
        slm_buf_put_json(b, row.raw, row.n_raw);
    slm_buf_puts(b, "}\n");
    slm_row_release(&row);
    k->rows++;
    rc = slm_buf_check(b, "a row", err);
    return rc ? rc : put(k, b->s, b->n, err);
}

int slm_sink_commit(struct slm_sink *k, slm_err *err)
{
    return k->open ? slm_out_commit(&k->o, err) : 0;
}

void slm_sink_close(struct slm_sink *k)
{
    if (k->open) {
        slm_out_close(&k->o);
        slm_buf_release(&k->line);
        slm_buf_release(&k->end);
    }
    *k = (struct slm_sink){0};
}
