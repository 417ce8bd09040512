/* The reader of rows: files in order, each mapped when its turn comes, rows found one by one
 * without being copied. Finding and parsing are two steps, so that one thread can find and many
 * parse. The forms' own finders stand in rows_json.c, rows_csv.c and rows_text.c. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "data/rows.h"

static const char *const form_names[SLM_DATA_FORM_COUNT] = {"auto", "jsonl", "json",
                                                            "csv",  "tsv",   "text"};

const char *slm_data_form_name(int form)
{
    return form >= 0 && form < SLM_DATA_FORM_COUNT ? form_names[form] : NULL;
}

int slm_data_form_find(const char *name)
{
    for (int i = 0; i < SLM_DATA_FORM_COUNT; i++)
        if (!strcmp(form_names[i], name))
            return i;
    return -1;
}

static enum slm_data_form form_of_name(const char *path)
{
    static const struct {
        const char *end;
        enum slm_data_form form;
    } ends[] = {{".jsonl", SLM_DATA_FORM_JSONL},  {".ndjson", SLM_DATA_FORM_JSONL},
                {".json", SLM_DATA_FORM_JSON},    {".csv", SLM_DATA_FORM_CSV},
                {".tsv", SLM_DATA_FORM_TSV},      {".txt", SLM_DATA_FORM_TEXT},
                {".text", SLM_DATA_FORM_TEXT},    {".md", SLM_DATA_FORM_TEXT},
                {".markdown", SLM_DATA_FORM_TEXT}};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (slm_str_ends(path, ends[i].end))
            return ends[i].form;
    return SLM_DATA_FORM_AUTO;
}

/* ---- the list of files ---- */

struct listing {
    slm_rows *r;
    const char *folder;
    int code;
};

static int add_file(slm_rows *r, const char *folder, const char *name)
{
    size_t n = (folder ? strlen(folder) + 1 : 0) + strlen(name) + 1;
    if (slm_grow(r->rt, SLM_MEM_DATA, (void **)&r->file, (size_t)r->n_files, &r->cap,
                 sizeof *r->file))
        return SLM_E_NOMEM;
    struct row_file *f = &r->file[r->n_files];
    *f = (struct row_file){.path = slm_alloc(r->rt, SLM_MEM_DATA, n)};
    if (!f->path)
        return SLM_E_NOMEM;
    snprintf(f->path, n, "%s%s%s", folder ? folder : "", folder ? "/" : "", name);
    r->n_files++;
    return 0;
}

static bool list_one(void *arg, const char *name)
{
    struct listing *l = arg;
    if (form_of_name(name) != SLM_DATA_FORM_AUTO && slm_path_is_plain(name))
        l->code = add_file(l->r, l->folder, name);
    return !l->code;
}

/* By name: folders are listed in no order. */
static void sort_files(struct row_file *f, int n)
{
    for (int i = 1; i < n; i++) {
        struct row_file x = f[i];
        int k = i;
        for (; k > 0 && strcmp(f[k - 1].path, x.path) > 0; k--)
            f[k] = f[k - 1];
        f[k] = x;
    }
}

static int add_path(slm_rows *r, const char *path, slm_err *err)
{
    int from = r->n_files;
    if (!slm_path_is_dir(path))
        return add_file(r, NULL, path) ? slm_fail_mem(err, "list of files", 1) : 0;
    struct listing l = {.r = r, .folder = path};
    int rc = slm_dir_each(path, list_one, &l, err);
    if (rc || l.code)
        return rc ? rc : slm_fail_mem(err, "list of files", 1);
    if (r->n_files == from)
        return slm_fail(err, SLM_E_ARG,
                        "%s: no data in the folder (.jsonl .ndjson .json .csv .tsv .txt .text "
                        ".md .markdown)",
                        path);
    sort_files(r->file + from, r->n_files - from);
    return 0;
}

/* ---- options ---- */

