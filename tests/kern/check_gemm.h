/* The testers of `gemm_f32` and `gemm_bf16`: operands of every type, along and across, by
 * index, against sums in double precision; the same bits in any company; nothing read behind
 * the operands, nothing written beside the outputs. */

struct operand {
    struct slm_side s;
    int n, k, rows; /* rows of storage that data has */
    size_t len;     /* elements of a storage row */
    int *index;
    uint8_t *data;
    size_t bytes;
};

/* Storage rows are drawn from `rows` ones; each row that an index names is used fan times. */
static void operand_init(struct checker *c, struct operand *o, enum slm_dtype t, bool indexed)
{
    size_t block = (size_t)slm_dtypes[t].block;
    int used = o->s.across ? o->k : o->n;
    size_t along = (size_t)(o->s.across ? o->n : o->k);
    o->s.type = t;
    o->s.first = block * below(c, 3);
    o->len = (o->s.first + along + block - 1) / block * block;
    o->s.stride = slm_row_bytes(t, o->len) + (block == 1 ? 4 : 2) * below(c, 3);
    o->rows = indexed ? used + 3 : used;
    o->s.fan = indexed ? 1 + (int)below(c, 3) : 0;
    o->index = NULL;
    if (indexed) {
        o->index = malloc(((size_t)used + 1) * sizeof *o->index);
        for (int i = 0; i < used; i++)
            o->index[i] = (int)below(c, (size_t)(o->rows * o->s.fan));
    }
    o->s.index = o->index;
    o->bytes = o->rows ? (size_t)(o->rows - 1) * o->s.stride + slm_row_bytes(t, o->len) : 0;
    o->data = edge(o->bytes);
    o->s.data = o->data;
    float *v = floats(o->len);
    for (int r = 0; r < o->rows; r++) {
        uint8_t *row = o->data + (size_t)r * o->s.stride;
        fill(c, v, o->len, 1);
        if (block == 1 && c->gen->from_f32[t])
            c->gen->from_f32[t](row, v, o->len);
        else
            random_row(c, t, row, o->len);
    }
    end(v, o->len);
}

static void operand_free(struct operand *o)
{
    edge_free(o->data, o->bytes);
    free(o->index);
}

/* (n, k) values, rounded to bfloat16 where that is asked for. */
static float *operand_values(struct checker *c, const struct operand *o, bool bf16)
{
    float *out = floats((size_t)o->n * (size_t)o->k), *v = floats(o->len);
    int used = o->s.across ? o->k : o->n, along = o->s.across ? o->n : o->k;
    for (int r = 0; r < used; r++) {
        int at = o->index ? o->index[r] / o->s.fan : r;
        c->gen->to_f32[o->s.type](v, o->data + (size_t)at * o->s.stride, o->len);
        for (int e = 0; e < along; e++) {
            float x = v[o->s.first + (size_t)e];
            x = bf16 ? slm_bf16_to_f32(slm_f32_to_bf16(x)) : x;
            out[o->s.across ? (size_t)e * (size_t)o->k + (size_t)r
                            : (size_t)r * (size_t)o->k + (size_t)e] = x;
        }
    }
    end(v, o->len);
    return out;
}

struct gemm_case {
    struct slm_gemm g;
    struct operand a, b;
    int *c_index;
    size_t floats; /* of C */
    bool bf16;
};

static void gemm_init(struct checker *c, struct gemm_case *s, int round)
{
    static const int deep[] = {256, 257, 511, 512, 513, 1024, 1500};
    struct slm_gemm *g = &s->g;
    enum slm_dtype types[2] = {SLM_F32, SLM_F32};
    for (int i = 0; i < 2; i++)
        if (below(c, 2))
            do
                types[i] = (enum slm_dtype)below(c, SLM_DTYPE_COUNT);
            while (slm_dtypes[types[i]].gguf < 0 || small_ints(types[i]));
    g->m = 1 + (int)below(c, round % 3 ? 80 : 20);
    g->n = 1 + (int)below(c, round % 3 ? 120 : 40);
    g->k = (int)below(c, 300);
    if (round % 8 == 5)
        g->k = deep[round / 8 % 7];
    if (round % 16 == 7)
        g->n = 480 + (int)below(c, 100);
    if (round % 16 == 9)
        g->m = 200 + (int)below(c, 100);
    if (round == 0)
        g->k = 0;
    g->ldc = (size_t)g->n + below(c, 5);
    g->add = below(c, 2);
    g->scale = below(c, 3) ? 0 : normal(c);
    s->a = (struct operand){.n = g->m, .k = g->k, .s.across = below(c, 2)};
    s->b = (struct operand){.n = g->n, .k = g->k, .s.across = below(c, 2)};
    operand_init(c, &s->a, types[0], below(c, 3) == 0);
    operand_init(c, &s->b, types[1], below(c, 4) == 0);
    g->a = s->a.s;
    g->b = s->b.s;
    s->c_index = NULL;
    if (below(c, 4) == 0) { /* rows in reverse, a gap between two */
        s->c_index = malloc((size_t)g->m * sizeof *s->c_index);
        for (int i = 0; i < g->m; i++)
            s->c_index[i] = 2 * (g->m - 1 - i);
    }
    g->c_index = s->c_index;
    s->floats = (size_t)g->m * g->ldc * (s->c_index ? 2 : 1);
}

