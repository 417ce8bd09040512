/* The mixes. A name such as Q4_K_M stands for a choice of types by a matrix's role, its layer
 * and the model's shape. The choices are those that files of these names are known by
 * (llama.cpp's), so that sizes and expectations carry over; here they are rows of a table, of
 * which the first that fits a matrix counts. */
#include "compress/mixes.h"

#include <strings.h>

enum {
    F32,
    F16,
    BF16,
    Q1_0,
    Q2_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q2_K_S,
    Q3_K_S,
    Q3_K_M,
    Q3_K_L,
    Q4_K_S,
    Q4_K_M,
    Q5_K_S,
    Q5_K_M,
    Q6_K,
    IQ1_S,
    IQ1_M,
    IQ2_XXS,
    IQ2_XS,
    IQ2_S,
    IQ2_M,
    IQ3_XXS,
    IQ3_XS,
    IQ3_S,
    IQ3_M,
    IQ4_NL,
    IQ4_XS,
    TQ1_0,
    TQ2_0,
    MXFP4_MOE,
    MXFP4
};

/* clang-format off */
#define MIX(n, file, base, out, embed, kind) \
    {#n, file, SLM_##base, SLM_##out, SLM_##embed, SLM_KIND_##kind, n}
static const struct slm_mix mixes[] = {
    MIX(F32,        0, F32,     F32,  F32,     FLOAT),
    MIX(F16,        1, F16,     F16,  F16,     FLOAT),
    MIX(BF16,      32, BF16,    BF16, BF16,    FLOAT),
    MIX(Q1_0,      40, Q1_0,    Q6_K, Q1_0,    OTHER),
    MIX(Q2_0,      41, Q2_0,    Q6_K, Q4_K,    OTHER),
    MIX(Q4_0,       2, Q4_0,    Q6_K, Q4_0,    BLOCK),
    MIX(Q4_1,       3, Q4_1,    Q6_K, Q4_1,    BLOCK),
    MIX(Q5_0,       8, Q5_0,    Q6_K, Q5_0,    BLOCK),
    MIX(Q5_1,       9, Q5_1,    Q6_K, Q5_1,    BLOCK),
    MIX(Q8_0,       7, Q8_0,    Q8_0, Q8_0,    BLOCK),
    MIX(Q2_K,      10, Q2_K,    Q6_K, Q2_K,    K),
    MIX(Q2_K_S,    21, Q2_K,    Q6_K, Q2_K,    K),
    MIX(Q3_K_S,    11, Q3_K,    Q6_K, Q3_K,    K),
    MIX(Q3_K_M,    12, Q3_K,    Q6_K, Q3_K,    K),
    MIX(Q3_K_L,    13, Q3_K,    Q6_K, Q3_K,    K),
    MIX(Q4_K_S,    14, Q4_K,    Q6_K, Q4_K,    K),
    MIX(Q4_K_M,    15, Q4_K,    Q6_K, Q4_K,    K),
    MIX(Q5_K_S,    16, Q5_K,    Q6_K, Q5_K,    K),
    MIX(Q5_K_M,    17, Q5_K,    Q6_K, Q5_K,    K),
    MIX(Q6_K,      18, Q6_K,    Q6_K, Q6_K,    K),
    MIX(IQ1_S,     24, IQ1_S,   Q5_K, Q2_K,    IQ),
    MIX(IQ1_M,     31, IQ1_M,   Q5_K, Q2_K,    IQ),
    MIX(IQ2_XXS,   19, IQ2_XXS, Q5_K, Q2_K,    IQ),
    MIX(IQ2_XS,    20, IQ2_XS,  Q5_K, Q2_K,    IQ),
    MIX(IQ2_S,     28, IQ2_XS,  Q5_K, IQ3_S,   IQ),
    MIX(IQ2_M,     29, IQ2_S,   Q5_K, IQ3_S,   IQ),
    MIX(IQ3_XXS,   23, IQ3_XXS, Q5_K, IQ3_S,   IQ),
    MIX(IQ3_XS,    22, IQ3_S,   Q6_K, IQ3_S,   IQ),
    MIX(IQ3_S,     26, IQ3_S,   Q6_K, IQ3_S,   IQ),
    MIX(IQ3_M,     27, IQ3_S,   Q6_K, IQ3_S,   IQ),
    MIX(IQ4_NL,    25, IQ4_NL,  Q6_K, IQ4_NL,  IQ),
    MIX(IQ4_XS,    30, IQ4_XS,  Q6_K, IQ4_XS,  IQ),
    MIX(TQ1_0,     36, TQ1_0,   Q6_K, Q4_K,    OTHER),
    MIX(TQ2_0,     37, TQ2_0,   Q6_K, Q4_K,    OTHER),
    MIX(MXFP4_MOE, 38, Q8_0,    Q8_0, Q8_0,    OTHER),
    MIX(MXFP4,     38, MXFP4,   Q8_0, Q8_0,    OTHER),
};
static const struct { const char *name; int id; } aliases[] = {
    {"Q3_K", Q3_K_M}, {"Q4_K", Q4_K_M}, {"Q5_K", Q5_K_M},
};
/* clang-format on */

/* Which layers, of n. MORE: the first and last eighth and every third between. */
enum layers { ALL, FIRST_TWO, FIRST_FOUR, EIGHTH, SIXTEENTH, MIDDLE, MORE };
/* What must hold of the model, or of the importance matrix. E8: eight experts. GQA: four query
 * heads or more to a key head. */
enum when { ALWAYS, GQA, GQA_OR_E4, E8, E8_MORE, IMATRIX, NO_IMATRIX, EXPERTS };

struct rule {
    uint64_t mixes;
    enum slm_role role;
    enum layers layers;
    enum when when;
    enum slm_dtype type;
};

#define M(x) ((uint64_t)1 << (x))
#define IQ2_BIG (M(IQ2_S) | M(IQ2_M))
#define IQ2_LOW (M(IQ1_S) | M(IQ1_M) | M(IQ2_XXS) | M(IQ2_XS))
#define LOW (IQ2_BIG | IQ2_LOW)
#define IQ4 (M(IQ4_NL) | M(IQ4_XS))
#define PLAIN (M(F32) | M(F16) | M(BF16))
#define MANY (~(LOW | PLAIN | M(MXFP4_MOE) | M(MXFP4)))
/* Eight experts: attention is a small part of such a model. */
#define O_E8                                                                                   \
    (M(Q2_K) | M(IQ3_XS) | M(IQ3_XXS) | M(Q3_K_S) | M(Q3_K_M) | IQ4 | M(Q4_K_S) | M(Q4_K_M) |  \
     M(IQ3_S) | M(IQ3_M))

/* clang-format off */
static const struct rule rules[] = {
    {M(MXFP4_MOE),  SLM_ROLE_GATE, ALL,        EXPERTS,    SLM_MXFP4},
    {M(MXFP4_MOE),  SLM_ROLE_UP,   ALL,        EXPERTS,    SLM_MXFP4},
    {M(MXFP4_MOE),  SLM_ROLE_DOWN, ALL,        EXPERTS,    SLM_MXFP4},

    {LOW,           SLM_ROLE_V,    ALL,        GQA_OR_E4,  SLM_Q4_K},
    {IQ2_BIG,       SLM_ROLE_V,    ALL,        ALWAYS,     SLM_IQ3_S},
    {IQ2_LOW,       SLM_ROLE_V,    ALL,        ALWAYS,     SLM_Q2_K},
    {LOW,           SLM_ROLE_K,    ALL,        E8,         SLM_Q4_K},
    {IQ2_BIG,       SLM_ROLE_DOWN, EIGHTH,     ALWAYS,     SLM_IQ3_S},
    {IQ2_LOW,       SLM_ROLE_DOWN, EIGHTH,     ALWAYS,     SLM_Q2_K},
    {LOW,           SLM_ROLE_O,    ALL,        E8,         SLM_Q5_K},
    {M(IQ1_S) | M(IQ1_M), SLM_ROLE_O, ALL,     ALWAYS,     SLM_IQ2_XXS},
    {IQ2_BIG,       SLM_ROLE_O,    ALL,        ALWAYS,     SLM_IQ3_S},

    {MANY,          SLM_ROLE_V,    ALL,        E8,         SLM_Q8_0},
    {MANY,          SLM_ROLE_K,    ALL,        E8,         SLM_Q8_0},
    {M(Q3_K_L),     SLM_ROLE_O,    ALL,        E8,         SLM_Q3_K},
    {O_E8,          SLM_ROLE_O,    ALL,        E8,         SLM_Q5_K},
    {M(IQ3_M),      SLM_ROLE_DOWN, MORE,       E8_MORE,    SLM_Q4_K},

    {M(Q2_K) | M(Q2_K_S), SLM_ROLE_V, ALL,     GQA,        SLM_Q4_K},
    {M(Q2_K),       SLM_ROLE_V,    ALL,        ALWAYS,     SLM_Q3_K},
    {M(Q2_K),       SLM_ROLE_DOWN, ALL,        ALWAYS,     SLM_Q3_K},
    {M(Q2_K),       SLM_ROLE_O,    ALL,        ALWAYS,     SLM_Q3_K},
    {M(Q2_K_S),     SLM_ROLE_DOWN, EIGHTH,     ALWAYS,     SLM_Q4_K},

    {M(IQ3_XXS) | M(IQ3_XS) | M(IQ3_S), SLM_ROLE_V, ALL, GQA, SLM_Q4_K},
    {M(IQ3_XXS),    SLM_ROLE_V,    ALL,        NO_IMATRIX, SLM_IQ3_S},
    {M(IQ3_XXS),    SLM_ROLE_K,    ALL,        ALWAYS,     SLM_IQ2_S},
    {M(IQ3_XXS),    SLM_ROLE_Q,    ALL,        ALWAYS,     SLM_IQ2_S},
    {M(IQ3_XXS),    SLM_ROLE_DOWN, EIGHTH,     NO_IMATRIX, SLM_Q4_K},
    {M(IQ3_XXS),    SLM_ROLE_DOWN, ALL,        NO_IMATRIX, SLM_Q3_K},
    {M(IQ3_XXS),    SLM_ROLE_O,    ALL,        ALWAYS,     SLM_IQ3_S},
    {M(IQ3_XS),     SLM_ROLE_K,    ALL,        ALWAYS,     SLM_IQ3_XXS},
    {M(IQ3_XS),     SLM_ROLE_Q,    ALL,        ALWAYS,     SLM_IQ3_XXS},
    {M(IQ3_XS),     SLM_ROLE_GATE, MIDDLE,     ALWAYS,     SLM_IQ3_XXS},
    {M(IQ3_XS),     SLM_ROLE_UP,   MIDDLE,     ALWAYS,     SLM_IQ3_XXS},
    {M(IQ3_M),      SLM_ROLE_V,    ALL,        ALWAYS,     SLM_Q4_K},
    {M(IQ3_M),      SLM_ROLE_DOWN, EIGHTH,     ALWAYS,     SLM_Q4_K},
    {M(IQ3_M),      SLM_ROLE_O,    ALL,        ALWAYS,     SLM_Q4_K},

    {M(Q3_K_M),     SLM_ROLE_V,    FIRST_TWO,  ALWAYS,     SLM_Q5_K},
    {M(Q3_K_M),     SLM_ROLE_V,    ALL,        ALWAYS,     SLM_Q4_K},
    {M(Q3_K_M),     SLM_ROLE_DOWN, SIXTEENTH,  ALWAYS,     SLM_Q5_K},
    {M(Q3_K_M),     SLM_ROLE_DOWN, ALL,        ALWAYS,     SLM_Q4_K},
    {M(Q3_K_M),     SLM_ROLE_O,    ALL,        ALWAYS,     SLM_Q4_K},
    {M(Q3_K_L),     SLM_ROLE_V,    ALL,        ALWAYS,     SLM_Q5_K},
    {M(Q3_K_L),     SLM_ROLE_DOWN, ALL,        ALWAYS,     SLM_Q5_K},
    {M(Q3_K_L),     SLM_ROLE_O,    ALL,        ALWAYS,     SLM_Q5_K},

    {IQ4,           SLM_ROLE_V,    ALL,        GQA,        SLM_Q5_K},
    {IQ4,           SLM_ROLE_DOWN, EIGHTH,     NO_IMATRIX, SLM_Q5_K},
    {M(Q4_K_S),     SLM_ROLE_V,    FIRST_FOUR, ALWAYS,     SLM_Q5_K},
    {M(Q4_K_S),     SLM_ROLE_DOWN, EIGHTH,     ALWAYS,     SLM_Q5_K},
    {M(Q4_K_M) | M(Q5_K_M), SLM_ROLE_V, MORE,  ALWAYS,     SLM_Q6_K},
    {M(Q4_K_M) | M(Q5_K_M), SLM_ROLE_DOWN, MORE, ALWAYS,   SLM_Q6_K},
    {M(Q4_0),       SLM_ROLE_DOWN, EIGHTH,     IMATRIX,    SLM_Q4_1},
    {M(Q5_0),       SLM_ROLE_DOWN, EIGHTH,     IMATRIX,    SLM_Q5_1},
};

/* In place of a type of 256 whose rows it does not divide. */
static const struct { enum slm_dtype from, to; } fallbacks[] = {
    {SLM_IQ1_S, SLM_IQ4_NL}, {SLM_IQ1_M, SLM_IQ4_NL}, {SLM_IQ2_XXS, SLM_IQ4_NL},
    {SLM_IQ2_XS, SLM_IQ4_NL}, {SLM_IQ2_S, SLM_IQ4_NL}, {SLM_IQ3_XXS, SLM_IQ4_NL},
    {SLM_IQ3_S, SLM_IQ4_NL}, {SLM_IQ4_XS, SLM_IQ4_NL}, {SLM_Q1_0, SLM_Q4_0},
    {SLM_Q2_0, SLM_Q4_0}, {SLM_Q2_K, SLM_Q4_0}, {SLM_Q3_K, SLM_Q4_0}, {SLM_TQ1_0, SLM_Q4_0},
    {SLM_TQ2_0, SLM_Q4_0}, {SLM_Q4_K, SLM_Q5_0}, {SLM_Q5_K, SLM_Q5_1}, {SLM_Q6_K, SLM_Q8_0},
};

static const struct { enum slm_dtype t; int mix; } mostly[] = {
    {SLM_Q2_K, Q2_K}, {SLM_Q3_K, Q3_K_M}, {SLM_Q4_K, Q4_K_M}, {SLM_Q5_K, Q5_K_M},
    {SLM_IQ2_S, IQ2_M}, {SLM_MXFP4, MXFP4},
};
/* clang-format on */

const struct slm_mix *slm_mix_at(int i)
{
    return i < (int)(sizeof mixes / sizeof *mixes) ? &mixes[i] : NULL;
}

const struct slm_mix *slm_mix_of_name(const char *name)
{
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++)
        if (!strcasecmp(mixes[i].name, name))
            return &mixes[i];
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (!strcasecmp(aliases[i].name, name))
            return &mixes[aliases[i].id];
    return NULL;
}

