/* CPU detection. The ladder of levels is a pure function of CPUID leaves and of XCR0 (a level
 * counts only if the system saves its registers), so that dumps of other machines serve as
 * tests; on arm the system tells through the auxiliary vector. */
#include "base/cpu.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/err.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#include <sys/syscall.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

static const char *const names[SLM_CPU_COUNT] = {
#define LEVEL(id, name) name,
    SLM_CPU_LEVELS(LEVEL)
#undef LEVEL
};

const char *slm_cpu_level_name(enum slm_cpu_level level)
{
    return (unsigned)level < SLM_CPU_COUNT ? names[level] : "?";
}

static bool has_all(uint32_t word, uint32_t bits) { return (word & bits) == bits; }

#define BIT(n) (1u << (n))

uint32_t slm_cpu_levels_x86(const struct slm_cpuid *id)
{
    uint32_t has = BIT(SLM_CPU_GENERIC);
    bool os_avx = has_all(id->leaf1_ecx, BIT(27)) && (id->xcr0 & 0x6) == 0x6;
    bool os_512 = os_avx && (id->xcr0 & 0xe0) == 0xe0;
    bool os_amx = (id->xcr0 & 0x60000) == 0x60000;
    if (id->max_leaf < 7 || !os_avx)
        return has;
    /* AVX, FMA, F16C; AVX2 */
    if (!has_all(id->leaf1_ecx, BIT(28) | BIT(12) | BIT(29)) || !has_all(id->leaf7_ebx, BIT(5)))
        return has;
    has |= BIT(SLM_CPU_AVX2);
    if (has_all(id->leaf7_1_eax, BIT(4)))
        has |= BIT(SLM_CPU_AVXVNNI);
    /* F, DQ, BW, VL */
    if (!os_512 || !has_all(id->leaf7_ebx, BIT(16) | BIT(17) | BIT(30) | BIT(31)))
        return has;
    has |= BIT(SLM_CPU_AVX512);
    if (!has_all(id->leaf7_ecx, BIT(11)))
        return has;
    has |= BIT(SLM_CPU_AVX512VNNI);
    if (!has_all(id->leaf7_1_eax, BIT(5)))
        return has;
    has |= BIT(SLM_CPU_AVX512BF16);
    /* AMX-BF16, AMX-TILE, AMX-INT8 */
    if (os_amx && has_all(id->leaf7_edx, BIT(22) | BIT(24) | BIT(25)))
        has |= BIT(SLM_CPU_AMX);
    return has;
}

#if defined(__x86_64__) || defined(__i386__)
static uint64_t read_xcr0(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static void read_leaves(struct slm_cpuid *id)
{
    uint32_t a = 0, b = 0, c = 0, d = 0;
    memset(id, 0, sizeof *id);
    if (!__get_cpuid(0, &id->max_leaf, &b, &c, &d))
        return;
    memcpy(id->vendor, &b, 4);
    memcpy(id->vendor + 4, &d, 4);
    memcpy(id->vendor + 8, &c, 4);
    __get_cpuid(1, &a, &b, &id->leaf1_ecx, &id->leaf1_edx);
    if (has_all(id->leaf1_ecx, BIT(27)))
        id->xcr0 = read_xcr0();
    uint32_t subs = 0;
    if (__get_cpuid_count(7, 0, &subs, &id->leaf7_ebx, &id->leaf7_ecx, &id->leaf7_edx) &&
        subs >= 1)
        __get_cpuid_count(7, 1, &id->leaf7_1_eax, &b, &c, &d);
}

static void read_name(char *out)
{
    uint32_t r[12];
    memset(r, 0, sizeof r);
    for (uint32_t i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002u + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2],
                         &r[4 * i + 3]))
            return;
    char s[49] = "";
    memcpy(s, r, 48);
    size_t a = 0, n;
    while (s[a] == ' ')
        a++;
    for (n = strlen(s); n > a && s[n - 1] == ' '; n--)
        ;
    memcpy(out, s + a, n - a);
    out[n - a] = 0;
}

/* Linux keeps the tile registers from programs that did not ask. */
static bool amx_permitted(void)
{
#if defined(__linux__) && defined(SYS_arch_prctl)
    return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */) == 0;
#else
    return false;
#endif
}

static void look(struct slm_cpu *cpu)
{
    struct slm_cpuid id;
    read_leaves(&id);
    cpu->has = slm_cpu_levels_x86(&id);
    cpu->vbmi = has_all(id.leaf7_ecx, BIT(1) | BIT(8));
    cpu->amd = strcmp(id.vendor, "AuthenticAMD") == 0 || strcmp(id.vendor, "HygonGenuine") == 0;
    read_name(cpu->name);
}
#elif defined(__aarch64__)
static bool amx_permitted(void) { return false; }

static void look(struct slm_cpu *cpu)
{
    cpu->has = BIT(SLM_CPU_GENERIC) | BIT(SLM_CPU_NEON);
#if defined(__linux__)
    if (getauxval(AT_HWCAP) & 1ul << 20)
        cpu->has |= BIT(SLM_CPU_DOTPROD);
    if ((cpu->has & BIT(SLM_CPU_DOTPROD)) && (getauxval(AT_HWCAP2) & 1ul << 13))
        cpu->has |= BIT(SLM_CPU_I8MM);
#endif
    snprintf(cpu->name, sizeof cpu->name, "aarch64");
}
#else
static bool amx_permitted(void) { return false; }

static void look(struct slm_cpu *cpu)
{
    cpu->has = BIT(SLM_CPU_GENERIC);
    snprintf(cpu->name, sizeof cpu->name, "unknown");
}
#endif

static int highest(uint32_t has)
{
    int top = 0;
    for (int l = 0; l < SLM_CPU_COUNT; l++)
        if (has >> l & 1u)
            top = l;
    return top;
}

static int fail_level(const struct slm_cpu *cpu, const char *cap, slm_err *err)
{
    char list[160];
    size_t n = 0;
    for (int l = 0; l < SLM_CPU_COUNT; l++)
        if (cpu->has >> l & 1u)
            n += (size_t)snprintf(list + n, sizeof list - n, " %s", names[l]);
    return slm_fail(err, SLM_E_ARG, "CPU level '%s' is not to be had; this machine has:%s", cap,
                    list);
}

int slm_cpu_detect(struct slm_cpu *cpu, const char *cap, slm_err *err)
{
    memset(cpu, 0, sizeof *cpu);
    look(cpu);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    cpu->cores = cores > 0 && cores < 4096 ? (int)cores : 1;
    int top = highest(cpu->has);
    if (cap && strcasecmp(cap, "best") != 0) {
        for (top = 0; top < SLM_CPU_COUNT && strcasecmp(cap, names[top]) != 0; top++)
            ;
        if (top == SLM_CPU_COUNT || !(cpu->has >> top & 1u))
            return fail_level(cpu, cap, err);
    }
    if (top == SLM_CPU_AMX && !amx_permitted()) {
        cpu->has &= ~BIT(SLM_CPU_AMX);
        if (cap && strcasecmp(cap, "amx") == 0)
            return fail_level(cpu, cap, err);
        top = highest(cpu->has);
    }
    cpu->top = (enum slm_cpu_level)top;
    return 0;
}
