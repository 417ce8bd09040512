/* A run with all that is known of it: out of the record, or put together as it happens. */
#include "runs_cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *copy(const char *s, size_t n)
{
    char *p = slm_cli_realloc(NULL, n + 1);
    memcpy(p, s, n);
    p[n] = 0;
    return p;
}

static struct slm_cli_metric *metric_of(struct slm_cli_story *t, const char *name)
{
    for (int i = 0; i < t->n_metrics; i++)
        if (!strcmp(t->metric[i].name, name))
            return &t->metric[i];
    t->metric = slm_cli_realloc(t->metric, (size_t)(t->n_metrics + 1) * sizeof *t->metric);
    struct slm_cli_metric *m = &t->metric[t->n_metrics++];
    *m = (struct slm_cli_metric){.name = copy(name, strlen(name))};
    return m;
}

void slm_story_add(struct slm_cli_story *t, const char *name, int64_t step, double value)
{
    struct slm_cli_metric *m = metric_of(t, name);
    if (m->s.n == m->cap) {
        m->cap = m->cap ? 2 * m->cap : 256;
        m->s.step = slm_cli_realloc(m->s.step, m->cap * sizeof *m->s.step);
        m->s.value = slm_cli_realloc(m->s.value, m->cap * sizeof *m->s.value);
    }
    m->s.step[m->s.n] = step;
    m->s.value[m->s.n++] = value;
}

void slm_story_facts(struct slm_cli_story *t, const char *config)
{
    struct slm_cli_reader r = {config, config + strlen(config)};
    struct slm_cli_buf key = {0};
    bool more = slm_jr_char(&r, '{');
    while (more && slm_jr_string(&r, &key) && slm_jr_char(&r, ':')) {
        slm_jr_space(&r);
        const char *from = r.p;
        if (!slm_jr_value(&r))
            break;
        t->fact = slm_cli_realloc(t->fact, (size_t)(t->n_facts + 1) * sizeof *t->fact);
        t->fact[t->n_facts++] =
            (struct slm_cli_fact){copy(key.s, key.n), copy(from, (size_t)(r.p - from))};
        key.n = 0;
        more = slm_jr_char(&r, ',');
    }
    slm_cli_buf_free(&key);
}

const char *slm_story_fact(const struct slm_cli_story *t, const char *key)
{
    for (int i = 0; i < t->n_facts; i++)
        if (!strcmp(t->fact[i].key, key))
            return t->fact[i].value;
    return NULL;
}

int slm_story_load(struct slm_cli_story *t, slm_runs *q, const char *which, slm_err *err)
{
    slm_text name = {0};
    int code = slm_runs_find(q, which, &t->list, err);
    if (code)
        return code;
    t->run = t->list.v;
    code = slm_runs_metric(q, t->run->id, 0, &name, err);
    for (size_t i = 1; !code && name.data; i++) {
        struct slm_cli_metric *m = metric_of(t, name.data);
        code = slm_runs_series(q, t->run->id, name.data, &m->s, err);
        if (!code)
            code = slm_runs_metric(q, t->run->id, i, &name, err);
    }
    slm_text_release(&name);
    if (!code)
        code = slm_runs_samples(q, t->run->id, &t->samples, err);
    if (!code)
        code = slm_runs_files(q, t->run->id, &t->files, err);
    if (!code)
        slm_story_facts(t, t->run->info.config);
    return code;
}

void slm_story_free(struct slm_cli_story *t)
{
    for (int i = 0; i < t->n_metrics; i++) {
        free(t->metric[i].name);
        if (t->metric[i].s.rt) {
            slm_run_series_release(&t->metric[i].s);
        } else {
            free(t->metric[i].s.step);
            free(t->metric[i].s.value);
        }
    }
    for (int i = 0; i < t->n_facts; i++) {
        free(t->fact[i].key);
        free(t->fact[i].value);
    }
    free(t->metric);
    free(t->fact);
    slm_run_notes_release(&t->samples);
    slm_run_notes_release(&t->files);
    slm_run_list_release(&t->list);
    *t = (struct slm_cli_story){0};
}

const slm_run_series *slm_story_series(const struct slm_cli_story *t, const char *name)
{
    for (int i = 0; i < t->n_metrics; i++)
        if (!strcmp(t->metric[i].name, name))
            return &t->metric[i].s;
    return NULL;
}

double slm_series_at(const slm_run_series *s, int64_t step)
{
    size_t lo = 0, hi = s ? s->n : 0; /* the first behind step */
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->step[mid] <= step)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo ? s->value[lo - 1] : (double)NAN;
}
