/* The parser of option tables: --name value, --name=value, -n value, -nvalue. An option that
 * takes a value takes the next word whatever it looks like, so negative numbers need no
 * quoting; "--" ends options and "-" is a word. */
#include "cli.h"

#include <errno.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int slm_cli_name_len(const char *names) { return (int)strcspn(names, "|"); }

void slm_cli_rows(const struct slm_cli_opt *table, const char *heading, slm_cli_row_fn *fn,
                  void *arg)
{
    for (; table && table->kind != OPT_END; table++)
        if (table->kind == OPT_GROUP)
            slm_cli_rows(table->group, table->help, fn, arg);
        else
            fn(arg, table, heading);
}

/* Is name[0..n) one of names? '_' counts as '-'. */
static bool is_named(const char *names, const char *name, size_t n)
{
    for (const char *p = names; *p;) {
        size_t len = strcspn(p, "|"), i = 0;
        while (i < len && i < n && (name[i] == '_' ? '-' : name[i]) == p[i])
            i++;
        if (len == n && i == n)
            return true;
        p += len + (p[len] == '|');
    }
    return false;
}

/* The row of a long name, or of a letter when name is NULL; *base gets where its group's struct
 * is. */
static const struct slm_cli_opt *find(const struct slm_cli_opt *t, const char *name, size_t n,
                                      char letter, size_t *base)
{
    size_t here = *base;
    for (; t && t->kind != OPT_END; t++) {
        if (t->kind == OPT_GROUP) {
            *base = here + t->off;
            const struct slm_cli_opt *o = find(t->group, name, n, letter, base);
            if (o)
                return o;
            *base = here;
        } else if (name ? is_named(t->name, name, n) : t->letter == letter) {
            return t;
        }
    }
    return NULL;
}

int slm_cli_distance(const char *a, const char *b)
{
    enum { MOST = 40 };
    int d[3][MOST + 1], n = (int)strlen(a), m = (int)strlen(b);
    if (n > MOST || m > MOST)
        return 99;
    for (int j = 0; j <= m; j++)
        d[1][j] = d[0][j] = j;
    for (int i = 1; i <= n; i++) {
        int *row = d[i % 3], *up = d[(i + 2) % 3], *up2 = d[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int x = up[j - 1] + (a[i - 1] != b[j - 1]);
            x = up[j] + 1 < x ? up[j] + 1 : x;
            x = row[j - 1] + 1 < x ? row[j - 1] + 1 : x;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                up2[j - 2] + 1 < x)
                x = up2[j - 2] + 1;
            row[j] = x;
        }
        if (i == 1)
            memcpy(d[2], d[1], sizeof d[2]);
    }
    return n ? d[n % 3][m] : m;
}

struct nearest {
    const char *name, *best;
    int best_len, distance;
};

static void look_near(void *arg, const struct slm_cli_opt *row, const char *heading)
{
    struct nearest *w = arg;
    (void)heading;
    for (const char *p = row->name; *p;) {
        char one[64];
        size_t len = strcspn(p, "|");
        if (len < sizeof one) {
            memcpy(one, p, len);
            one[len] = 0;
            int d = slm_cli_distance(w->name, one);
            /* a beginning is as good as a slip of the finger */
            if (strlen(w->name) > 2 && !strncmp(one, w->name, strlen(w->name)))
                d = 1;
            if (d < w->distance) {
                w->distance = d;
                w->best = p;
                w->best_len = (int)len;
            }
        }
        p += len + (p[len] == '|');
    }
}

static int unknown(const struct slm_cli_opt *table, const char *name, size_t n, slm_err *err)
{
    char word[41];
    snprintf(word, sizeof word, "%.*s", n < 40 ? (int)n : 40, name);
    struct nearest w = {.name = word, .distance = 1 + (int)strlen(word) / 3};
    slm_cli_rows(table, NULL, look_near, &w);
    if (w.best)
        return slm_cli_fail(err, SLM_E_ARG, "there is no option --%s; did you mean --%.*s?",
                            word, w.best_len, w.best);
    return slm_cli_fail(err, SLM_E_ARG, "there is no option --%s", word);
}

int slm_cli_int(const char *text, const char *what, double lo, double hi, int64_t *out,
                slm_err *err)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end)
        return slm_cli_fail(err, SLM_E_ARG, "%s: '%.40s' is no whole number", what, text);
    if (errno == ERANGE || (double)v < lo || (double)v > hi)
        return slm_cli_fail(err, SLM_E_ARG, "%s: %.40s is out of range %.0f..%.0f", what, text,
                            lo, hi);
    *out = v;
    return 0;
}

static int set_float(const struct slm_cli_opt *o, float *at, const char *what, const char *v,
                     slm_err *err)
{
    char *end;
    double x = strtod(v, &end);
    if (end == v || *end || isnan(x))
        return slm_cli_fail(err, SLM_E_ARG, "%s: '%.40s' is no number", what, v);
    if (x < o->lo || x > o->hi)
        return slm_cli_fail(err, SLM_E_ARG, "%s: %.40s is out of range %g..%g", what, v, o->lo,
                            o->hi);
    *at = (float)x;
    return 0;
}

static int set_choice(const struct slm_cli_opt *o, const char **at, const char *what,
                      const char *v, slm_err *err)
{
    size_t n = strlen(v);
    for (const char *p = o->choices; *p;) {
        size_t len = strcspn(p, " ");
        if (len == n && !memcmp(p, v, n)) {
            *at = v;
            return 0;
        }
        p += len + (p[len] == ' ');
    }
    return slm_cli_fail(err, SLM_E_ARG, "%s: '%.40s' is none of: %s", what, v, o->choices);
}