static int set_separator(slm_rows *r, const char *s, slm_err *err)
{
    if (!s)
        return 0;
    size_t n = strlen(s), k = 0;
    char *d = r->separator = slm_alloc(r->rt, SLM_MEM_DATA, n + 2);
    if (!d)
        return slm_fail_mem(err, "separator", n);
    if (!strcmp(s, "blank") || !strcmp(s, "line")) {
        d[0] = '\n';
        r->n_separator = *s == 'l';
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        bool escape = s[i] == '\\' && i + 1 < n && strchr("nt\\", s[i + 1]);
        if (escape)
            i++;
        d[k++] = escape && s[i] == 'n' ? '\n' : escape && s[i] == 't' ? '\t' : s[i];
    }
    r->n_separator = k;
    return k ? 0 : slm_fail(err, SLM_E_ARG, "the separator of texts is empty");
}

static int measure(slm_rows *r, slm_err *err)
{
    for (int i = 0; i < r->n_files; i++) {
        struct slm_map m;
        int rc = slm_map_open(&m, r->file[i].path, err);
        if (rc)
            return rc;
        r->bytes += m.size;
        slm_map_close(&m);
    }
    return 0;
}

int slm_rows_open(slm_rows **out, slm_runtime *rt, const char *const *paths, int n,
                  const struct slm_rows_opts *o, slm_err *err)
{
    *out = NULL;
    slm_rows *r = slm_zalloc(rt, SLM_MEM_DATA, sizeof *r);
    if (!r)
        return slm_fail_mem(err, "reader of rows", sizeof *r);
    r->rt = rt;
    if (o)
        r->o = *o;
    int rc = n > 0 ? set_separator(r, r->o.separator, err)
                   : slm_fail(err, SLM_E_ARG, "no data: name files or folders");
    for (int i = 0; i < n && !rc; i++)
        rc = add_path(r, paths[i], err);
    if (!rc)
        rc = measure(r, err);
    if (rc) {
        slm_rows_close(&r);
        return rc;
    }
    slm_rows_rewind(r);
    *out = r;
    return 0;
}

void slm_rows_close(slm_rows **rows)
{
    slm_rows *r = *rows;
    if (!r)
        return;
    for (int i = 0; i < r->n_files; i++) {
        slm_row_csv_release(r->rt, &r->file[i]);
        slm_map_close(&r->file[i].map);
        slm_free(r->rt, r->file[i].path);
    }
    slm_free(r->rt, r->file);
    slm_free(r->rt, r->separator);
    slm_free(r->rt, r);
    *rows = NULL;
}

/* ---- one file ---- */

static int sniff(const slm_rows *r, struct row_file *f, slm_err *err)
{
    const char *s = (const char *)f->map.data;
    size_t n = f->map.size, i = f->begin;
    f->form = r->o.form ? r->o.form : form_of_name(f->path);
    if (f->form == SLM_DATA_FORM_AUTO) {
        while (i < n && strchr(" \t\r\n", s[i]) && s[i])
            i++;
        f->form = i < n && s[i] == '{'   ? SLM_DATA_FORM_JSONL
                  : i < n && s[i] == '[' ? SLM_DATA_FORM_JSON
                                         : SLM_DATA_FORM_AUTO;
    }
    return f->form || i == n ? 0
                             : slm_fail(err, SLM_E_ARG,
                                        "%s: neither its name nor its first byte tells how "
                                        "rows stand in it: say --form jsonl, json, csv, tsv "
                                        "or text",
                                        f->path);
}

static int open_file(slm_rows *r, struct row_file *f, slm_err *err)
{
    int rc = slm_map_open(&f->map, f->path, err);
    if (rc)
        return rc;
    const uint8_t *s = f->map.data;
    size_t n = f->map.size;
    f->open = true;
    f->begin_line = 1;
    if (n >= 2 && ((s[0] == 0xff && s[1] == 0xfe) || (s[0] == 0xfe && s[1] == 0xff)))
        return slm_fail(err, SLM_E_FORMAT, "%s: is UTF-16; convert it to UTF-8 first", f->path);
    if (n >= 2 && s[0] == 0x1f && s[1] == 0x8b)
        return slm_fail(err, SLM_E_FORMAT, "%s: is compressed (gzip); unpack it first",
                        f->path);
    f->begin = n >= 3 && !memcmp(s, "\xef\xbb\xbf", 3) ? 3 : 0;
    rc = sniff(r, f, err);
    if (!rc && (f->form == SLM_DATA_FORM_CSV || f->form == SLM_DATA_FORM_TSV))
        rc = slm_row_csv_header(r->rt, f,
                                r->o.delimiter                 ? r->o.delimiter
                                : f->form == SLM_DATA_FORM_TSV ? '\t'
                                                               : 0,
                                err);
    if (!rc && f->form == SLM_DATA_FORM_JSON)
        rc = slm_row_json_begin(f, err);
    return rc;
}