uint32_t slm_mix_file_type(enum slm_dtype t)
{
    for (size_t i = 0; i < sizeof mostly / sizeof *mostly; i++)
        if (mostly[i].t == t)
            return mixes[mostly[i].mix].file_type;
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++)
        if (mixes[i].base == t)
            return mixes[i].file_type;
    return 1024; /* guessed by the reader */
}

enum slm_role slm_role_of(const slm_model *m, int weight)
{
    switch (m->row[weight]->slot) {
    case SLM_W_EMBED:
        return m->w[SLM_W_OUT] == m->w[SLM_W_EMBED] ? SLM_ROLE_OUTPUT : SLM_ROLE_EMBED;
    case SLM_W_OUT: return SLM_ROLE_OUTPUT;
    case SLM_W_Q: return SLM_ROLE_Q;
    case SLM_W_K: return SLM_ROLE_K;
    case SLM_W_V:
    case SLM_W_QKV: return SLM_ROLE_V;
    case SLM_W_O: return SLM_ROLE_O;
    case SLM_W_GATE:
    case SLM_W_GATE_E: return SLM_ROLE_GATE;
    case SLM_W_DOWN:
    case SLM_W_DOWN_E: return SLM_ROLE_DOWN;
    default: return SLM_ROLE_UP;
    }
}

