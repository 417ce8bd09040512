/* Divergence against sums written out here, and base files in both forms: what was written
 * comes back, what is cut or bent is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/base.h"
#include "slm/slm.h"

enum { V = 37, ROWS = 12, CONTEXT = 8 }; /* 3 rows a chunk, 4 chunks */
static slm_runtime *rt;
static char path[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/slm-test-eval-%ld", (long)getpid());
    return slm_runtime_open(&rt, NULL, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    remove(path);
    slm_runtime_close(&rt);
    return 0;
}

static void fill(float *x, int row, float spread)
{
    for (int i = 0; i < V; i++)
        x[i] = spread * sinf((float)(i * (row + 3) % 101));
}

static double naive(const float *p, const float *q)
{
    double zp = 0, zq = 0, sum = 0;
    for (int i = 0; i < V; i++) {
        zp += exp((double)p[i]);
        zq += exp((double)q[i]);
    }
    for (int i = 0; i < V; i++)
        sum += exp((double)p[i]) / zp * log(exp((double)p[i]) / zp / (exp((double)q[i]) / zq));
    return sum;
}

static void test_divergence(void **state)
{
    (void)state;
    float p[V], q[V];
    double sum = 0, most = 0;
    slm_divergence *d = NULL;
    slm_divergence_stats st;
    assert_int_equal(slm_divergence_new(&d, rt, V, NULL), 0);
    slm_divergence_get(d, &st);
    assert_int_equal(st.count, 0);
    for (int r = 0; r < 5; r++) {
        fill(p, r, 4);
        fill(q, r + 1, 3);
        assert_int_equal(slm_divergence_add(d, p, SLM_BASE_LOGITS, q, r, NULL), 0);
        double k = naive(p, q);
        sum += k;
        most = k > most ? k : most;
    }
    slm_divergence_get(d, &st);
    assert_int_equal(st.count, 5);
    assert_true(fabs(st.kld - sum / 5) < 1e-12 * sum);
    assert_true(fabs(st.kld_max - most) < 1e-6 * most);
    assert_true(st.kld_median <= st.kld_p90 && st.kld_p90 <= st.kld_p99 &&
                st.kld_p99 <= st.kld_max && st.kld_stderr > 0);
    slm_divergence_free(d);
}

/* The same logits but for a constant are no distance apart; a small one is not lost. */
static void test_small(void **state)
{
    (void)state;
    float p[V], q[V];
    slm_divergence *d = NULL;
    slm_divergence_stats st;
    fill(p, 1, 4);
    memcpy(q, p, sizeof q);
    assert_int_equal(slm_divergence_new(&d, rt, V, NULL), 0);
    assert_int_equal(slm_divergence_add(d, p, SLM_BASE_LOGITS, q, 0, NULL), 0);
    slm_divergence_get(d, &st);
    assert_true(fabs(st.kld) < 1e-15);
    assert_true(st.same_top > 0.999 && st.nll - st.nll_base < 1e-15);
    slm_divergence_free(d);
    q[5] += 0.001f; /* KL is p (1 - p) / 2 * 1e-6 */
    assert_int_equal(slm_divergence_new(&d, rt, V, NULL), 0);
    assert_int_equal(slm_divergence_add(d, p, SLM_BASE_LOGITS, q, 0, NULL), 0);
    slm_divergence_get(d, &st);
    assert_true(fabs(st.kld - naive(p, q)) < 1e-14);
    assert_true(st.kld > 0);
    slm_divergence_free(d);
}

static void test_divergence_refuses(void **state)
{
    (void)state;
    float p[V], q[V];
    slm_divergence *d = NULL;
    slm_err err = {0};
    assert_int_equal(slm_divergence_new(&d, rt, 0, &err), SLM_E_ARG);
    assert_int_equal(slm_divergence_new(&d, rt, V, NULL), 0);
    fill(p, 1, 4);
    fill(q, 2, 4);
    assert_int_equal(slm_divergence_add(d, p, SLM_BASE_LOGITS, q, V, &err), SLM_E_ARG);
    assert_int_equal(slm_divergence_add(d, p, SLM_BASE_LOGITS, q, -1, &err), SLM_E_ARG);
    q[3] = NAN;
    assert_int_equal(slm_divergence_add(d, p, SLM_BASE_LOGITS, q, 0, &err), SLM_E_NUMERIC);
    q[3] = INFINITY;
    assert_int_equal(slm_divergence_add(d, p, SLM_BASE_LOGITS, q, 0, &err), SLM_E_NUMERIC);
    slm_divergence_free(d);
    slm_divergence_free(NULL);
}

static void write_base(enum slm_base_form form)
{
    slm_base_out *o = NULL;
    int32_t ids[4 * CONTEXT];
    float x[V];
    slm_base_info i = {.form = form, .context = CONTEXT, .vocab = V, .n_ids = 4 * CONTEXT};
    for (int k = 0; k < 4 * CONTEXT; k++)
        ids[k] = k % V;
    assert_int_equal(slm_base_out_open(&o, rt, path, &i, ids, NULL), 0);
    for (int r = 0; r < ROWS; r++) {
        fill(x, r, 12);
        assert_int_equal(slm_base_out_row(o, x, NULL), 0);
    }
    assert_int_equal(slm_base_out_commit(o, NULL), 0);
    slm_base_out_close(&o);
    assert_null(o);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int form = SLM_BASE_SLM; form <= SLM_BASE_LLAMA_CPP; form++) {
        slm_base *b = NULL;
        slm_base_info i;
        float x[V], y[V];
        write_base((enum slm_base_form)form);
        assert_true(slm_base_is(path));
        assert_int_equal(slm_base_open(&b, rt, path, NULL), 0);
        slm_base_info_get(b, &i);
        assert_int_equal(i.form, form);
        assert_int_equal(i.text, SLM_BASE_CHUNKS);
        assert_int_equal(i.context, CONTEXT);
        assert_int_equal(i.vocab, V);
        assert_int_equal(i.n_ids, 4 * CONTEXT);
        assert_int_equal(i.n_rows, ROWS);
        for (uint64_t k = 0; k < i.n_ids; k++)
            assert_int_equal(slm_base_id(b, k), (int)k % V);
        for (int r = 0; r < ROWS; r++) {
            double z = 0, max = -HUGE_VAL;
            fill(x, r, 12);
            assert_int_equal(slm_base_row(b, (uint64_t)r, y, NULL), 0);
            for (int k = 0; k < V; k++) {
                z += exp((double)x[k]);
                max = (double)x[k] > max ? (double)x[k] : max;
            }
            for (int k = 0; k < V; k++) {
                if (form == SLM_BASE_SLM) {
                    assert_true(x[k] == y[k]);
                    continue;
                }
                double want = fmax((double)x[k], max - 16) - log(z);
                assert_true(fabs((double)y[k] - want) <= 0.5 * 16 / 65535 + 1e-5);
            }
        }
        slm_base_close(&b);
        assert_null(b);
    }
    slm_base_close(NULL);
}

