/* checkkern's testers of attention over a cache: blocks of keys must give back what the type's
 * plain conversions give; scores and sums of values must lie near the generic ones, and must be
 * the same bits alone, in company, and on blocks turned to float32 first. */

struct keys {
    enum slm_dtype t;
    size_t width, blocks, bytes;
    float *plain; /* (positions, width) as the type rounds them */
    uint8_t *data;
};

static void keys_init(struct checker *c, struct keys *k, enum slm_dtype t)
{
    size_t len = (size_t)slm_dtypes[t].block;
    k->t = t;
    k->width = len * (1 + below(c, len == 1 ? 150 : 5));
    k->blocks = 1 + below(c, 11);
    k->bytes = k->blocks * SLM_KEYS * slm_row_bytes(t, k->width);
    k->data = edge(k->bytes);
    k->plain = floats(k->blocks * SLM_KEYS * k->width);
    float *x = floats(k->width);
    uint8_t *row = malloc(slm_row_bytes(t, k->width));
    for (size_t j = 0; j < k->blocks * SLM_KEYS; j++) {
        fill(c, x, k->width, 1);
        c->gen->from_f32[t](row, x, k->width);
        c->gen->key_put[t](k->data + j / SLM_KEYS * (k->bytes / k->blocks), (int)(j % SLM_KEYS),
                           row, k->width);
        c->gen->to_f32[t](k->plain + j * k->width, row, k->width);
    }
    free(row);
    end(x, k->width);
}

static void keys_free(struct keys *k)
{
    edge_free(k->data, k->bytes);
    end(k->plain, k->blocks * SLM_KEYS * k->width);
}

/* Every value stands where the layout says, at both levels. */
static void check_key_get(struct checker *c, enum slm_dtype t)
{
    for (int round = 0; round < 12; round++) {
        struct keys k;
        keys_init(c, &k, t);
        size_t n = k.blocks * SLM_KEYS * k.width;
        float *a = floats(n), *b = floats(n);
        c->gen->key_get[t](a, k.data, k.blocks, k.width);
        c->k->key_get[t](b, k.data, k.blocks, k.width);
        same(b, a, n, "key_get");
        for (size_t i = 0; i < n; i++) {
            size_t block = i / (SLM_KEYS * k.width), in = i % (SLM_KEYS * k.width);
            size_t j = block * SLM_KEYS + in % SLM_KEYS;
            same(&a[i], &k.plain[j * k.width + in / SLM_KEYS], 1, "a key's place");
        }
        end(a, n);
        end(b, n);
        keys_free(&k);
    }
}

static void check_key_put(struct checker *c, enum slm_dtype t)
{
    for (int round = 0; round < 12; round++) {
        struct keys k;
        keys_init(c, &k, t);
        size_t bytes = k.bytes / k.blocks, row = slm_row_bytes(t, k.width);
        uint8_t *a = edge(bytes), *b = edge(bytes), *x = edge(row);
        for (int at = 0; at < SLM_KEYS; at++) {
            random_row(c, t, x, k.width);
            c->gen->key_put[t](a, at, x, k.width);
            c->k->key_put[t](b, at, x, k.width);
        }
        if (memcmp(a, b, bytes))
            fail_msg("key_put differs");
        edge_free(x, row);
        edge_free(a, bytes);
        edge_free(b, bytes);
        keys_free(&k);
    }
}

static void check_scores(struct checker *c, enum slm_dtype t)
{
    for (int round = 0; round < 24; round++) {
        struct keys k;
        keys_init(c, &k, t);
        int ny = 1 + (int)below(c, 19), n = (int)(k.blocks * SLM_KEYS);
        size_t ldq = k.width + below(c, 3), ldy = (size_t)n + below(c, 3), ys = ny * ldy;
        float *q = floats(ny * ldq), *a = floats(ys), *b = floats(ys), *one = floats(ys);
        float *kf = floats((size_t)n * k.width);
        fill(c, q, ny * ldq, 1);
        struct slm_scores m = {a, ldy, ny, q, ldq, k.data, n, k.width};
        c->gen->scores[t](&m);
        m.y = b;
        c->k->scores[t](&m);
        for (int i = 0; i < ny; i++)
            for (int j = 0; j < n; j++) {
                double terms = 0;
                for (size_t e = 0; e < k.width; e++)
                    terms += fabs((double)q[i * ldq + e] * (double)k.plain[j * k.width + e]);
                near((double)b[i * ldy + j], (double)a[i * ldy + j], terms, k.width);
            }
        c->k->key_get[t](kf, k.data, k.blocks, k.width);
        struct slm_scores f = {one, ldy, ny, q, ldq, kf, n, k.width};
        c->k->scores[SLM_F32](&f);
        for (int i = 0; i < ny; i++)
            same(one + i * ldy, b + i * ldy, (size_t)n, "scores of float32 blocks");
        for (int i = 0; i < ny; i++) { /* one query, one block */
            int j = (int)below(c, k.blocks);
            struct slm_scores s = {one, ldy, 1, q + i * ldq, ldq, NULL, SLM_KEYS, k.width};
            s.k = k.data + (size_t)j * (k.bytes / k.blocks);
            c->k->scores[t](&s);
            same(one, b + i * ldy + j * SLM_KEYS, SLM_KEYS, "a score alone");
        }
        end(q, ny * ldq);
        end(a, ys);
        end(b, ys);
        end(one, ys);
        end(kf, (size_t)n * k.width);
        keys_free(&k);
    }
}