static void gemm_run(struct checker *c, const struct gemm_case *s, struct slm_gemm g)
{
    g.scratch = aligned_alloc(64, SLM_GEMM_SCRATCH + 64);
    if (!g.scratch)
        fail_msg("out of memory");
    uint8_t *behind = (uint8_t *)g.scratch + SLM_GEMM_SCRATCH;
    memset(g.scratch, 0xff, SLM_GEMM_SCRATCH); /* NaNs: padding must not count */
    memset(behind, 0xa5, 64);
    (s->bf16 ? c->k->gemm_bf16 : c->k->gemm_f32)(&g);
    for (int i = 0; i < 64; i++)
        if (behind[i] != 0xa5)
            fail_msg("wrote behind the scratch");
    free(g.scratch);
}

static void gemm_bound(struct checker *c, const struct gemm_case *s, const float *was,
                       const float *got)
{
    const struct slm_gemm *g = &s->g;
    float *a = operand_values(c, &s->a, s->bf16), *b = operand_values(c, &s->b, s->bf16);
    double scale = g->scale == 0 ? 1 : (double)g->scale;
    size_t k = (size_t)g->k;
    bool *mine = calloc(s->floats + 1, 1);
    for (int i = 0; i < g->m; i++)
        for (int j = 0; j < g->n; j++) {
            size_t at = (size_t)(s->c_index ? s->c_index[i] : i) * g->ldc + (size_t)j;
            double sum = 0, terms = 0;
            for (size_t p = 0; p < k; p++) {
                double t = scale * (double)a[(size_t)i * k + p] * (double)b[(size_t)j * k + p];
                sum += t;
                terms += fabs(t);
            }
            if (g->add) {
                sum += (double)was[at];
                terms += fabs((double)was[at]);
            }
            near((double)got[at], sum, terms, k);
            mine[at] = true;
        }
    for (size_t e = 0; e < s->floats; e++)
        if (!mine[e] && memcmp(&got[e], &was[e], 4) != 0)
            fail_msg("wrote between the rows of C");
    free(mine);
    end(a, (size_t)g->m * k);
    end(b, (size_t)g->n * k);
}

/* The parts of all threads together are the whole, bit for bit. */
static void gemm_parts(struct checker *c, const struct gemm_case *s, const float *was,
                       const float *whole)
{
    int nth = 1 + (int)below(c, 9);
    float *out = floats(s->floats);
    memcpy(out, was, s->floats * sizeof *out);
    for (int t = 0; t < nth; t++) {
        struct slm_gemm part, g = s->g;
        g.c = out;
        if (slm_gemm_part(&part, &g, t, nth))
            gemm_run(c, s, part);
    }
    same(out, whole, s->floats, "parts against the whole");
    end(out, s->floats);
}

static void check_gemm(struct checker *c, bool bf16)
{
    for (int round = 0; round < 96; round++) {
        struct gemm_case s = {.bf16 = bf16};
        gemm_init(c, &s, round);
        float *was = floats(s.floats), *out = floats(s.floats);
        fill(c, was, s.floats, 1);
        memcpy(out, was, s.floats * sizeof *out);
        s.g.c = out;
        gemm_run(c, &s, s.g);
        gemm_bound(c, &s, was, out);
        gemm_parts(c, &s, was, out);
        end(was, s.floats);
        end(out, s.floats);
        operand_free(&s.a);
        operand_free(&s.b);
        free(s.c_index);
    }
}

static void check_gemm_f32(struct checker *c, enum slm_dtype t)
{
    (void)t;
    check_gemm(c, false);
}
static void check_gemm_bf16(struct checker *c, enum slm_dtype t)
{
    (void)t;
    check_gemm(c, true);
}
