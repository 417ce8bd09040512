/* The tester of `quantize`: same bytes as generic, from any alignment and whatever the company
 * of a block; nothing written behind the end; values finite; and the weighted error neither
 * above from_f32's nor above that of a row of zeros. */

static double weighted_error(const float *x, const float *w, const float *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (w ? (double)w[i] : 1) * ((double)y[i] - (double)x[i]) *
               ((double)y[i] - (double)x[i]);
    return sum;
}

static void quantize_data(struct checker *c, float *x, float *w, size_t n, int round)
{
    static const float scales[] = {1, 0, 1e-3f, 100, 3e30f, 1e-40f, 1e-44f, 60000, 1e-7f};
    fill(c, x, n, scales[round % 9]);
    for (size_t i = 0; i < n; i++) {
        w[i] = expf(1.5f * normal(c));
        if (round % 5 == 1)
            x[i] = round % 2 ? 1.0f : -1.0f; /* a constant row */
        if (round % 5 == 2)
            x[i] = (float)((int)below(c, 509) - 254) / 2; /* on a grid */
        if (round % 5 == 3 && below(c, 30) == 0)
            x[i] *= 40; /* outliers */
        if (round % 4 == 1 && below(c, 3) == 0)
            w[i] = 0;
        if (round % 16 == 6)
            w[i] = 0;
        if (round % 16 == 7)
            w[i] *= 1e20f;
        if (round % 16 == 8)
            w[i] *= 1e-20f;
    }
}

/* Never above what plain rounding or silence gives, but for the rounding of the sums. */
static void quantize_bound(struct checker *c, enum slm_dtype t, const uint8_t *got,
                           const float *x, const float *w, size_t n)
{
    float *y = floats(n);
    uint8_t *plain = malloc(slm_row_bytes(t, n) + 1);
    size_t len = (size_t)slm_dtypes[t].block;
    c->gen->to_f32[t](y, got, n);
    for (size_t i = 0; i < n; i += len) {
        for (size_t e = 0; e < len; e++)
            if (!isfinite(y[i + e]))
                fail_msg("a value that is not finite");
        double zero = 0, err = weighted_error(x + i, w ? w + i : NULL, y + i, len);
        for (size_t e = 0; e < len; e++)
            zero += (w ? (double)w[i + e] : 1) * (double)x[i + e] * (double)x[i + e];
        if (err > zero * 1.0001)
            fail_msg("error %g where zeros give %g", err, zero);
    }
    double err = weighted_error(x, w, y, n), terms = 0;
    for (size_t i = 0; i < n; i++)
        terms += (w ? (double)w[i] : 1) * (double)x[i] * (double)x[i];
    if (w && c->gen->from_f32[t]) {
        c->gen->from_f32[t](plain, x, n);
        c->gen->to_f32[t](y, plain, n);
        double old = weighted_error(x, w, y, n);
        if (isfinite(old) && err > old * 1.0001 + terms * 1e-9)
            fail_msg("error %g where from_f32 gives %g", err, old);
    }
    free(plain);
    end(y, n);
}

static void check_quantize(struct checker *c, enum slm_dtype t)
{
    size_t len = (size_t)slm_dtypes[t].block, bytes = (size_t)slm_dtypes[t].bytes;
    for (int round = 0; round < 48; round++) {
        size_t nb = below(c, len > 32 ? 5 : 40), n = len * nb, all = bytes * nb;
        float *x = floats(n), *weights = floats(n), *w = round % 3 == 2 ? NULL : weights;
        quantize_data(c, x, weights, n, round);
        uint8_t *a = malloc(all + 16), *b = malloc(all + 17), *one = malloc(bytes);
        memset(a, 0xa5, all + 16);
        memset(b, 0xa5, all + 17);
        c->gen->quantize[t](a, x, w, n);
        c->k->quantize[t](b + 1, x, w, n);
        for (size_t i = 0; i < all + 16; i++)
            if (a[i] != b[i + 1])
                fail_msg("byte %zu of %zu differs (round %d)", i, all, round);
        for (size_t i = all; i < all + 16; i++)
            if (a[i] != 0xa5)
                fail_msg("wrote behind the end");
        for (size_t i = 0; i < nb; i++) {
            c->k->quantize[t](one, x + i * len, w ? w + i * len : NULL, len);
            if (memcmp(one, a + i * bytes, bytes) != 0)
                fail_msg("block %zu alone against in company (round %d)", i, round);
        }
        quantize_bound(c, t, a, x, w, n);
        free(a);
        free(b);
        free(one);
        end(x, n);
        end(weights, n);
    }
}