/* Every shorter file, and one longer byte, must be refused; so must bent numbers. */
static void test_hostile(void **state)
{
    (void)state;
    for (int form = SLM_BASE_SLM; form <= SLM_BASE_LLAMA_CPP; form++) {
        static uint8_t bytes[1 << 16];
        slm_base *b = NULL;
        slm_err err;
        write_base((enum slm_base_form)form);
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        size_t n = fread(bytes, 1, sizeof bytes, f);
        fclose(f);
        for (size_t cut = 0; cut <= n + 1; cut += cut < 64 || cut + 8 > n ? 1 : 61) {
            if (cut == n)
                continue;
            f = fopen(path, "wb");
            assert_non_null(f);
            assert_int_equal(fwrite(bytes, 1, cut, f), cut);
            fclose(f);
            assert_int_equal(slm_base_open(&b, rt, path, &err), SLM_E_FORMAT);
            assert_null(b);
        }
        for (size_t at = 8; at < 40; at++) { /* any count made huge, version and text unknown */
            uint8_t kept = bytes[at];
            bytes[at] = 0xff;
            f = fopen(path, "wb");
            assert_non_null(f);
            assert_int_equal(fwrite(bytes, 1, n, f), n);
            fclose(f);
            bytes[at] = kept;
            if (form == SLM_BASE_LLAMA_CPP && at >= 20)
                break; /* the ids begin here: any id may stand in a file */
            bool context =
                form == SLM_BASE_SLM && at >= 16 && at < 19; /* only a number there */
            assert_int_equal(slm_base_open(&b, rt, path, &err), context ? 0 : SLM_E_FORMAT);
            slm_base_close(&b);
        }
    }
    assert_false(slm_base_is("/nowhere/at/all"));
    assert_false(slm_base_is("/tmp"));
}

static void test_out_refuses(void **state)
{
    (void)state;
    slm_base_out *o = NULL;
    int32_t ids[CONTEXT] = {0};
    slm_err err;
    slm_base_info i = {
        .form = SLM_BASE_LLAMA_CPP, .context = CONTEXT, .vocab = V, .n_ids = CONTEXT - 1};
    assert_int_equal(slm_base_out_open(&o, rt, path, &i, ids, &err), SLM_E_ARG);
    i.n_ids = CONTEXT;
    i.text = SLM_BASE_WINDOWS;
    assert_int_equal(slm_base_out_open(&o, rt, path, &i, ids, &err), SLM_E_ARG);
    i.form = SLM_BASE_SLM;
    i.vocab = 0;
    assert_int_equal(slm_base_out_open(&o, rt, path, &i, ids, &err), SLM_E_ARG);
    i.vocab = V;
    remove(path);
    assert_int_equal(slm_base_out_open(&o, rt, path, &i, ids, &err), 0);
    slm_base_out_close(&o); /* without commit there is no file */
    assert_int_not_equal(access(path, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_divergence),
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_divergence_refuses),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_out_refuses),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
