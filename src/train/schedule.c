/* Schedules of the learning rate: a row each, warm-up before all of them. */
#include <math.h>
#include <string.h>

#include "train/train_in.h"

/* How much of what follows the warm-up is done, 0 to 1. */
static float done(const struct slm_schedule *s, int64_t step)
{
    int64_t all = s->steps - s->warmup;
    return all > 0 ? fminf((float)(step - s->warmup) / (float)all, 1) : 1;
}

static float constant(const struct slm_schedule *s, int64_t step)
{
    (void)s;
    (void)step;
    return 1;
}

static float linear(const struct slm_schedule *s, int64_t step)
{
    return s->min + (1 - s->min) * (1 - done(s, step));
}

static float cosine(const struct slm_schedule *s, int64_t step)
{
    return s->min + (1 - s->min) * 0.5f * (1 + cosf(3.14159265f * done(s, step)));
}

/* Warm-up, stable, decay: level until the last share of the steps, then 1 - sqrt down (Hagele
 * et al. 2024). */
static float wsd(const struct slm_schedule *s, int64_t step)
{
    int64_t fall = (int64_t)((float)s->steps * s->decay_share);
    int64_t into = step - (s->steps - fall);
    if (into < 0 || !fall)
        return 1;
    return s->min + (1 - s->min) * (1 - sqrtf((float)into / (float)fall));
}

static const struct {
    const char *name;
    float (*share)(const struct slm_schedule *s, int64_t step);
} rows[] = {{"constant", constant}, {"linear", linear}, {"cosine", cosine}, {"wsd", wsd}};

int slm_schedule_init(struct slm_schedule *s, const slm_train_opts *o, int64_t steps,
                      slm_err *err)
{
    memset(s, 0, sizeof *s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].name, o->schedule))
            s->share = rows[i].share;
    if (!s->share)
        return slm_fail(err, SLM_E_ARG, "schedule '%s': want constant, linear, cosine or wsd",
                        o->schedule);
    s->min = o->min_lr;
    s->decay_share = o->decay_share;
    s->steps = steps;
    s->warmup = o->warmup < 1 ? (int64_t)ceilf(o->warmup * (float)steps) : (int64_t)o->warmup;
    return 0;
}

float slm_schedule_at(const struct slm_schedule *s, int64_t step)
{
    if (step < s->warmup) /* the first step learns too */
        return (float)(step + 1) / (float)(s->warmup + 1);
    return s->share(s, step);
}
