/* AMX where there is none: the instructions raise SIGILL, and this handler does what the manual
 * says of them (Intel SDM volume 2, TDPBF16PS and its neighbours), so that the very code that
 * AMX machines run is tested on any machine with AVX512-BF16. Tiles are a thread's own. Each
 * rule whose breach the CPU would punish ends the test: a tile without a configuration, shapes
 * that do not meet, a use after release. */
#ifndef TESTS_AMX_TRAP_H
#define TESTS_AMX_TRAP_H

#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#if defined(__x86_64__) && defined(__linux__)
#include <ucontext.h>

struct amx_state {
    bool on;
    uint16_t row_bytes[8];
    uint8_t rows[8];
    uint8_t tile[8][16][64];
};
static _Thread_local struct amx_state amx;
static volatile sig_atomic_t
    amx_broken; /* tests: 1: sums come out wrong; 2: tiles load zeros */

static void amx_stop(const char *what)
{
    fprintf(stderr, "AMX: %s\n", what);
    abort();
}

struct amx_insn {
    int pp, op, reg, rm, vvvv, len;
    bool memory, sib;
    uint64_t at, stride;
};

static uint64_t amx_gpr(const ucontext_t *u, int r)
{
    static const int of[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                               REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                               REG_R12, REG_R13, REG_R14, REG_R15};
    return (uint64_t)u->uc_mcontext.gregs[of[r]];
}

/* Three-byte VEX, map 0F38, W 0, 128 bits, no other prefix: all that AMX has. */
static bool amx_decode(struct amx_insn *i, const uint8_t *p, const ucontext_t *u)
{
    if (p[0] != 0xc4 || (p[1] & 31) != 2 || (p[2] & 0x84))
        return false;
    int r = ~p[1] >> 7 & 1, x = ~p[1] >> 6 & 1, b = ~p[1] >> 5 & 1, mod = p[4] >> 6;
    *i = (struct amx_insn){.pp = p[2] & 3, .op = p[3], .vvvv = ~p[2] >> 3 & 15, .len = 5};
    i->reg = (p[4] >> 3 & 7) | r << 3;
    i->rm = (p[4] & 7) | b << 3;
    i->memory = mod != 3;
    if (!i->memory)
        return true;
    int32_t disp = 0;
    int base = i->rm, none = mod == 0 && (p[4] & 7) == 5;
    if ((p[4] & 7) == 4) {
        int index = (p[5] >> 3 & 7) | x << 3;
        base = (p[5] & 7) | b << 3;
        none = mod == 0 && (p[5] & 7) == 5;
        i->sib = true;
        i->stride = index == 4 ? 0 : amx_gpr(u, index) << (p[5] >> 6);
        i->len++;
    }
    if (mod == 1)
        disp = (int8_t)p[i->len];
    else if (mod == 2 || none)
        memcpy(&disp, p + i->len, 4);
    i->len += mod == 1 ? 1 : mod == 2 || none ? 4 : 0;
    i->at = (uint64_t)(int64_t)disp;
    if (!none)
        i->at += amx_gpr(u, base);
    else if (!i->sib)
        i->at += (uint64_t)(uintptr_t)p + (uint64_t)i->len; /* from the next instruction */
    return true;
}

static void amx_configure(const uint8_t *c)
{
    for (int k = 1; k < 64; k++)
        if ((k < 16 || (k >= 32 && k < 48) || k >= 56) && c[k])
            amx_stop("reserved bytes of a configuration");
    if (c[0] != 1)
        amx_stop("palette");
    memset(&amx, 0, sizeof amx);
    for (int t = 0; t < 8; t++) {
        memcpy(&amx.row_bytes[t], c + 16 + 2 * t, 2);
        amx.rows[t] = c[48 + t];
        if (amx.row_bytes[t] > 64 || amx.rows[t] > 16 || !amx.row_bytes[t] != !amx.rows[t])
            amx_stop("a tile's shape");
    }
    amx.on = true;
}

static void amx_check(int t)
{
    if (t > 7 || !amx.on || !amx.rows[t] || amx.row_bytes[t] % 4)
        amx_stop("a tile that is not configured");
}

static float amx_flushed(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }
static float amx_bf16(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return amx_flushed(slm_bf16_to_f32(h));
}

/* Even and odd elements have sums of their own, by fused multiply-adds; these meet, then comes
 * C. Denormals are zeros on the way in and out. */