static int set_u64(uint64_t *at, const char *what, const char *v, slm_err *err)
{
    char *end;
    errno = 0;
    unsigned long long x = strtoull(v, &end, 0);
    if (end == v || *end || (*v == '-' && strcmp(v, "-1")) || errno == ERANGE)
        return slm_cli_fail(err, SLM_E_ARG, "%s: '%.40s' is no whole number below 2^64", what,
                            v);
    *at = x;
    return 0;
}

static int store(const struct slm_cli_opt *o, char *base, const char *what, const char *v,
                 slm_err *err)
{
    void *at = base + o->off;
    int64_t n;
    int code;
    switch (o->kind) {
    case OPT_FLAG:
        *(int *)at = 1;
        return 0;
    case OPT_INT:
        code = slm_cli_int(v, what, o->lo, o->hi, &n, err);
        if (!code)
            *(int *)at = (int)n;
        return code;
    case OPT_U64:
        return set_u64(at, what, v, err);
    case OPT_FLOAT:
        return set_float(o, at, what, v, err);
    case OPT_CHOICE:
        return set_choice(o, at, what, v, err);
    case OPT_LIST: {
        struct slm_cli_list *l = at;
        if (l->n == SLM_CLI_LIST_MAX)
            return slm_cli_fail(err, SLM_E_ARG, "%s: given more than %d times", what,
                                SLM_CLI_LIST_MAX);
        l->item[l->n++] = v;
        return 0;
    }
    case OPT_TEXT:
    case OPT_FILE:
        *(const char **)at = v;
        return 0;
    case OPT_END:
    case OPT_GROUP:
        break;
    }
    return 0;
}

int slm_cli_set(const struct slm_cli_opt *table, void *opts, const char *name,
                const char *value, slm_err *err)
{
    size_t base = 0;
    const struct slm_cli_opt *o = find(table, name, strlen(name), 0, &base);
    if (!o || o->kind == OPT_FLAG)
        return unknown(table, name, strlen(name), err);
    return store(o, (char *)opts + base, name, value, err);
}

/* A word like -md: a name of two letters behind one dash, as llama.cpp has some. */
static bool is_pair(const struct slm_cli_opt *table, const char *word)
{
    size_t base = 0;
    return word[1] && word[2] && (!word[3] || word[3] == '=') &&
           find(table, word + 1, 2, 0, &base);
}

/* --name, --name=value, --name value */
static int take_long(const struct slm_cli_opt *table, char *opts, int *i, int argc, char **argv,
                     slm_err *err)
{
    const char *name = argv[*i] + (argv[*i][1] == '-' ? 2 : 1);
    const char *eq = strchr(name, '='), *value = NULL;
    size_t n = eq ? (size_t)(eq - name) : strlen(name), base = 0;
    const struct slm_cli_opt *o = find(table, name, n, 0, &base);
    char what[72];
    if (!o)
        return unknown(table, name, n, err);
    snprintf(what, sizeof what, "--%.*s", n < 64 ? (int)n : 64, name);
    if (o->kind == OPT_FLAG && eq)
        return slm_cli_fail(err, SLM_E_ARG, "%s takes no value", what);
    if (eq)
        value = eq + 1;
    else if (o->kind != OPT_FLAG && ++*i == argc)
        return slm_cli_fail(err, SLM_E_ARG, "%s needs a value (%s)", what, o->arg);
    else if (o->kind != OPT_FLAG)
        value = argv[*i];
    return store(o, opts + base, what, value, err);
}

/* -n value, -nvalue, -n=value, and flags in one word: -vq */
static int take_short(const struct slm_cli_opt *table, char *opts, int *i, int argc,
                      char **argv, slm_err *err)
{
    const char *word = argv[*i];
    for (const char *p = word + 1; *p; p++) {
        size_t base = 0;
        char what[3] = {'-', *p, 0};
        const struct slm_cli_opt *o = find(table, NULL, 0, *p, &base);
        if (!o)
            return slm_cli_fail(err, SLM_E_ARG, "there is no option %s",
                                p == word + 1 ? word : what);
        const char *value = p[1] == '=' ? p + 2 : p + 1;
        if (o->kind != OPT_FLAG && !p[1]) {
            if (++*i == argc)
                return slm_cli_fail(err, SLM_E_ARG, "%s needs a value (%s)", what, o->arg);
            value = argv[*i];
        }
        int code = store(o, opts + base, what, value, err);
        if (code || o->kind != OPT_FLAG)
            return code;
    }
    return 0;
}

int slm_cli_parse(const struct slm_cli_opt *table, void *opts, int argc, char **argv,
                  struct slm_cli_words *words, slm_err *err)
{
    bool ended = false;
    for (int i = 0; i < argc; i++) {
        const char *a = argv[i];
        int code = 0;
        if (ended || a[0] != '-' || !a[1])
            words->v[words->n++] = a;
        else if (!strcmp(a, "--"))
            ended = true;
        else if (a[1] == '-' || is_pair(table, a))
            code = take_long(table, opts, &i, argc, argv, err);
        else
            code = take_short(table, opts, &i, argc, argv, err);
        if (code)
            return code;
    }
    return 0;
}