void slm_rows_rewind(slm_rows *r)
{
    r->at_file = -1;
    r->at = 0;
    r->before = 0;
    r->number = 0;
}

static int next_file(slm_rows *r, slm_err *err)
{
    if (r->at_file >= 0)
        r->before += r->file[r->at_file].map.size;
    r->at_file++;
    r->at = 0;
    if (r->at_file >= r->n_files)
        return 0;
    struct row_file *f = &r->file[r->at_file];
    int rc = f->open ? 0 : open_file(r, f, err);
    r->at = f->begin;
    r->line = f->begin_line;
    return rc;
}

int64_t slm_row_lines(const char *s, size_t n)
{
    int64_t lines = 0;
    for (const char *p = s, *end = s + n; p < end && (p = memchr(p, '\n', (size_t)(end - p)));
         p++)
        lines++;
    return lines;
}

static int jsonl_next(struct row_place *p, struct slm_row *row)
{
    while (p->at < p->n) {
        const char *s = p->s + p->at, *end = memchr(s, '\n', p->n - p->at);
        size_t len = end ? (size_t)(end - s) : p->n - p->at, blank = 0;
        p->next = p->at + len + (end != NULL);
        while (blank < len && (s[blank] == ' ' || s[blank] == '\t' || s[blank] == '\r'))
            blank++;
        if (blank < len) {
            row->line = p->line;
            row->raw = s;
            row->n_raw = len - (s[len - 1] == '\r');
            p->line += end != NULL;
            return 1;
        }
        p->line += end != NULL;
        p->at = p->next;
    }
    return 0;
}

int slm_rows_next(slm_rows *r, struct slm_row *row, slm_err *err)
{
    for (;;) {
        struct row_file *f =
            r->at_file < 0 || r->at_file >= r->n_files ? NULL : &r->file[r->at_file];
        if (r->at_file >= r->n_files)
            return 0;
        int rc = 0;
        if (f) {
            struct row_place p = {(const char *)f->map.data, f->map.size, r->at, r->at,
                                  r->line};
            rc = f->form == SLM_DATA_FORM_JSONL  ? jsonl_next(&p, row)
                 : f->form == SLM_DATA_FORM_JSON ? slm_row_json_next(f, &p, row, err)
                 : f->form == SLM_DATA_FORM_TEXT ? slm_row_text_next(r, &p, row)
                 : f->form == SLM_DATA_FORM_AUTO ? 0
                                                 : slm_row_csv_next(f, &p, row, err);
            r->at = p.next;
            r->line = p.line;
        }
        if (rc < 0)
            return rc;
        if (rc) {
            row->file = f->path;
            row->file_no = r->at_file;
            row->at = (uint64_t)(row->raw - (const char *)f->map.data);
            row->number = r->number++;
            row->json = NULL;
            row->state = SLM_ROW_OK;
            row->why[0] = 0;
            return 1;
        }
        rc = next_file(r, err);
        if (rc)
            return rc;
    }
}

/* ---- parsing ---- */

int slm_row_bad(struct slm_row *row, int state, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(row->why, sizeof row->why, fmt, ap);
    va_end(ap);
    row->state = state;
    return 0;
}

