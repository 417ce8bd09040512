/* AdamW with 8-bit moments against bitsandbytes' AdamW8bit: single steps from stored states
 * (tests/data/nf4/adamw8bit.safetensors; an argument names another such file). Codes may differ
 * where a moment stands between two of them by less than float32 can tell. */
#include "unit/model_kit.h"

#include "train/train_in.h"

static const char *data_path = "tests/data/nf4/adamw8bit.safetensors";

static const struct slm_tensor_ref *tensor(slm_st *st, const char *name, const char *part,
                                           int step)
{
    char full[96];
    snprintf(full, sizeof full, "%s.%s.%d", name, part, step);
    return slm_st_tensor_find(st, full);
}

static void *copy_of(const struct slm_tensor_ref *t)
{
    void *p = malloc((size_t)t->bytes);
    assert_non_null(p);
    memcpy(p, t->data, (size_t)t->bytes);
    return p;
}

static size_t codes_off(const uint8_t *got, const struct slm_tensor_ref *want)
{
    size_t off = 0;
    for (size_t i = 0; i < (size_t)want->count; i++) {
        int d = (int)got[i] - (int)want->data[i];
        if (d < -1 || d > 1)
            fail_msg("%s: code %zu is %d, want %d", want->name, i, got[i], want->data[i]);
        off += d != 0;
    }
    return off;
}

static void near_floats(const float *got, const struct slm_tensor_ref *want, double part)
{
    for (size_t i = 0; i < (size_t)want->count; i++) {
        float w;
        memcpy(&w, want->data + 4 * i, 4);
        if (!(fabs((double)got[i] - (double)w) <= part * fabs((double)w) + 1e-7))
            fail_msg("%s: element %zu is %.9g, want %.9g", want->name, i, (double)got[i],
                     (double)w);
    }
}

/* States of a parameter as the row lays them out: magnitudes of m, of v, codes of m, of v. */
static uint8_t *state_at(slm_st *st, const char *name, int step, size_t *codes)
{
    static const char *const parts[] = {"absmax1", "absmax2", "state1", "state2"};
    uint8_t *all = malloc(1 << 20);
    size_t n = 0;
    assert_non_null(all);
    for (int i = 0; i < 4; i++) {
        const struct slm_tensor_ref *t = tensor(st, name, parts[i], step);
        assert_non_null(t);
        *codes = i == 2 ? n : *codes;
        memcpy(all + n, t->data, (size_t)t->bytes);
        n += (size_t)t->bytes;
    }
    return all;
}

static void check_step(slm_st *st, const char *name, int from, float decay, const void *table)
{
    const struct slm_tensor_ref *before = tensor(st, name, "param", from),
                                *after = tensor(st, name, "param", from + 1),
                                *grad = tensor(st, name, "grad", from + 1);
    size_t at = 0;
    assert_true(before && after && grad);
    float *v = copy_of(before), *g = copy_of(grad);
    uint8_t *state = state_at(st, name, from, &at);
    struct slm_param p = {.v = v, .g = g, .n = (size_t)before->count, .decay = decay > 0};
    struct slm_optim_step s = {.lr = 2e-3f,
                               .beta1 = .9f,
                               .beta2 = .95f,
                               .eps = 1e-8f,
                               .decay = decay,
                               .scale = 1,
                               .step = from + 2,
                               .power1 = pow(.9, from + 2),
                               .power2 = pow(.95, from + 2),
                               .table = table};
    size_t half = p.n / 2 / 256 * 256; /* cut as threads would cut it */
    slm_adam8_update(&p, state, &s, 0, half);
    slm_adam8_update(&p, state, &s, half, p.n);
    near_floats(v, after, 2e-6);
    near_floats((const float *)(void *)state, tensor(st, name, "absmax1", from + 1), 1e-6);
    size_t off = codes_off(state + at, tensor(st, name, "state1", from + 1)) +
                 codes_off(state + at + p.n, tensor(st, name, "state2", from + 1));
    if (off > p.n / 1000)
        fail_msg("%s: %zu codes of %zu differ", name, off, 2 * p.n);
    free(state);
    free(g);
    free(v);
}

static void test_steps(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        float decay;
    } params[] = {{"matrix", .1f}, {"odd", 0}, {"sparse", .01f}};
    slm_runtime *rt = runtime_new(NULL, 1);
    slm_st *st;
    slm_err err;
    int found = 0;
    void *table = malloc(slm_adam8_table_bytes());
    assert_non_null(table);
    slm_adam8_table_fill(table);
    if (slm_st_open(&st, rt, data_path, &err))
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < sizeof params / sizeof *params; i++)
        if (tensor(st, params[i].name, "param", 0)) {
            check_step(st, params[i].name, 0, params[i].decay, table);
            check_step(st, params[i].name, 8, params[i].decay, table);
            found++;
        }
    assert_true(found > 0);
    slm_st_close(&st);
    free(table);
    slm_runtime_close(&rt);
}

/* Steps near those of float32 moments; small parameters take exactly those. */
static void test_near(void **state)
{
    (void)state;
    enum { N = 5000 };
    static float v[2][N], g[N];
    static uint8_t s8[4 * N];
    static float s32[2 * N];
    void *table = malloc(slm_adam8_table_bytes());
    assert_non_null(table);
    slm_adam8_table_fill(table);
    for (size_t n = 4000; n <= N; n += 1000) {
        struct slm_rng rng;
        slm_rng_init(&rng, 5);
        memset(v, 0, sizeof v);
        memset(s32, 0, sizeof s32);
        struct slm_param a = {.v = v[0], .g = g, .n = n}, b = {.v = v[1], .g = g, .n = n};
        uint8_t *states = n < 4096 ? malloc(slm_adam8_bytes(&a)) : s8;
        memset(states, 0, slm_adam8_bytes(&a));
        assert_int_equal(slm_adam8_bytes(&a), n < 4096 ? 8 * n : 2 * n + 2 * 4 * 20);
        for (int k = 1; k <= 20; k++) {
            for (size_t i = 0; i < n; i++)
                g[i] = (float)slm_rng_normal(&rng) + 0.3f;
            struct slm_optim_step s = {.lr = 1e-2f,
                                       .beta1 = .9f,
                                       .beta2 = .95f,
                                       .eps = 1e-8f,
                                       .scale = 1,
                                       .step = k,
                                       .power1 = pow(.9, k),
                                       .power2 = pow(.95, k),
                                       .table = table};
            slm_adam8_update(&a, states, &s, 0, n);
            slm_adamw_update(&b, s32, &s, 0, n);
        }
        double off = 0, all = 0;
        for (size_t i = 0; i < n; i++) {
            off += pow((double)v[0][i] - (double)v[1][i], 2);
            all += pow((double)v[1][i], 2);
        }
        assert_true(n < 4096 ? off == 0 : off > 0 && off < 1e-3 * all);
        if (n < 4096)
            free(states);
    }
    free(table);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_near),
    };
    if (argc > 1)
        data_path = argv[1];
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
