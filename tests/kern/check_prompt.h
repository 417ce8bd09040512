/* The tester of `mul_prompt`: products of bfloat16 rows with weights as to_f32 gives them,
 * rounded to bfloat16, against sums in double precision; the same bits in any company; nothing
 * read behind the rows, nothing written beside the outputs. */

static float *prompt_scratch(void)
{
    static _Alignas(64) uint8_t room[SLM_PROMPT_SCRATCH + 64];
    memset(room, 0xff, sizeof room); /* NaNs: padding must not count */
    memset(room + SLM_PROMPT_SCRATCH, 0xa5, 64);
    return (float *)(void *)room;
}
static void prompt_scratch_end(const float *room)
{
    for (size_t i = 0; i < 64; i++)
        if (((const uint8_t *)room)[SLM_PROMPT_SCRATCH + i] != 0xa5)
            fail_msg("wrote behind the scratch");
}

static void prompt_init(struct checker *c, struct product *p, int round)
{
    size_t len = (size_t)slm_dtypes[p->wt].block;
    static const size_t deep[] = {2048, 2304, 4352}; /* where panels end */
    p->k = len * (len == 1 ? below(c, 300) : below(c, len > 100 ? 4 : 12));
    if (round % 8 == 5)
        p->k = deep[round / 8 % 3] + (len == 1 ? below(c, 40) : 0);
    if (round == 0)
        p->k = 0;
    p->nx = 1 + (int)below(c, round % 3 ? 70 : 20);
    p->nw = 1 + (int)below(c, round % 3 == 2 ? 100 : 40);
    if (p->k > 2000)
        p->nx = 1 + (int)below(c, 20);
    p->xs = 2 * p->k + 2 * below(c, 3);
    p->ws = slm_row_bytes(p->wt, p->k) + below(c, 3);
    p->ldo = (size_t)p->nw + below(c, 5);
    p->x = edge(x_bytes(p));
    p->w = edge(w_bytes(p));
    for (int i = 0; i < p->nx; i++) {
        float *v = floats(p->k);
        fill(c, v, p->k, 1);
        c->gen->from_f32[SLM_BF16](p->x + (size_t)i * p->xs, v, p->k);
        end(v, p->k);
    }
    for (int j = 0; j < p->nw; j++)
        random_row(c, p->wt, p->w + (size_t)j * p->ws, p->k);
}

static struct slm_prompt prompt_of(const struct product *p, float *out)
{
    return (struct slm_prompt){.out = out,
                               .ldo = p->ldo,
                               .x = p->x,
                               .xs = p->xs,
                               .nx = p->nx,
                               .w = p->w,
                               .ws = p->ws,
                               .nw = p->nw,
                               .k = p->k};
}

static void prompt_bound(struct checker *c, const struct product *p, const float *got)
{
    float *x = floats((size_t)p->nx * p->k), *w = floats(p->k);
    uint16_t *h = malloc(2 * p->k + 2);
    for (int i = 0; i < p->nx; i++)
        c->gen->to_f32[SLM_BF16](x + (size_t)i * p->k, p->x + (size_t)i * p->xs, p->k);
    for (int j = 0; j < p->nw; j++) {
        c->gen->to_f32[p->wt](w, p->w + (size_t)j * p->ws, p->k);
        c->gen->from_f32[SLM_BF16](h, w, p->k);
        c->gen->to_f32[SLM_BF16](w, h, p->k);
        for (int i = 0; i < p->nx; i++) {
            double sum = 0, terms = 0;
            for (size_t e = 0; e < p->k; e++) {
                double t = (double)x[(size_t)i * p->k + e] * (double)w[e];
                sum += t;
                terms += fabs(t);
            }
            near((double)got[(size_t)i * p->ldo + (size_t)j], sum, terms, p->k);
        }
    }
    free(h);
    end(x, (size_t)p->nx * p->k);
    end(w, p->k);
}

/* Pieces of the same product: rows from i on, weights from j on. */
static void prompt_pieces(struct checker *c, const struct product *p, const float *whole)
{
    for (int s = 0; s < 3; s++) {
        int i = (int)below(c, (size_t)p->nx), j = (int)below(c, (size_t)p->nw);
        struct slm_prompt m = prompt_of(p, NULL);
        m.nx = s ? 1 : p->nx - i;
        m.nw = s == 1 ? 1 : p->nw - j;
        size_t n = (size_t)m.nx * m.ldo;
        float *part = floats(n);
        m.out = part;
        m.x = p->x + (size_t)i * p->xs;
        m.w = p->w + (size_t)j * p->ws;
        m.scratch = prompt_scratch();
        c->k->mul_prompt[p->wt](&m);
        prompt_scratch_end(m.scratch);
        for (int r = 0; r < m.nx; r++)
            same(part + (size_t)r * m.ldo, whole + (size_t)(i + r) * p->ldo + (size_t)j,
                 (size_t)m.nw, "a piece against the whole");
        end(part, n);
    }
}

static void check_mul_prompt(struct checker *c, enum slm_dtype t)
{
    for (int round = 0; round < 24; round++) {
        struct product p = {.wt = t, .xt = SLM_BF16};
        prompt_init(c, &p, round);
        size_t n = (size_t)p.nx * p.ldo;
        float *out = floats(n);
        struct slm_prompt m = prompt_of(&p, out);
        m.scratch = prompt_scratch();
        c->k->mul_prompt[t](&m);
        prompt_scratch_end(m.scratch);
        prompt_bound(c, &p, out);
        prompt_pieces(c, &p, out);
        for (int i = 0; i < p.nx; i++)
            for (size_t j = (size_t)p.nw; j < p.ldo; j++) {
                uint32_t u;
                memcpy(&u, &out[(size_t)i * p.ldo + j], 4);
                if (u != GUARD)
                    fail_msg("wrote between the rows of out");
            }
        end(out, n);
        product_free(&p);
    }
}