static int parse_json(struct slm_row *row)
{
    slm_err why;
    if (row->n_raw > ROW_MOST)
        return slm_row_bad(row, SLM_ROW_NOT_JSON, "a row of %zu bytes, at most %d", row->n_raw,
                           ROW_MOST);
    int rc = slm_json_parse(&row->json, row->raw, row->n_raw, "row", &why);
    if (rc) /* without "row: not JSON: line 1, " */
        return slm_row_bad(row, SLM_ROW_NOT_JSON, "%s",
                           strncmp(why.msg, "row: ", 5) ? why.msg : why.msg + 5);
    if (slm_json_is(row->json, SLM_JSON_OBJECT))
        return 0;
    static const char *const words[] = {"null",     "a truth value", "a number", "a number",
                                        "a string", "a list",        "an object"};
    int type = slm_json_type(row->json);
    slm_json_free(row->json);
    row->json = NULL;
    return slm_row_bad(row, SLM_ROW_NO_OBJECT, "%s, not an object", words[type]);
}

static int parse_text(struct slm_row *row, slm_err *err)
{
    slm_json *j = slm_json_new_object();
    if (!j || !slm_json_set(j, "text", slm_json_new_str(row->raw, row->n_raw))) {
        slm_json_free(j);
        return slm_fail_mem(err, "a text", row->n_raw);
    }
    row->json = j;
    return 0;
}

int slm_row_parse(const slm_rows *r, struct slm_row *row, slm_err *err)
{
    const struct row_file *f = &r->file[row->file_no];
    row->json = NULL;
    row->state = SLM_ROW_OK;
    if (!slm_utf8_valid(row->raw, row->n_raw)) {
        size_t i = 0;
        int32_t cp = 0;
        while (i < row->n_raw) {
            int len = slm_utf8_next(row->raw + i, row->n_raw - i, &cp);
            if (cp < 0)
                break;
            i += (size_t)len;
        }
        return slm_row_bad(row, SLM_ROW_NOT_UTF8, "not UTF-8: byte 0x%02x at byte %zu of it",
                           (unsigned)(uint8_t)row->raw[i], i);
    }
    if (f->form == SLM_DATA_FORM_TEXT)
        return parse_text(row, err);
    if (f->form == SLM_DATA_FORM_CSV || f->form == SLM_DATA_FORM_TSV)
        return slm_row_csv_parse(r->rt, f, row) ? slm_fail_mem(err, "a row", row->n_raw) : 0;
    return parse_json(row);
}

void slm_row_release(struct slm_row *row)
{
    slm_json_free(row->json);
    row->json = NULL;
}

int slm_rows_read(slm_rows *r, struct slm_row *row, slm_err *err)
{
    slm_row_release(row);
    int rc = slm_rows_next(r, row, err);
    if (rc <= 0)
        return rc;
    rc = slm_row_parse(r, row, err);
    return rc ? rc : 1;
}

int slm_rows_again(slm_rows *r, struct slm_row *row, slm_err *err)
{
    SLM_ASSERT(row->file_no >= 0 && row->file_no < r->n_files);
    struct row_file *f = &r->file[row->file_no];
    int rc = f->open ? 0 : open_file(r, f, err);
    if (rc)
        return rc;
    SLM_ASSERT(row->at <= f->map.size && row->n_raw <= f->map.size - row->at);
    row->file = f->path;
    row->raw = (const char *)f->map.data + row->at;
    return slm_row_parse(r, row, err);
}

/* ---- facts ---- */

uint64_t slm_rows_bytes(const slm_rows *r) { return r->bytes; }
uint64_t slm_rows_at(const slm_rows *r) { return r->before + r->at; }
int slm_rows_files(const slm_rows *r) { return r->n_files; }
const char *slm_rows_file(const slm_rows *r, int i) { return r->file[i].path; }
enum slm_data_form slm_rows_form(const slm_rows *r, int i) { return r->file[i].form; }

int slm_rows_hash(slm_rows *r, struct slm_hash *h, slm_err *err)
{
    for (int i = 0; i < r->n_files; i++) {
        struct slm_map m;
        int rc = slm_map_open(&m, r->file[i].path, err);
        if (rc)
            return rc;
        slm_hash_u64(h, m.size);
        slm_hash_put(h, m.data, m.size);
        slm_map_close(&m);
    }
    return 0;
}
