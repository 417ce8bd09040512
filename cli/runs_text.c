/* One run, or several side by side, for people at a terminal. */
#include "runs_cli.h"

#include <math.h>
#include <string.h>

/* What a record holds may come from anywhere: no control characters to the terminal. */
static void put(FILE *f, const char *s)
{
    for (; *s; s++) {
        unsigned char ch = (unsigned char)*s;
        fputc(ch < 0x20 || ch == 0x7f ? '?' : *s, f);
    }
}

static void field(FILE *f, const char *name, const char *value)
{
    if (!*value)
        return;
    fprintf(f, "%-14s", name);
    put(f, value);
    fputc('\n', f);
}

/* The course of a number in 40 columns, lowest to highest. */
static void spark(FILE *f, const slm_run_series *s)
{
    static const char *const bar[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    double lo = (double)INFINITY, hi = -(double)INFINITY;
    for (size_t i = 0; i < s->n; i++) {
        if (!isfinite(s->value[i]))
            continue;
        lo = fmin(lo, s->value[i]);
        hi = fmax(hi, s->value[i]);
    }
    size_t n = s->n < 40 ? s->n : 40;
    for (size_t i = 0; i < n; i++) {
        double v = s->value[i * s->n / n];
        int level = !isfinite(v) ? -1 : hi > lo ? (int)((v - lo) / (hi - lo) * 7.999) : 0;
        fputs(level < 0 ? " " : bar[level > 7 ? 7 : level], f);
    }
}

static void numbers(FILE *f, const struct slm_cli_story *t)
{
    if (t->n_metrics)
        fprintf(f, "\n%-14s%10s%10s%10s%10s\n", "", "first", "least", "most", "last");
    for (int k = 0; k < t->n_metrics; k++) {
        const slm_run_series *s = &t->metric[k].s;
        double lo = (double)NAN, hi = (double)NAN;
        char b[4][32];
        for (size_t i = 0; i < s->n; i++) {
            lo = fmin(lo, s->value[i]); /* fmin and fmax pass over NaN */
            hi = fmax(hi, s->value[i]);
        }
        fprintf(f, "%-13.13s %10s%10s%10s%10s  ", t->metric[k].name,
                slm_cli_figure(b[0], s->n ? s->value[0] : (double)NAN),
                slm_cli_figure(b[1], lo), slm_cli_figure(b[2], hi),
                slm_cli_figure(b[3], s->n ? s->value[s->n - 1] : (double)NAN));
        spark(f, s);
        fputc('\n', f);
    }
}

static void notes(FILE *f, const struct slm_cli_story *t)
{
    for (size_t i = 0; i < t->files.n; i++) {
        fprintf(f, "%sstep %-8lld %-9.9s ", i ? "" : "\nFiles\n", (long long)t->files.v[i].step,
                t->files.v[i].a);
        put(f, t->files.v[i].b);
        if (*t->files.v[i].c)
            fprintf(f, "  %.10s", t->files.v[i].c);
        fputc('\n', f);
    }
    for (size_t i = 0; i < t->samples.n; i++) {
        fprintf(f, "\nSample at step %lld\n", (long long)t->samples.v[i].step);
        put(f, t->samples.v[i].a);
        fputs(*t->samples.v[i].a ? " | " : "", f);
        put(f, t->samples.v[i].b);
        fputc('\n', f);
    }
}

void slm_story_text(FILE *f, const struct slm_cli_story *t)
{
    const slm_run_record *r = t->run;
    const slm_run_info *i = &r->info;
    char when[2][32], span[32], text[160];
    int64_t to = r->ended ? r->ended : r->heard;
    snprintf(text, sizeof text, "%s to %s, %s", slm_cli_when(when[0], i->started),
             slm_cli_when(when[1], to), slm_cli_span(span, (double)(to - i->started) / 1000));
    field(f, "run", r->id);
    field(f, "name", i->name);
    field(f, "state", r->state);
    field(f, "why", r->note);
    field(f, "time", text);
    if (i->parent_step >= 0)
        snprintf(text, sizeof text, "%.40s, step %lld", i->parent, (long long)i->parent_step);
    else
        snprintf(text, sizeof text, "%.40s", i->parent);
    field(f, "goes on from", *i->parent ? text : "");
    field(f, "command", i->command);
    field(f, "model", i->base);
    field(f, "its print", i->base_hash);
    field(f, "data", i->data);
    field(f, "its hash", i->data_hash);
    field(f, "output", i->output);
    snprintf(text, sizeof text, "%.60s%s%.80s", r->host, *r->host ? ": " : "", i->machine);
    field(f, "machine", text);
    field(f, "slm", r->version);
    if (t->n_facts)
        fputs("\nOptions\n", f);
    for (int k = 0; k < t->n_facts; k++) {
        fprintf(f, "%-19.40s ", t->fact[k].key);
        put(f, t->fact[k].value);
        fputc('\n', f);
    }
    numbers(f, t);
    notes(f, t);
}

/* ---- side by side ---- */

enum { COLUMN = 16 };

static void cell(FILE *f, const char *s)
{
    char text[4 * COLUMN];
    int n = 0, w = 0;
    for (; *s && w < COLUMN - 2 && n < 4 * COLUMN - 1; s++) {
        unsigned char ch = (unsigned char)*s;
        w += (ch & 0xc0) != 0x80;
        text[n++] = ch < 0x20 || ch == 0x7f ? '?' : *s;
    }
    text[n] = 0;
    fprintf(f, "%*s%s", COLUMN - w, "", text);
}

static void options(FILE *f, const struct slm_cli_story *t, int n)
{
    int found = 0, same = 0;
    for (int owner = 0; owner < n; owner++)
        for (int k = 0; k < t[owner].n_facts; k++) {
            const char *key = t[owner].fact[k].key;
            bool seen = false, differs = false;
            for (int i = 0; i < n; i++) {
                const char *v = slm_story_fact(&t[i], key);
                seen = seen || (i < owner && v);
                differs = differs || !v || strcmp(v, t[owner].fact[k].value) != 0;
            }
            same += !seen && !differs;
            if (seen || !differs)
                continue;
            fprintf(f, "%s%-14.14s", found++ ? "" : "\nOptions that differ\n", key);
            for (int i = 0; i < n; i++) {
                const char *v = slm_story_fact(&t[i], key);
                cell(f, v ? v : "-");
            }
            fputc('\n', f);
        }
    fprintf(f, "%d option%s the same in all\n", same, same == 1 ? " is" : "s are");
}

/* Twelve places of the longest run, and what each run had reached there. */
static void courses(FILE *f, const struct slm_cli_story *t, int n, const char *metric)
{
    int64_t first = INT64_MAX, last = -1, before = -1;
    const slm_run_series *s;
    for (int i = 0; i < n; i++) {
        s = slm_story_series(&t[i], metric);
        if (!s || !s->n)
            continue;
        first = s->step[0] < first ? s->step[0] : first;
        last = s->step[s->n - 1] > last ? s->step[s->n - 1] : last;
    }
    if (last < 0) {
        fprintf(f, "\nNone of them has the number %s\n", metric);
        return;
    }
    fprintf(f, "\n%s\n", metric);
    for (int k = 0; k <= 11; k++) {
        int64_t step = first + (int64_t)((double)(last - first) * k / 11);
        if (step == before)
            continue;
        before = step;
        fprintf(f, "step %-9lld", (long long)step);
        for (int i = 0; i < n; i++) {
            char b[32];
            s = slm_story_series(&t[i], metric);
            bool here = s && s->n && step >= s->step[0] && step <= s->step[s->n - 1];
            cell(f, slm_cli_figure(b, here ? slm_series_at(s, step) : (double)NAN));
        }
        fputc('\n', f);
    }
}

void slm_story_compare(FILE *f, const struct slm_cli_story *t, int n, const char *metric)
{
    static const char *const heads[] = {"",      "run",  "state",    "goes on from", "time",
                                        "steps", "loss", "held-out", "lowest",       "tok/s"};
    for (int k = 0; k < 10; k++) {
        fprintf(f, "%-14s", heads[k]);
        for (int i = 0; i < n; i++) {
            const slm_run_record *r = t[i].run;
            int64_t to = r->ended ? r->ended : r->heard;
            char b[64];
            snprintf(b, sizeof b, "%.10s",
                     k == 1            ? r->id
                     : *r->info.parent ? r->info.parent
                                       : "-");
            if (k == 4)
                slm_cli_span(b, (double)(to - r->info.started) / 1000);
            if (k == 5)
                snprintf(b, sizeof b, "%lld", (long long)(r->steps < 0 ? 0 : r->steps));
            if (k >= 6)
                slm_cli_figure(
                    b, k == 6   ? r->loss
                       : k == 7 ? r->eval_loss
                       : k == 8 ? r->best_eval
                                : slm_series_at(slm_story_series(&t[i], "tok_s"), INT64_MAX));
            cell(f, k == 0 ? r->info.name : k == 2 ? r->state : b);
        }
        fputc('\n', f);
    }
    options(f, t, n);
    courses(f, t, n, metric);
}
