/* Progress bars: on stderr, only on a terminal, only once two seconds have gone. */
#include "cli.h"

#include <string.h>

void slm_cli_progress_start(struct slm_cli_progress *p, const struct slm_cli *c,
                            const char *label, const char *unit)
{
    *p = (struct slm_cli_progress){.label = label, .unit = unit, .start = slm_cli_seconds()};
    p->on = slm_cli_tty(stderr) && !c->common->quiet;
    p->last = p->start;
}

static void draw(struct slm_cli_progress *p, uint64_t done, uint64_t total, double now)
{
    char bar[41], rate[48], size[32];
    double part = total ? (double)done / (double)total : 0;
    double per_s = now > p->start ? (double)done / (now - p->start) : 0;
    int width = slm_cli_columns() - (int)strlen(p->label) - 44;
    width = width > 40 ? 40 : width < 5 ? 5 : width;
    int full = (int)(part * width);
    for (int i = 0; i < width; i++)
        bar[i] = i < full ? '#' : '.';
    bar[width] = 0;
    if (!strcmp(p->unit, "B"))
        snprintf(rate, sizeof rate, "%s/s", slm_cli_size(size, per_s));
    else
        snprintf(rate, sizeof rate, "%.1f %s/s", per_s, p->unit);
    long eta = per_s > 0 ? (long)((double)(total - done) / per_s + 0.5) : 0;
    fprintf(stderr, "\r%s [%s] %3.0f %%  %s  %ld:%02ld left\033[K", p->label, bar, part * 100,
            rate, eta / 60, eta % 60);
    fflush(stderr);
    p->drawn = true;
}

int slm_cli_progress_step(void *arg, uint64_t done, uint64_t total)
{
    struct slm_cli_progress *p = arg;
    double now = p->on ? slm_cli_seconds() : 0;
    if (p->on && now - p->start >= 2 && now - p->last >= 0.1) {
        p->last = now;
        draw(p, done, total, now);
    }
    return slm_cli_interrupted();
}

void slm_cli_progress_end(struct slm_cli_progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}