static float amx_dot_bf16(float c, const struct amx_insn *i, int m, int n)
{
    float even = 0, odd = 0;
    for (int k = 0; k < amx.row_bytes[i->rm] / 4; k++) {
        const uint8_t *a = amx.tile[i->rm][m] + 4 * k, *b = amx.tile[i->vvvv][k] + 4 * n;
        even = amx_flushed(fmaf(amx_bf16(a), amx_bf16(b), even));
        odd = amx_flushed(fmaf(amx_bf16(a + 2), amx_bf16(b + 2), odd));
    }
    return amx_flushed(amx_flushed(c) + amx_flushed(even + odd));
}

static int32_t amx_dot_int8(int32_t c, const struct amx_insn *i, int m, int n)
{
    uint32_t sum = (uint32_t)c;
    for (int k = 0; k < amx.row_bytes[i->rm]; k++)
        sum += (uint32_t)((int8_t)amx.tile[i->rm][m][k] *
                          (int8_t)amx.tile[i->vvvv][k / 4][4 * n + k % 4]);
    return (int32_t)sum;
}

static void amx_multiply(const struct amx_insn *i)
{
    int c = i->reg, a = i->rm, b = i->vvvv;
    amx_check(c);
    amx_check(a);
    amx_check(b);
    if (c == a || c == b || a == b)
        amx_stop("the same tile twice");
    if (amx.rows[c] != amx.rows[a] || amx.row_bytes[c] != amx.row_bytes[b] ||
        amx.row_bytes[a] / 4 != amx.rows[b])
        amx_stop("shapes that do not meet");
    for (int m = 0; m < amx.rows[c]; m++)
        for (int n = 0; n < amx.row_bytes[c] / 4; n++) {
            uint8_t *at = amx.tile[c][m] + 4 * n;
            float f;
            int32_t s;
            memcpy(&f, at, 4);
            memcpy(&s, at, 4);
            f = amx_dot_bf16(f, i, m, n);
            s = i->op == 0x5e ? amx_dot_int8(s, i, m, n) : 0;
            if (amx_broken == 1 && m == 3 && n == 5)
                f += 1;
            memcpy(at, i->op == 0x5e ? (void *)&s : (void *)&f, 4);
        }
}

static void amx_move(const struct amx_insn *i, bool store)
{
    int t = i->reg;
    amx_check(t);
    for (int r = 0; r < amx.rows[t]; r++) {
        uint8_t *p = (uint8_t *)(uintptr_t)(i->at + (uint64_t)r * i->stride);
        if (store)
            memcpy(p, amx.tile[t][r], amx.row_bytes[t]);
        else
            memcpy(amx.tile[t][r], p, amx.row_bytes[t]);
    }
    if (!store && amx_broken == 2)
        memset(amx.tile[t], 0, sizeof amx.tile[t]);
}

static bool amx_do(const struct amx_insn *i)
{
    if (i->op == 0x49 && i->pp == 0 && i->memory)
        amx_configure((const uint8_t *)(uintptr_t)i->at);
    else if (i->op == 0x49 && i->pp == 0 && i->reg == 0 && i->rm == 0)
        memset(&amx, 0, sizeof amx);
    else if (i->op == 0x49 && i->pp == 3 && !i->memory && i->rm == 0) {
        amx_check(i->reg);
        memset(amx.tile[i->reg], 0, sizeof amx.tile[0]);
    } else if (i->op == 0x4b && i->sib && (i->pp == 3 || i->pp == 2))
        amx_move(i, i->pp == 2);
    else if (!i->memory && ((i->op == 0x5c && i->pp == 2) || (i->op == 0x5e && i->pp == 3)))
        amx_multiply(i);
    else
        return false;
    return true;
}

static void amx_trap(int sig, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    struct amx_insn i;
    (void)info;
    const uint8_t *p = (const uint8_t *)(uintptr_t)u->uc_mcontext.gregs[REG_RIP];
    if (amx_decode(&i, p, u) && amx_do(&i))
        u->uc_mcontext.gregs[REG_RIP] += i.len;
    else
        signal(sig, SIG_DFL); /* not ours: it strikes again */
}

/* Does this machine now have AMX, or something as good? `cpu` is told. */
static bool amx_trap_install(struct slm_cpu *cpu)
{
    struct sigaction sa;
    if (cpu->has >> SLM_CPU_AMX & 1u)
        return true;
    if (!(cpu->has >> SLM_CPU_AVX512BF16 & 1u))
        return false;
    memset(&sa, 0, sizeof sa);
    sa.sa_sigaction = amx_trap;
    sa.sa_flags = SA_SIGINFO;
    if (sigaction(SIGILL, &sa, NULL))
        return false;
    cpu->has |= 1u << SLM_CPU_AMX;
    return true;
}

#else
static bool amx_trap_install(struct slm_cpu *cpu)
{
    (void)cpu;
    return false;
}
#endif
#endif
