/* A page of runs: what they were, where their options differ, their curves side by side, what
 * the model said on the way, and the files. Nothing is fetched; it reads the same in ten years.
 */
#include "runs_cli.h"

#include <math.h>
#include <string.h>

static void row(FILE *f, const char *head, const struct slm_cli_story *t, int n,
                const char *(*cell)(const struct slm_cli_story *t, char buf[64]))
{
    fprintf(f, "<tr><td>%s", head);
    for (int i = 0; i < n; i++) {
        char buf[64];
        fputs("<td>", f);
        slm_page_text(f, cell(&t[i], buf));
    }
    fputs("</tr>\n", f);
}

static const char *cell_id(const struct slm_cli_story *t, char buf[64])
{
    snprintf(buf, 64, "%.10s", t->run->id);
    return buf;
}
static const char *cell_state(const struct slm_cli_story *t, char buf[64])
{
    (void)buf;
    return t->run->state;
}
static const char *cell_note(const struct slm_cli_story *t, char buf[64])
{
    (void)buf;
    return t->run->note;
}
static const char *cell_parent(const struct slm_cli_story *t, char buf[64])
{
    const slm_run_info *i = &t->run->info;
    if (i->parent_step >= 0)
        snprintf(buf, 64, "%.10s, step %lld", i->parent, (long long)i->parent_step);
    else
        snprintf(buf, 64, "%.10s", i->parent);
    return buf;
}
static const char *cell_start(const struct slm_cli_story *t, char buf[64])
{
    return slm_cli_when(buf, t->run->info.started);
}
static const char *cell_time(const struct slm_cli_story *t, char buf[64])
{
    int64_t to = t->run->ended ? t->run->ended : t->run->heard;
    return slm_cli_span(buf, (double)(to - t->run->info.started) / 1000);
}
static const char *cell_steps(const struct slm_cli_story *t, char buf[64])
{
    snprintf(buf, 64, "%lld", (long long)t->run->steps);
    return buf;
}
static const char *cell_loss(const struct slm_cli_story *t, char buf[64])
{
    return slm_cli_figure(buf, t->run->loss);
}
static const char *cell_eval(const struct slm_cli_story *t, char buf[64])
{
    return slm_cli_figure(buf, t->run->eval_loss);
}
static const char *cell_best(const struct slm_cli_story *t, char buf[64])
{
    return slm_cli_figure(buf, t->run->best_eval);
}
static const char *cell_base(const struct slm_cli_story *t, char buf[64])
{
    (void)buf;
    return t->run->info.base;
}
static const char *cell_data(const struct slm_cli_story *t, char buf[64])
{
    (void)buf;
    return t->run->info.data;
}
static const char *cell_machine(const struct slm_cli_story *t, char buf[64])
{
    (void)buf;
    return t->run->info.machine;
}
static const char *cell_command(const struct slm_cli_story *t, char buf[64])
{
    (void)buf;
    return t->run->info.command;
}

static void facts(FILE *f, const struct slm_cli_story *t, int n)
{
    static const struct {
        const char *head;
        const char *(*cell)(const struct slm_cli_story *t, char buf[64]);
    } rows[] = {
        {"id", cell_id},
        {"state", cell_state},
        {"why", cell_note},
        {"goes on from", cell_parent},
        {"began", cell_start},
        {"time", cell_time},
        {"steps", cell_steps},
        {"loss", cell_loss},
        {"held-out loss", cell_eval},
        {"lowest", cell_best},
        {"model", cell_base},
        {"data", cell_data},
        {"machine", cell_machine},
        {"command", cell_command},
    };
    fputs("<table class='l'><tr><td>", f);
    for (int i = 0; i < n; i++) {
        fputs("<td><b>", f);
        slm_page_text(f, t[i].run->info.name);
        fputs("</b>", f);
    }
    fputs("</tr>\n", f);
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        row(f, rows[k].head, t, n, rows[k].cell);
    fputs("</table>\n", f);
}

