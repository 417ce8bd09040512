/* Sums of rows over the lanes of a vec_*.h: what attention's values and every gradient are made
 * of. A tile of y stays in registers while all rows of w pass; each element is added to in the
 * order of the rows by one fused step a row, as axpy does, so tiles change no bit. */

#define RV 4 /* vectors of columns in a tile */

/* xr rows of y, `vecs` vectors wide from column e on; n < VN: a single vector with n lanes. */
FOLD void rows_tile(const struct slm_rows *m, int i0, size_t e, int xr, int vecs, size_t n)
{
    vf s[6][RV];
    float *y = m->y + (size_t)i0 * m->ldy + e;
    const float *a = m->a + (size_t)i0 * m->ai, *w = m->w + e;
    const size_t ldy = m->ldy, ai = m->ai, aj = m->aj, ldw = m->ldw;
    UNROLL
    for (int i = 0; i < xr; i++)
        UNROLL
    for (int v = 0; v < vecs; v++)
        s[i][v] =
            n < VN ? vf_loadn(y + (size_t)i * ldy, n) : vf_load(y + (size_t)i * ldy + v * VN);
    for (int j = 0; j < m->nw; j++, w += ldw, a += aj) {
        vf r[RV];
        UNROLL
        for (int v = 0; v < vecs; v++)
            r[v] = n < VN ? vf_loadn(w, n) : vf_load(w + v * VN);
        UNROLL
        for (int i = 0; i < xr; i++) {
            vf f = vf_set1(a[(size_t)i * ai]);
            UNROLL
            for (int v = 0; v < vecs; v++)
                s[i][v] = vf_fma(f, r[v], s[i][v]);
        }
    }
    UNROLL
    for (int i = 0; i < xr; i++)
        UNROLL
    for (int v = 0; v < vecs; v++) {
        if (n < VN)
            vf_storen(y + (size_t)i * ldy, s[i][v], n);
        else
            vf_store(y + (size_t)i * ldy + v * VN, s[i][v]);
    }
}

static __attribute__((noinline)) void rows_wide(const struct slm_rows *m, size_t e)
{
    int i = 0;
    for (; i + XR <= m->ny; i += XR)
        rows_tile(m, i, e, XR, RV, VN);
    for (; i + 2 <= m->ny; i += 2)
        rows_tile(m, i, e, 2, RV, VN);
    for (; i < m->ny; i++)
        rows_tile(m, i, e, 1, RV, VN);
}

static __attribute__((noinline)) void rows_narrow(const struct slm_rows *m, size_t e, size_t n)
{
    int i = 0;
    for (; i + 2 <= m->ny; i += 2)
        rows_tile(m, i, e, 2, 1, n);
    for (; i < m->ny; i++)
        rows_tile(m, i, e, 1, 1, n);
}

static void add_rows(const struct slm_rows *m)
{
    size_t e = 0;
    for (; e + RV * VN <= m->k; e += RV * VN)
        rows_wide(m, e);
    for (; e < m->k; e += VN)
        rows_narrow(m, e, m->k - e < VN ? m->k - e : VN);
}

/* VN rows of VN become columns: a perfect shuffle of the rows moves the highest bit of an
 * element's number to the lowest place, so that log2(VN) of them exchange row and column. */
static __attribute__((noinline)) void turn_block(float *out, size_t ldo, const float *in,
                                                 size_t ldi)
{
    float a[VN * VN], b[VN * VN], *from = a, *to = b;
    for (int i = 0; i < VN / 2; i++)
        vf_join2(a + 2 * i * VN, vf_load(in + i * ldi), vf_load(in + (i + VN / 2) * ldi));
    for (int n = VN / 2; n > 1; n /= 2) {
        for (int i = 0; i < VN / 2; i++)
            vf_join2(to + 2 * i * VN, vf_load(from + i * VN),
                     vf_load(from + (i + VN / 2) * VN));
        float *t = from;
        from = to;
        to = t;
    }
    for (int i = 0; i < VN; i++)
        vf_store(out + i * ldo, vf_load(from + i * VN));
}

static void transpose(float *out, size_t ldo, const float *in, size_t ldi, size_t rows,
                      size_t cols)
{
    size_t r = 0;
    for (; r + VN <= rows; r += VN) {
        size_t c = 0;
        for (; c + VN <= cols; c += VN)
            turn_block(out + c * ldo + r, ldo, in + r * ldi + c, ldi);
        for (; c < cols; c++)
            for (size_t i = r; i < r + VN; i++)
                out[c * ldo + i] = in[i * ldi + c];
    }
    for (; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            out[c * ldo + r] = in[r * ldi + c];
}
