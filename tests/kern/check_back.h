/* checkkern's part for the element-wise kernels of the way back. */

typedef void gate_fn(const struct slm_gate_back *b);
static void check_gate(struct checker *c, gate_fn *gen, gate_fn *got)
{
    for (int round = 0; round < 60; round++) {
        struct pair p;
        pair_init(c, &p, (float)(round % 6) * 8);
        float *dy = floats(p.n), *da = floats(p.n), *db = floats(p.n);
        fill(c, dy, p.n, 1);
        fill(c, p.a, p.n, 1);
        fill(c, da, p.n, 1);
        memcpy(p.b, p.a, p.n * sizeof *p.a);
        memcpy(db, da, p.n * sizeof *da);
        bool gate = round % 4 != 0;
        struct slm_gate_back b = {.dg = p.a, .du = da, .dy = dy, .g = p.x, .n = p.n};
        b.u = gate ? p.y : NULL;
        gen(&b);
        b.dg = p.b;
        b.du = db;
        got(&b);
        for (size_t i = 0; i < p.n; i++) {
            double most = 1 + fabs((double)dy[i] * (1 + fabs((double)p.x[i])));
            near((double)p.b[i], (double)p.a[i], most * (1 + fabs((double)p.y[i])), 8);
            near((double)db[i], (double)da[i], most, 8);
        }
        end(dy, p.n);
        end(da, p.n);
        end(db, p.n);
        pair_end(&p);
    }
}
static void check_silu_back(struct checker *c, enum slm_dtype t)
{
    (void)t;
    check_gate(c, c->gen->silu_back, c->k->silu_back);
}
static void check_gelu_back(struct checker *c, enum slm_dtype t)
{
    (void)t;
    check_gate(c, c->gen->gelu_back, c->k->gelu_back);
}

static void check_norm_back(struct checker *c, enum slm_dtype t)
{
    (void)t;
    for (int round = 0; round < 40; round++) {
        struct pair p;
        pair_init(c, &p, 2);
        float *w = floats(p.n);
        fill(c, w, p.n, 1);
        fill(c, p.a, p.n, 1);
        memcpy(p.b, p.a, p.n * sizeof *p.a);
        struct slm_norm_back b = {.dx = p.a,
                                  .x = p.x,
                                  .dy = p.y,
                                  .w = round % 3 ? w : NULL,
                                  .shift = round % 2 ? 1.0f : 0.0f,
                                  .mean = round % 5 ? 0.0f : 0.3f,
                                  .r = 0.7f,
                                  .centred = round % 5 == 0,
                                  .n = p.n};
        c->gen->norm_back(&b);
        b.dx = p.b;
        c->k->norm_back(&b);
        for (size_t i = 0; i < p.n; i++)
            near((double)p.b[i], (double)p.a[i], 12, p.n);
        end(w, p.n);
        pair_end(&p);
    }
}

static void check_norm_gain(struct checker *c, enum slm_dtype t)
{
    (void)t;
    for (int round = 0; round < 40; round++) {
        struct pair p;
        pair_init(c, &p, 2);
        fill(c, p.a, p.n, 1);
        memcpy(p.b, p.a, p.n * sizeof *p.a);
        c->gen->norm_gain(p.a, p.y, p.x, 0.2f, 0.7f, p.n);
        c->k->norm_gain(p.b, p.y, p.x, 0.2f, 0.7f, p.n);
        for (size_t i = 0; i < p.n; i++)
            near((double)p.b[i], (double)p.a[i], 6, 0);
        pair_end(&p);
    }
}

static void check_softmax_back(struct checker *c, enum slm_dtype t)
{
    (void)t;
    for (int round = 0; round < 40; round++) {
        struct pair p;
        pair_init(c, &p, 2);
        memcpy(p.a, p.x, p.n * sizeof *p.a);
        memcpy(p.b, p.x, p.n * sizeof *p.a);
        c->gen->softmax_back(p.a, p.y, 0.2f, p.n);
        c->k->softmax_back(p.b, p.y, 0.2f, p.n);
        same(p.b, p.a, p.n, "softmax_back");
        pair_end(&p);
    }
}