static bool layer_fits(enum layers which, int l, int n)
{
    switch (which) {
    case ALL: return true;
    case FIRST_TWO: return l < 2;
    case FIRST_FOUR: return l < 4;
    case EIGHTH: return l < n / 8;
    case SIXTEENTH: return l < n / 16;
    case MIDDLE: return l >= n / 8 && l < 7 * n / 8;
    case MORE: return l < n / 8 || l >= 7 * n / 8 || (l - n / 8) % 3 == 2;
    }
    return false;
}

static bool holds(enum when when, const slm_model *m, bool experts, bool imatrix)
{
    const struct slm_hparams *hp = &m->hp;
    int n = hp->family->moe ? hp->experts : 0;
    bool gqa = hp->heads / hp->kv_heads >= 4;
    switch (when) {
    case ALWAYS: return true;
    case GQA: return gqa;
    case GQA_OR_E4: return gqa || n >= 4;
    case E8:
    case E8_MORE: return n == 8;
    case IMATRIX: return imatrix;
    case NO_IMATRIX: return !imatrix;
    case EXPERTS: return experts;
    }
    return false;
}

enum slm_dtype slm_mix_choose(const struct slm_mix *mix, const slm_model *m, int weight,
                              bool imatrix)
{
    enum slm_role role = slm_role_of(m, weight);
    const struct slm_weight *w = &m->weight[weight];
    bool experts = m->row[weight]->kind == SLM_SLOT_EXPERTS;
    if (role == SLM_ROLE_OUTPUT)
        return w->cols % slm_dtypes[mix->base].block ? SLM_Q8_0 : mix->output;
    if (role == SLM_ROLE_EMBED)
        return mix->embed;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const struct rule *r = &rules[i];
        if ((r->mixes & M(mix->id)) && r->role == role &&
            layer_fits(r->layers, m->row_layer[weight], m->hp.layers) &&
            holds(r->when, m, experts, imatrix))
            return r->type;
    }
    return mix->base;
}

enum slm_dtype slm_mix_fallback(enum slm_dtype t, int cols)
{
    if (cols % slm_dtypes[t].block == 0)
        return t;
    for (size_t i = 0; i < sizeof fallbacks / sizeof *fallbacks; i++)
        if (fallbacks[i].from == t && cols % slm_dtypes[fallbacks[i].to].block == 0)
            return fallbacks[i].to;
    return SLM_F16;
}

bool slm_mix_needs_imatrix(const struct slm_mix *mix, enum slm_dtype t, enum slm_role role)
{
    if (role == SLM_ROLE_EMBED || role == SLM_ROLE_OUTPUT)
        return false;
    switch (t) {
    case SLM_IQ1_S:
    case SLM_IQ1_M:
    case SLM_IQ2_XXS:
    case SLM_IQ2_XS:
    case SLM_IQ2_S:
    case SLM_IQ3_XXS: return true;
    case SLM_Q2_K: return mix && mix->id == Q2_K_S;
    default: return false;
    }
}
