/* Runs as text, JSON and CSV. */
#include "runs_cli.h"

#include <math.h>
#include <string.h>
#include <time.h>

const char *slm_cli_when(char buf[32], int64_t ms)
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    if (!localtime_r(&t, &tm) || !strftime(buf, 32, "%Y-%m-%d %H:%M", &tm))
        snprintf(buf, 32, "?");
    return buf;
}

const char *slm_cli_iso(char buf[32], int64_t ms)
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    size_t n = gmtime_r(&t, &tm) ? strftime(buf, 32, "%Y-%m-%dT%H:%M:%S", &tm) : 0;
    snprintf(buf + n, 32 - n, n ? ".%03dZ" : "?", (int)(ms % 1000 + 1000) % 1000);
    return buf;
}

const char *slm_cli_span(char buf[32], double seconds)
{
    long long s = seconds > 0 && seconds < 1e15 ? (long long)(seconds + 0.5) : 0;
    if (s < 60)
        snprintf(buf, 32, "%llds", s);
    else if (s < 3600)
        snprintf(buf, 32, "%lldm%02llds", s / 60, s % 60);
    else if (s < 86400)
        snprintf(buf, 32, "%lldh%02lldm", s / 3600, s / 60 % 60);
    else
        snprintf(buf, 32, "%lldd%02lldh", s / 86400, s / 3600 % 24);
    return buf;
}

const char *slm_cli_figure(char buf[32], double v)
{
    if (isnan(v))
        snprintf(buf, 32, "-");
    else
        snprintf(buf, 32, "%.5g", v);
    return buf;
}

/* Text of a record in one line of n columns, whatever it holds. */
static const char *line(char *buf, int n, const char *s)
{
    int w = 0, k = 0;
    for (; *s && w < n && k < 120; s++) {
        unsigned char ch = (unsigned char)*s;
        w += (ch & 0xc0) != 0x80;
        buf[k++] = ch < 0x20 || ch == 0x7f ? '?' : *s;
    }
    while (w < n && k < 126) {
        buf[k++] = ' ';
        w++;
    }
    buf[k] = 0;
    return buf;
}

static double seconds_of(const slm_run_record *r)
{
    return (double)((r->ended ? r->ended : r->heard) - r->info.started) / 1000;
}

void slm_runs_table(FILE *f, const slm_run_list *l, int most)
{
    size_t from = most > 0 && (size_t)most < l->n ? l->n - (size_t)most : 0;
    fprintf(f, "ID          NAME                  STATE        BEGAN               TIME   "
               "STEPS      LOSS  HELD-OUT  FROM\n");
    for (size_t i = from; i < l->n; i++) {
        const slm_run_record *r = &l->v[i];
        char name[128], state[128], when[32], span[32], loss[32], eval[32];
        fprintf(f, "%.10s  %s  %s  %s  %7s  %6lld  %8s  %8s  %.10s\n", r->id,
                line(name, 20, r->info.name), line(state, 11, r->state),
                slm_cli_when(when, r->info.started), slm_cli_span(span, seconds_of(r)),
                (long long)(r->steps < 0 ? 0 : r->steps), slm_cli_figure(loss, r->loss),
                slm_cli_figure(eval, r->eval_loss), *r->info.parent ? r->info.parent : "-");
    }
}

static void js_text(struct slm_cli_json *j, const char *key, const char *s)
{
    slm_js_kstr(j, key, *s ? s : NULL);
}

void slm_runs_json(struct slm_cli_json *j, const slm_run_record *r)
{
    const slm_run_info *i = &r->info;
    struct slm_cli_reader at = {i->config, i->config + strlen(i->config)};
    char when[32];
    slm_js_kstr(j, "id", r->id);
    slm_js_kstr(j, "name", i->name);
    slm_js_kstr(j, "kind", i->kind);
    slm_js_kstr(j, "state", r->state);
    js_text(j, "note", r->note);
    slm_js_kstr(j, "started", slm_cli_iso(when, i->started));
    slm_js_kstr(j, "ended", r->ended ? slm_cli_iso(when, r->ended) : NULL);
    slm_js_kreal(j, "seconds", seconds_of(r));
    slm_js_kint(j, "steps", r->steps < 0 ? 0 : r->steps);
    slm_js_kreal(j, "loss", r->loss);
    slm_js_kreal(j, "eval_loss", r->eval_loss);
    slm_js_kreal(j, "best_eval_loss", r->best_eval);
    js_text(j, "parent", i->parent);
    slm_js_key(j, "parent_step");
    if (i->parent_step >= 0)
        slm_js_int(j, i->parent_step);
    else
        slm_js_raw(j, NULL);
    js_text(j, "command", i->command);
    slm_js_key(j, "config");
    if (slm_jr_value(&at) && (slm_jr_space(&at), at.p == at.end))
        slm_js_raw(j, i->config);
    else
        slm_js_raw(j, NULL);
    js_text(j, "data", i->data);
    js_text(j, "data_hash", i->data_hash);
    js_text(j, "base", i->base);
    js_text(j, "base_hash", i->base_hash);
    js_text(j, "output", i->output);
    js_text(j, "host", r->host);
    js_text(j, "machine", i->machine);
    slm_js_kint(j, "pid", r->pid);
    js_text(j, "version", r->version);
}