/* All options of one run; of several those that differ, and then the others once. */
static void options(FILE *f, const struct slm_cli_story *t, int n)
{
    for (int same = 0; same < (n > 1 ? 2 : 1); same++) {
        fputs(n == 1 ? "<h3>Options</h3>\n"
              : same ? "<h3>Options that are the same</h3>\n"
                     : "<h3>Options that differ</h3>\n",
              f);
        fputs("<table class='l'>\n", f);
        for (int owner = 0; owner < n; owner++)
            for (int k = 0; k < t[owner].n_facts; k++) {
                const char *key = t[owner].fact[k].key, *value = t[owner].fact[k].value;
                bool seen = false, differs = false;
                for (int i = 0; i < n; i++) {
                    const char *v = slm_story_fact(&t[i], key);
                    seen = seen || (i < owner && v);
                    differs = differs || !v || strcmp(v, value) != 0;
                }
                if (seen || (n > 1 && differs == (same == 1)))
                    continue;
                fputs("<tr><td>", f);
                slm_page_text(f, key);
                for (int i = 0; i < (same || n == 1 ? 1 : n); i++) {
                    const char *v = slm_story_fact(&t[i], key);
                    fputs("<td>", f);
                    slm_page_text(f, v ? v : "-");
                }
                fputs("</tr>\n", f);
            }
        fputs("</table>\n", f);
    }
}

/* A chart for each number that any of the runs has; of one run, loss and held-out loss share
 * a frame. */
static void charts(FILE *f, const struct slm_cli_story *t, int n)
{
    static const char *const first[] = {"loss", "eval_loss"};
    struct slm_page_line l[8];
    int m = n > 8 ? 8 : n;
    if (n == 1) {
        const slm_run_series *eval = slm_story_series(t, "eval_loss");
        l[0] = (struct slm_page_line){"loss", slm_story_series(t, "loss")};
        l[1] = (struct slm_page_line){"held-out", eval};
        slm_page_chart(f, "loss", l, eval ? 2 : 1);
    }
    for (int pass = n == 1; pass < 2; pass++)
        for (int owner = 0; owner < m; owner++)
            for (int k = 0; k < t[owner].n_metrics; k++) {
                const char *name = t[owner].metric[k].name;
                bool seen = false, loss = !strcmp(name, first[0]) || !strcmp(name, first[1]);
                for (int i = 0; i < owner; i++)
                    seen = seen || slm_story_series(&t[i], name);
                if (seen || loss == (pass == 1) || !strcmp(name, "tokens"))
                    continue;
                for (int i = 0; i < m; i++)
                    l[i] = (struct slm_page_line){t[i].run->info.name,
                                                  slm_story_series(&t[i], name)};
                slm_page_chart(f, name, l, m);
            }
    if (n > m)
        fprintf(f, "<p>Curves of the first %d of %d runs.</p>\n", m, n);
}

static void notes(FILE *f, const struct slm_cli_story *t, int n)
{
    for (int i = 0; i < n; i++) {
        if (t[i].samples.n) {
            fputs("<h3>What the model said: ", f);
            slm_page_text(f, t[i].run->info.name);
            fputs("</h3>\n", f);
        }
        for (size_t k = 0; k < t[i].samples.n; k++) {
            fprintf(f, "<p>Step %lld</p><pre><b>", (long long)t[i].samples.v[k].step);
            slm_page_text(f, t[i].samples.v[k].a);
            fputs("</b>", f);
            slm_page_text(f, t[i].samples.v[k].b);
            fputs("</pre>\n", f);
        }
        if (!t[i].files.n)
            continue;
        fputs("<h3>Files: ", f);
        slm_page_text(f, t[i].run->info.name);
        fputs("</h3>\n<table class='l'>\n", f);
        for (size_t k = 0; k < t[i].files.n; k++) {
            const slm_run_note *v = &t[i].files.v[k];
            fprintf(f, "<tr><td>%lld<td>", (long long)v->step);
            slm_page_text(f, v->a);
            fputs("<td>", f);
            slm_page_text(f, v->b);
            fputs("</tr>\n", f);
        }
        fputs("</table>\n", f);
    }
}

int slm_report(const char *path, const struct slm_cli_story *t, int n, slm_err *err)
{
    struct slm_cli_out o;
    int code = slm_cli_out_open(&o, path, err);
    if (code)
        return code;
    slm_page_open(o.f, n == 1 ? t->run->info.name : "slm runs");
    fputs("<h1>", o.f);
    for (int i = 0; i < n; i++) {
        fputs(i ? ", " : "", o.f);
        slm_page_text(o.f, t[i].run->info.name);
    }
    fputs("</h1>\n", o.f);
    charts(o.f, t, n);
    fputs("<h3>Runs</h3>\n", o.f);
    facts(o.f, t, n);
    options(o.f, t, n);
    notes(o.f, t, n);
    slm_page_close(o.f);
    code = slm_cli_out_commit(&o, err);
    slm_cli_out_close(&o);
    return code;
}