/* y against the generic one, within what the sizes of the terms allow. */
static void values_near(const struct slm_values *m, const float *y0, const float *gen,
                        const float *vf)
{
    for (int i = 0; i < m->ny; i++)
        for (size_t e = 0; e < m->width; e++) {
            size_t at = i * m->ldy + e;
            double terms = fabs((double)y0[at]);
            for (int j = 0; j < m->n; j++)
                terms += fabs((double)m->p[i * m->ldp + j] * (double)vf[j * m->width + e]);
            near((double)m->y[at], (double)gen[at], terms, (size_t)m->n);
        }
}

static void check_values(struct checker *c, enum slm_dtype t)
{
    size_t len = (size_t)slm_dtypes[t].block;
    for (int round = 0; round < 24; round++) {
        int ny = 1 + (int)below(c, 19), n = (int)below(c, 40);
        size_t width = len * (1 + below(c, len == 1 ? 200 : 6));
        size_t stride = slm_row_bytes(t, width) + 4 * below(c, 3), ldy = width + below(c, 3),
               ldp = (size_t)n + below(c, 3), ys = ny * ldy;
        size_t bytes = n ? (n - 1) * stride + slm_row_bytes(t, width) : 0;
        uint8_t *v = edge(bytes);
        float *p = floats(ny * ldp), *y[4], *f = floats(n * width);
        for (int j = 0; j < n; j++) {
            random_row(c, t, v + j * stride, width);
            c->gen->to_f32[t](f + j * width, v + j * stride, width);
        }
        fill(c, p, ny * ldp, 1);
        for (int i = 0; i < 4; i++)
            y[i] = floats(ys);
        fill(c, y[0], ys, 1);
        for (int i = 1; i < 4; i++)
            memcpy(y[i], y[0], ys * sizeof *p);
        struct slm_values m = {y[1], ldy, ny, p, ldp, v, stride, n, width};
        c->gen->values[t](&m);
        m.y = y[2];
        c->k->values[t](&m);
        values_near(&m, y[0], y[1], f);
        for (int i = 0; i < ny; i++) { /* a row alone, in two steps, on floats */
            int cut = (int)below(c, (size_t)n + 1);
            struct slm_values s = {y[3] + i * ldy, ldy, 1,    p + i * ldp, ldp, v,
                                   stride,         cut, width};
            c->k->values[t](&s);
            s.p += cut;
            s.v = f + cut * width;
            s.stride = width * sizeof *f;
            s.n = n - cut;
            c->k->values[SLM_F32](&s);
        }
        same(y[3], y[2], ys, "values alone");
        for (int i = 0; i < 4; i++)
            end(y[i], ys);
        end(p, ny * ldp);
        end(f, n * width);
        edge_free(v, bytes);
    }
}

static void check_exp_sum(struct checker *c, enum slm_dtype t)
{
    (void)t;
    for (int round = 0; round < 80; round++) {
        size_t n = 1 + below(c, 300);
        float *a = floats(n), *b = floats(n);
        double sum = 0;
        fill(c, a, n, (float)(round % 4) * 20 + 0.1f);
        for (size_t i = 0; i < n; i++)
            if (round % 5 == 4 && i % 3)
                a[i] = -INFINITY;
        float top = c->gen->max(a, n);
        if (top == -INFINITY)
            top = 0;
        memcpy(b, a, n * sizeof *a);
        float sa = c->gen->exp_sum(a, top, n), sb = c->k->exp_sum(b, top, n);
        for (size_t i = 0; i < n; i++) {
            near((double)b[i], (double)a[i], (double)a[i], 8);
            sum += (double)a[i];
        }
        near((double)sa, sum, sum, n);
        near((double)sb, sum, sum, n + 8);
        end(a, n);
        end(b, n);
    }
}