static void js_notes(struct slm_cli_json *j, const slm_run_notes *n, const char *const key[3])
{
    slm_js_open(j, '[');
    for (size_t i = 0; i < n->n; i++) {
        slm_js_open(j, '{');
        slm_js_kint(j, "step", n->v[i].step);
        slm_js_kstr(j, key[0], n->v[i].a);
        slm_js_kstr(j, key[1], n->v[i].b);
        if (key[2])
            js_text(j, key[2], n->v[i].c);
        slm_js_close(j, '}');
    }
    slm_js_close(j, ']');
}

void slm_story_json(FILE *f, const struct slm_cli_story *t, int n)
{
    static const char *const sample[3] = {"prompt", "text", NULL};
    static const char *const file[3] = {"kind", "path", "hash"};
    struct slm_cli_json j = {.f = f};
    if (n > 1)
        slm_js_open(&j, '[');
    for (int i = 0; i < n; i++, t++) {
        slm_js_open(&j, '{');
        slm_runs_json(&j, t->run);
        slm_js_key(&j, "metrics");
        slm_js_open(&j, '{');
        for (int k = 0; k < t->n_metrics; k++) {
            const slm_run_series *s = &t->metric[k].s;
            slm_js_key(&j, t->metric[k].name);
            slm_js_open(&j, '[');
            for (size_t p = 0; p < s->n; p++) {
                slm_js_open(&j, '[');
                slm_js_int(&j, s->step[p]);
                slm_js_real(&j, s->value[p]);
                slm_js_close(&j, ']');
            }
            slm_js_close(&j, ']');
        }
        slm_js_close(&j, '}');
        slm_js_key(&j, "samples");
        js_notes(&j, &t->samples, sample);
        slm_js_key(&j, "files");
        js_notes(&j, &t->files, file);
        slm_js_close(&j, '}');
    }
    if (n > 1)
        slm_js_close(&j, ']');
}

static void csv_text(FILE *f, const char *s)
{
    if (!s[strcspn(s, ",\"\r\n")]) {
        fputs(s, f);
        return;
    }
    fputc('"', f);
    for (; *s; s++) {
        if (*s == '"')
            fputc('"', f);
        fputc(*s, f);
    }
    fputc('"', f);
}

void slm_story_csv(FILE *f, const struct slm_cli_story *t, int n, const char *metric)
{
    int columns = n == 1 ? t->n_metrics : n;
    size_t at[SLM_CLI_LIST_MAX] = {0};
    columns = columns > SLM_CLI_LIST_MAX ? SLM_CLI_LIST_MAX : columns;
    const slm_run_series *s[SLM_CLI_LIST_MAX];
    fputs("step", f);
    for (int i = 0; i < columns; i++) {
        fputc(',', f);
        csv_text(f, n == 1 ? t->metric[i].name : t[i].run->info.name);
        if (n > 1)
            fprintf(f, " %.10s", t[i].run->id);
        s[i] = n == 1 ? &t->metric[i].s : slm_story_series(&t[i], metric);
    }
    fputc('\n', f);
    for (;;) {
        int64_t step = INT64_MAX;
        bool some = false;
        for (int i = 0; i < columns; i++)
            if (s[i] && at[i] < s[i]->n && (!some || s[i]->step[at[i]] < step)) {
                step = s[i]->step[at[i]];
                some = true;
            }
        if (!some)
            break;
        fprintf(f, "%lld", (long long)step);
        for (int i = 0; i < columns; i++) {
            bool here = s[i] && at[i] < s[i]->n && s[i]->step[at[i]] == step;
            if (here && !isnan(s[i]->value[at[i]]))
                fprintf(f, ",%.9g", s[i]->value[at[i]]);
            else
                fputs(here ? ",nan" : ",", f);
            at[i] += here;
        }
        fputc('\n', f);
    }
}
