/* Which rungs of the ladder this machine climbs: those that the CPU has, less one that is
 * slower here than what it replaces (measured for a fraction of a millisecond), less one that
 * computes wrong. The ladder says what a CPU can do; this says what it does well. */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "kernels/kern_fill.h"
#include "kernels/probe.h"

/* ---- slow ---- */

enum { LOOPS = 4000, ROUNDS = 6 };

static double rate_of(double (*fn)(long loops, double *sink), double best, double *sink)
{
    double t = slm_clock_seconds(), ops = fn(LOOPS, sink);
    t = slm_clock_seconds() - t;
    return t > 0 && ops / t > best ? ops / t : best;
}

/* vdpbf16ps has twice the rate of float32 on Zen 4 and half of it on Sapphire Rapids. The best
 * of turns counts, so what else runs does not decide. */
static bool bf16_pays(const struct slm_cpu *cpu, double *share)
{
    struct slm_probe p;
    double f32 = 0, bf16 = 0, sink = 0;
    slm_probe_fill(&p, cpu);
    if (!p.f32 || !p.bf16)
        return true;
    for (int i = 0; i < ROUNDS; i++) {
        f32 = rate_of(p.f32, f32, &sink);
        bf16 = rate_of(p.bf16, bf16, &sink);
    }
    *share = f32 > 0 ? bf16 / f32 : 1;
    return bf16 >= f32;
}

/* ---- wrong ---- */

enum { NX = 37, NW = 45, K = 361, K_BLOCKS = 352 }; /* tails of every kind */

struct room {
    _Alignas(64) uint8_t scratch[SLM_PROMPT_SCRATCH];
    uint8_t x[NX][2 * K], w[NW][2 * K];
    float xf[NX][K], wf[NW][K], out[NX][NW];
};

/* Small whole numbers: every sum is exact in any order, so there is one right answer. */
static bool sound_for(const struct slm_kern *k, struct room *r, enum slm_dtype t)
{
    size_t n = slm_dtypes[t].block == 1 ? K : K_BLOCKS;
    for (size_t i = 0; i < NX; i++) {
        for (size_t e = 0; e < n; e++)
            r->xf[i][e] = (float)((int)((i * 7 + e * 5 + i * e) % 17) - 8);
        k->from_f32[SLM_BF16](r->x[i], r->xf[i], n);
    }
    for (size_t j = 0; j < NW; j++) {
        for (size_t e = 0; e < n; e++) /* every block has a 127, hence a scale of one */
            r->wf[j][e] = e % 32 == j % 32 ? 127.0f : (float)((int)((j * 11 + e * 3) % 19) - 9);
        k->from_f32[t](r->w[j], r->wf[j], n);
    }
    memset(r->scratch, 0xff, sizeof r->scratch);
    struct slm_prompt m = {.out = r->out[0],
                           .ldo = NW,
                           .x = r->x,
                           .xs = sizeof r->x[0],
                           .nx = NX,
                           .w = r->w,
                           .ws = sizeof r->w[0],
                           .nw = NW,
                           .k = n,
                           .scratch = r->scratch};
    k->mul_prompt[t](&m);
    for (size_t i = 0; i < NX; i++)
        for (size_t j = 0; j < NW; j++) {
            double sum = 0;
            for (size_t e = 0; e < n; e++)
                sum += (double)r->xf[i][e] * (double)r->wf[j][e];
            if ((double)r->out[i][j] != sum)
                return false;
        }
    return true;
}

/* A level that gives one wrong number must not give any. */
static int check_amx(slm_runtime *rt, bool *sound, slm_err *err)
{
    struct room *r = slm_alloc(rt, SLM_MEM_KERNELS, sizeof *r);
    if (!r)
        return slm_fail_mem(err, "check of the CPU", sizeof *r);
    *sound = sound_for(rt->kern, r, SLM_BF16) && sound_for(rt->kern, r, SLM_Q8_0);
    slm_free(rt, r);
    return 0;
}

/* ---- both ---- */

static void leave_out(struct slm_cpu *cpu, enum slm_cpu_level level)
{
    cpu->has &= ~(1u << level);
    while (cpu->top > 0 && !(cpu->has >> cpu->top & 1u))
        cpu->top--;
}

int slm_kern_settle(slm_runtime *rt, const char *cap, slm_err *err)
{
    struct slm_cpu *cpu = &rt->cpu;
    bool named = cap && strcasecmp(cap, slm_cpu_level_name(SLM_CPU_AVX512BF16)) == 0;
    double share = 1;
    cpu->slow = 0;
    if ((cpu->has >> SLM_CPU_AVX512BF16 & 1u) && cpu->top >= SLM_CPU_AVX512BF16 && !named &&
        !bf16_pays(cpu, &share)) {
        cpu->slow = 1u << SLM_CPU_AVX512BF16;
        slm_log(rt, SLM_LOG_INFO,
                "CPU level %s is left out: %.2f of float32's speed here (--cpu %s takes it)",
                slm_cpu_level_name(SLM_CPU_AVX512BF16), share,
                slm_cpu_level_name(SLM_CPU_AVX512BF16));
    }
    slm_kern_fill(rt->kern, cpu, cpu->top);
    if (cpu->top != SLM_CPU_AMX || !rt->kern->mul_prompt[SLM_BF16])
        return 0;
    bool sound = false;
    int rc = check_amx(rt, &sound, err);
    if (rc || sound)
        return rc;
    slm_log(rt, SLM_LOG_WARN,
            "this CPU's AMX gives wrong products: level %s is left out (please report it)",
            slm_cpu_level_name(SLM_CPU_AMX));
    leave_out(cpu, SLM_CPU_AMX);
    slm_kern_fill(rt->kern, cpu, cpu->top);
    return 0;
}
