/* Adapters: PEFT's on the golden models, with what PEFT makes of them (tests/golden-adapters);
 * written again in both forms and read back; made anew for names that a fused matrix hides;
 * merged; several as one; and files that are wrong in one thing. */
#include "unit/model_kit.h"

#include "adapter/adapter.h"

#define ADAPTERS "tests/golden-adapters"

static slm_runtime *rt;

static int setup(void **state)
{
    rt = runtime_new(NULL, 2);
    return scratch_open(state);
}

static int teardown(void **state)
{
    slm_runtime_close(&rt);
    return scratch_close(state);
}

static slm_model *open_model(const char *path)
{
    slm_model *m = NULL;
    slm_err err = {0};
    slm_model_opts o = {.no_tokenizer = 1};
    if (slm_model_open(&m, rt, path, &o, &err))
        fail_msg("%s", err.msg);
    return m;
}

static slm_adapter *open_adapter(const slm_model *m, const char *path)
{
    slm_adapter *a = NULL;
    slm_err err = {0};
    if (slm_adapter_open(&a, m, path, &err))
        fail_msg("%s", err.msg);
    return a;
}

static int keep_row(void *arg, int row, const float *logits)
{
    float **to = arg;
    (void)row;
    memcpy(*to, logits, 64 * sizeof *logits); /* the golden models' vocabulary */
    *to += 64;
    return 0;
}

/* Logits (n, 64) of a model with an adapter. */
static float *logits_of(const slm_model *m, const slm_adapter *a, const int32_t *ids, int n)
{
    slm_session *s = NULL;
    slm_err err = {0};
    slm_session_opts o;
    slm_session_opts_init(&o);
    o.context = n;
    o.exact = 1;
    o.adapter = a;
    float *out = malloc((size_t)n * 64 * sizeof *out), *at = out;
    assert_non_null(out);
    if (slm_session_open(&s, m, &o, &err) || slm_session_score(s, ids, n, keep_row, &at, &err))
        fail_msg("%s", err.msg);
    slm_session_close(&s);
    return out;
}

static double most(const float *a, const float *b, size_t n)
{
    double d = 0;
    for (size_t i = 0; i < n; i++)
        d = fmax(d, fabs((double)a[i] - (double)b[i]));
    return d;
}

#define IDS 24
static int some_ids(int32_t ids[IDS])
{
    for (int i = 0; i < IDS; i++)
        ids[i] = (i * 7 + 3) % 64;
    return IDS;
}

/* ---- PEFT's adapters ---- */

static int golden_ids(const char *name, int32_t *ids, char base[64])
{
    char path[256];
    slm_json *j = NULL;
    slm_err err = {0};
    snprintf(path, sizeof path, ADAPTERS "/%s/expect.json", name);
    if (slm_json_load(&j, rt, path, 1 << 20, &err))
        fail_msg("%s", err.msg);
    const slm_json *list = slm_json_find(j, "ids");
    int n = (int)slm_json_count(list);
    for (int i = 0; i < n; i++)
        ids[i] = (int32_t)slm_json_int(slm_json_at(list, (size_t)i), -1);
    snprintf(base, 64, GOLDEN "/%s", slm_json_str(slm_json_find(j, "base"), NULL));
    slm_json_free(j);
    return n;
}

static void check_like(const slm_model *m, const slm_adapter *a, const int32_t *ids, int n,
                       const float *want, const char *what)
{
    float *got = logits_of(m, a, ids, n);
    double d = most(got, want, (size_t)n * 64);
    if (!(d < 1e-4))
        fail_msg("%s: logits off by %g", what, d);
    free(got);
}

/* Written in a form and read back, it does the same. GGUF refuses what it has no words for. */
static void check_again(const slm_model *m, const slm_adapter *a, bool gguf, const int32_t *ids,
                        int n, const float *want)
{
    const char *path = scratch(gguf ? "again.gguf" : "again");
    slm_adapter_save_opts o = {.gguf = gguf};
    slm_adapter_info i;
    slm_err err = {0};
    slm_adapter_info_get(a, &i);
    slm_dir_remove(path);
    int rc = slm_adapter_save(a, path, &o, &err);
    bool tied = m->w[SLM_W_OUT] == m->w[SLM_W_EMBED];
    if (gguf && (i.dora || i.whole || (tied && (i.embed || i.head)))) {
        assert_int_equal(rc, SLM_E_UNSUPPORTED);
        assert_non_null(strstr(err.msg, "merge"));
        return;
    }
    if (gguf && rc == SLM_E_UNSUPPORTED && strstr(err.msg, "softmax scale"))
        return;
    if (rc)
        fail_msg("%s", err.msg);
    slm_adapter *b = open_adapter(m, path);
    check_like(m, b, ids, n, want, path);
    slm_adapter_close(&b);
    slm_dir_remove(path);
    unlink(path);
}

/* Merged into a file, the model alone does the same. */
static void check_merged(const char *base, const char *adapter, const int32_t *ids, int n,
                         const float *want)
{
    slm_model *m = open_model(base), *merged;
    slm_adapter *a = open_adapter(m, adapter);
    slm_err err = {0};
    slm_convert_opts o = {.type = "f32"};
    if (slm_adapter_unties(a)) {
        slm_model_opts mo = {.no_tokenizer = 1, .untie = 1};
        assert_int_equal(slm_adapter_merge(a, m, &err), SLM_E_ARG);
        slm_adapter_close(&a);
        slm_model_close(&m);
        assert_int_equal(slm_model_open(&m, rt, base, &mo, &err), 0);
        a = open_adapter(m, adapter);
    }
    if (slm_adapter_merge(a, m, &err) || slm_model_write(m, scratch("merged.gguf"), &o, &err))
        fail_msg("%s", err.msg);
    merged = open_model(scratch("merged.gguf"));
    check_like(merged, NULL, ids, n, want, adapter);
    slm_model_close(&merged);
    slm_adapter_close(&a);
    slm_model_close(&m);
    unlink(scratch("merged.gguf"));
}

static void check_golden(const char *name)
{
    char base[64], path[256];
    int32_t ids[MOST_IDS];
    slm_err err = {0};
    slm_st *st = NULL;
    int n = golden_ids(name, ids, base);
    snprintf(path, sizeof path, ADAPTERS "/%s/expect.safetensors", name);
    if (slm_st_open(&st, rt, path, &err))
        fail_msg("%s", err.msg);
    const float *want = (const void *)slm_st_tensor_find(st, "logits")->data;
    snprintf(path, sizeof path, ADAPTERS "/%s", name);
    slm_model *m = open_model(base);
    slm_adapter *a = open_adapter(m, path);
    check_like(m, a, ids, n, want, name);
    check_again(m, a, false, ids, n, want);
    check_again(m, a, true, ids, n, want);
    slm_adapter_close(&a);
    slm_model_close(&m);
    check_merged(base, path, ids, n, want);
    slm_st_close(&st);
}

static void test_golden(void **state)
{
    static const char *const names[] = {
        "llama-lora",   "llama-bias-biases", "gemma2-dora",  "llama-tied-embedding",
        "gemma2-saved", "llama-tied-saved",  "phi3-pattern", "llama-tied-half",
        "mixtral-lora", "mixtral-experts"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_golden(names[i]);
}

/* ---- new ones ---- */

static void fill(slm_adapter *a)
{
    struct slm_rng g;
    slm_rng_init(&g, 5);
    for (int i = 0; i < a->n_weights; i++) {
        struct slm_adapter_tensor t;
        slm_adapter_tensor_get(a, i, &t);
        float *x = slm_adapter_data(t.w);
        size_t n = (size_t)t.w->parts * (size_t)t.w->rows * (size_t)t.w->cols;
        assert_int_equal(t.w->id, a->m->n_weights + i);
        for (size_t k = 0; k < n; k++)
            x[k] = t.vector ? x[k] * 1.1f : 0.15f * (float)slm_rng_normal(&g);
    }
}

static slm_adapter *make(const slm_model *m, const slm_adapter_opts *o)
{
    slm_adapter *a = NULL;
    slm_err err = {0};
    if (slm_adapter_new(&a, m, o, &err))
        fail_msg("%s", err.msg);
    return a;
}

/* Nothing changes at first; with numbers in it, both forms give the same again. */
static void check_new(const char *model, slm_adapter_opts *o, int parts)
{
    int32_t ids[IDS];
    int n = some_ids(ids);
    slm_model *m = open_model(model);
    o->r = 3;
    o->alpha = 5;
    o->seed = 1;
    slm_adapter *a = make(m, o);
    assert_int_equal(a->n_parts, parts);
    float *plain = logits_of(m, NULL, ids, n);
    check_like(m, a, ids, n, plain, model);
    fill(a);
    float *want = logits_of(m, a, ids, n);
    assert_true(most(want, plain, (size_t)n * 64) > 1e-2);
    check_again(m, a, false, ids, n, want);
    check_again(m, a, true, ids, n, want);
    free(plain);
    free(want);
    slm_adapter_close(&a);
    slm_model_close(&m);
}

static void test_slices(void **state)
{
    slm_adapter_opts o = {.targets = "q_proj,v_proj"};
    slm_err err = {0};
    (void)state;
    check_new(GOLDEN "/phi3", &o, 4);
    o.dora = 1;
    o.targets = "q_proj, up_proj,down_proj";
    check_new(GOLDEN "/phi3", &o, 6);
    o.dora = 0;
    o.rslora = 1;
    o.targets = ".*\\.1\\..*(qkv|gate)_proj"; /* the whole, not its parts; one part */
    check_new(GOLDEN "/phi3", &o, 2);
    slm_model *m = open_model(GOLDEN "/phi3");
    slm_adapter *a = make(m, &(slm_adapter_opts){.r = 2, .alpha = 2, .targets = "k_proj"});
    assert_int_equal(a->part[0].row0, 32);
    assert_int_equal(a->part[0].rows, 32);
    assert_string_equal(a->part[0].module, "model.layers.0.self_attn.k_proj");
    slm_adapter_close(&a);
    o.targets = "qkv_proj,k_proj";
    assert_int_equal(slm_adapter_new(&a, m, &o, &err), SLM_E_ARG);
    assert_non_null(strstr(err.msg, "same rows"));
    slm_model_close(&m);
}

static void test_new(void **state)
{
    (void)state;
    check_new(GOLDEN "/llama", &(slm_adapter_opts){0}, 14);
    check_new(GOLDEN "/llama", &(slm_adapter_opts){.dora = 1, .exclude = "o_proj"}, 12);
    check_new(GOLDEN "/llama", &(slm_adapter_opts){.targets = "lm_head,embed_tokens"}, 2);
    check_new(GOLDEN "/llama-tied", &(slm_adapter_opts){.targets = "lm_head,v_proj"}, 3);
    check_new(GOLDEN "/mixtral", &(slm_adapter_opts){0}, 14);
    check_new(GOLDEN "/mixtral", &(slm_adapter_opts){.targets = "w1,down_proj"}, 4);
    check_new(GOLDEN "/gemma2",
              &(slm_adapter_opts){.targets = "k_proj", .layers = (int[]){1}, .n_layers = 1}, 1);
    slm_adapter_pattern rank = {"layers.1.*", 5}, alpha = {"(k|v)_proj", 1};
    check_new(GOLDEN "/llama",
              &(slm_adapter_opts){.targets = "k_proj,v_proj,o_proj",
                                  .rank_pattern = &rank,
                                  .n_rank_patterns = 1,
                                  .alpha_pattern = &alpha,
                                  .n_alpha_patterns = 1},
              6);
}

struct new_case {
    slm_adapter_opts o;
    int code;
    const char *words;
};

static void test_new_refused(void **state)
{
    static const int far[] = {7};
    const struct new_case cases[] = {
        {{.r = 2, .targets = "c_attn"}, SLM_E_ARG, "'c_attn' names nothing"},
        {{.r = 2, .targets = "q_proj,,nope"}, SLM_E_ARG, "'nope'"},
        {{.r = 2, .targets = ".*foo"}, SLM_E_ARG, "fits no module"},
        {{.r = 2, .targets = "(q_proj"}, SLM_E_FORMAT, "pattern"},
        {{.r = 2, .targets = ","}, SLM_E_ARG, "no name"},
        {{.r = 0}, SLM_E_ARG, "rank"},
        {{.r = 2, .dropout = 1}, SLM_E_ARG, "dropout"},
        {{.r = 2, .exclude = "all-linear"}, SLM_E_ARG, "nothing to train"},
        {{.r = 2, .dora = 1, .targets = "embed_tokens"}, SLM_E_UNSUPPORTED, "DoRA"},
        {{.r = 2, .dora = 1, .targets = "w1"}, SLM_E_UNSUPPORTED, "experts"},
        {{.r = 2, .targets = "experts.0.w1"}, SLM_E_ARG, "1 of 8 experts"},
        {{.r = 2, .layers = far, .n_layers = 1}, SLM_E_ARG, "layer 7"},
    };
    (void)state;
    slm_model *m = open_model(GOLDEN "/mixtral");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        slm_adapter *a = NULL;
        slm_err err = {0};
        int rc = slm_adapter_new(&a, m, &cases[i].o, &err);
        if (rc != cases[i].code || !strstr(err.msg, cases[i].words))
            fail_msg("case %zu: %d, %s", i, rc, err.msg);
        assert_null(a);
    }
    slm_model_close(&m);
}

/* ---- scale, several ---- */

static void test_scale(void **state)
{
    int32_t ids[IDS];
    int n = some_ids(ids);
    slm_err err = {0};
    (void)state;
    slm_model *m = open_model(GOLDEN "/llama");
    slm_adapter *list[2], *both = NULL;
    list[0] = make(m, &(slm_adapter_opts){.r = 2, .alpha = 4, .targets = "q_proj,down_proj"});
    list[1] = make(m, &(slm_adapter_opts){.r = 3, .alpha = 3, .targets = "q_proj,v_proj"});
    fill(list[0]);
    fill(list[1]);
    float *plain = logits_of(m, NULL, ids, n), *one = logits_of(m, list[0], ids, n);
    assert_int_equal(slm_adapter_join(&both, list, 2, &err), 0);
    assert_int_equal(both->n_weights, list[0]->n_weights + list[1]->n_weights);
    float *two = logits_of(m, both, ids, n);
    assert_true(most(one, two, (size_t)n * 64) > 1e-2);
    check_again(m, both, false, ids, n, two); /* as one, of the ranks' sum */
    check_again(m, both, true, ids, n, two);
    assert_int_equal(slm_adapter_scale(list[1], 0, &err), 0);
    check_like(m, both, ids, n, one, "second at 0");
    assert_int_equal(slm_adapter_scale(list[0], 0, &err), 0);
    check_like(m, both, ids, n, plain, "both at 0");
    assert_int_equal(slm_adapter_scale(list[0], NAN, &err), SLM_E_ARG);
    assert_int_equal(slm_adapter_scale(both, 1, &err), SLM_E_ARG);
    slm_adapter_close(&both);
    slm_adapter_close(&list[1]);
    list[1] = make(m, &(slm_adapter_opts){.r = 2, .alpha = 4, .targets = "q_proj", .dora = 1});
    assert_int_equal(slm_adapter_join(&both, list, 2, &err), SLM_E_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "DoRA"));
    slm_adapter_close(&list[1]);
    slm_adapter_close(&list[0]);
    slm_model_close(&m);
    free(plain);
    free(one);
    free(two);
}

/* A session that was saved with one adapter is not gone on with without it. */
static void test_session(void **state)
{
    int32_t ids[IDS];
    int n = some_ids(ids);
    slm_err err = {0};
    slm_session *s = NULL, *t = NULL;
    slm_session_opts o;
    (void)state;
    slm_model *m = open_model(GOLDEN "/llama"), *other = open_model(GOLDEN "/llama");
    slm_adapter *a = open_adapter(m, ADAPTERS "/llama-lora");
    slm_session_opts_init(&o);
    o.context = n;
    o.adapter = a;
    assert_int_equal(slm_session_open(&s, m, &o, &err), 0);
    assert_int_equal(slm_session_append(s, ids, n, &err), 0);
    assert_int_equal(slm_session_save(s, scratch("state"), &err), 0);
    assert_int_equal(slm_session_restore(s, scratch("state"), &err), 0);
    o.adapter = NULL;
    assert_int_equal(slm_session_open(&t, m, &o, &err), 0);
    assert_true(slm_session_restore(t, scratch("state"), &err) != 0);
    slm_session_close(&t);
    o.share = s;
    assert_int_equal(slm_session_open(&t, m, &o, &err), SLM_E_ARG);
    o.share = NULL;
    o.adapter = a;
    assert_int_equal(slm_session_open(&t, other, &o, &err), SLM_E_ARG);
    slm_session_close(&s);
    slm_adapter_close(&a);
    slm_model_close(&other);
    slm_model_close(&m);
    unlink(scratch("state"));
}

/* ---- other files ---- */

static void write_mlx(const char *dir, const char *config)
{
    char path[256];
    slm_st_out *w = NULL;
    slm_err err = {0};
    float x[32 * 2];
    const struct {
        const char *name;
        uint64_t dim[2];
    } t[] = {{"model.layers.0.self_attn.q_proj.lora_a", {32, 2}},
             {"model.layers.0.self_attn.q_proj.lora_b", {2, 32}}};
    slm_dir_remove(dir);
    assert_int_equal(slm_dir_make(dir, &err), 0);
    snprintf(path, sizeof path, "%s/adapter_config.json", dir);
    write_text(path, config, strlen(config));
    snprintf(path, sizeof path, "%s/adapters.safetensors", dir);
    assert_int_equal(slm_st_out_open(&w, rt, path, &err), 0);
    for (int i = 0; i < 2; i++)
        slm_st_out_tensor(w, t[i].name, SLM_F32, t[i].dim, 2);
    assert_int_equal(slm_st_out_begin(w, &err), 0);
    for (int64_t k; (k = slm_st_out_next(w)) >= 0;) {
        for (int i = 0; i < 64; i++)
            x[i] = (float)(i + 64 * (int)k);
        assert_int_equal(slm_st_out_data(w, x, sizeof x, &err), 0);
    }
    assert_int_equal(slm_st_out_commit(w, &err), 0);
    slm_st_out_close(&w);
}

static void test_mlx(void **state)
{
    (void)state;
    slm_model *m = open_model(GOLDEN "/llama");
    write_mlx(scratch("mlx"),
              "{\"fine_tune_type\":\"lora\",\"num_layers\":1,\"model\":\"some/llama\","
              "\"lora_parameters\":{\"rank\":2,\"scale\":20.0,\"dropout\":0.1}}");
    slm_adapter *a = open_adapter(m, scratch("mlx"));
    const struct slm_adapter_part *p = &a->part[0];
    const float *la = (const float *)p->a.part[0], *lb = (const float *)p->b.part[0];
    assert_int_equal(a->n_parts, 1);
    assert_int_equal(p->a.rows, 2);
    assert_true(p->scale == 20 && p->dropout == 0.1f);
    assert_true(la[0] == 0 && la[1] == 2 && la[32] == 1);   /* A was (in, r) */
    assert_true(lb[0] == 64 && lb[1] == 96 && lb[2] == 65); /* B was (r, out) */
    slm_adapter_peek k;
    slm_err err = {0};
    assert_int_equal(slm_adapter_peek_at(rt, scratch("mlx"), &k, &err), 0);
    assert_string_equal(k.kind, "mlx");
    assert_string_equal(k.names, "q_proj");
    assert_string_equal(k.base, "some/llama");
    assert_int_equal(k.r_most, 2);
    assert_int_equal(slm_adapter_is(scratch("mlx")), 1);
    assert_int_equal(slm_adapter_is(GOLDEN "/llama"), 0);
    slm_adapter_close(&a);
    write_mlx(scratch("mlx"), "{\"fine_tune_type\":\"prompt\"}");
    assert_int_equal(slm_adapter_open(&a, m, scratch("mlx"), &err), SLM_E_UNSUPPORTED);
    write_mlx(scratch("mlx"), "{\"lora_parameters\":{\"rank\":3}}");
    assert_int_equal(slm_adapter_open(&a, m, scratch("mlx"), &err), SLM_E_FORMAT);
    assert_non_null(strstr(err.msg, "rank 2"));
    slm_dir_remove(scratch("mlx"));
    slm_model_close(&m);
}

struct config_case {
    const char *key, *value;
    int code;
    const char *words;
};

static void copy_adapter(const char *from, const char *to)
{
    static const char *const names[] = {"adapter_config.json", "adapter_model.safetensors"};
    char a[256], b[256];
    slm_dir_remove(to);
    assert_int_equal(slm_dir_make(to, NULL), 0);
    for (int i = 0; i < 2; i++) {
        snprintf(a, sizeof a, "%s/%s", from, names[i]);
        snprintf(b, sizeof b, "%s/%s", to, names[i]);
        copy_file(a, b);
    }
}

static void assert_wrong(const slm_model *m, const char *path, int code, const char *words)
{
    slm_adapter *a = NULL;
    slm_err err = {0};
    int rc = slm_adapter_open(&a, m, path, &err);
    if (rc != code || !strstr(err.msg, words))
        fail_msg("%s: %d, %s; want %s", path, rc, err.msg, words);
    assert_null(a);
}

static void test_config(void **state)
{
    static const struct config_case cases[] = {
        {"peft_type", "\"LOHA\"", SLM_E_UNSUPPORTED, "'LOHA'"},
        {"task_type", "\"SEQ_CLS\"", SLM_E_UNSUPPORTED, "'SEQ_CLS'"},
        {"init_lora_weights", "\"pissa\"", SLM_E_UNSUPPORTED, "\"pissa\""},
        {"init_lora_weights", "\"olora\"", SLM_E_UNSUPPORTED, "\"olora\""},
        {"lora_bias", "true", SLM_E_UNSUPPORTED, "lora_bias"},
        {"layer_replication", "[[0,1]]", SLM_E_UNSUPPORTED, "layer_replication"},
        {"trainable_token_indices", "[1]", SLM_E_UNSUPPORTED, "trainable_token_indices"},
        {"use_qalora", "true", SLM_E_UNSUPPORTED, "use_qalora"},
        {"a_new_idea", "3", SLM_E_UNSUPPORTED, "a_new_idea"},
        {"fan_in_fan_out", "true", SLM_E_UNSUPPORTED, "fan_in_fan_out"},
        {"bias", "\"some\"", SLM_E_FORMAT, "'some'"},
        {"r", "4", SLM_E_FORMAT, "rank 3"},
        {"r", "0", SLM_E_FORMAT, "r 0"},
        {"r", "1.5", SLM_E_FORMAT, "r 1.5"},
        {"lora_dropout", "1", SLM_E_FORMAT, "lora_dropout"},
        {"rank_pattern", "[1]", SLM_E_FORMAT, "rank_pattern"},
        {"rank_pattern", "{\"(\":1}", SLM_E_FORMAT, "pattern"},
        {"rank_pattern", "{\"q_proj\":9}", SLM_E_FORMAT, "says 9"},
        {"alpha_pattern", "{\"q_proj\":\"x\"}", SLM_E_FORMAT, "no number"},
    };
    (void)state;
    slm_model *m = open_model(GOLDEN "/llama");
    char to[256];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        copy_adapter(ADAPTERS "/llama-lora", scratch("bad"));
        snprintf(to, sizeof to, "%s/adapter_config.json", scratch("bad"));
        edit_config(rt, ADAPTERS "/llama-lora/adapter_config.json", to, cases[i].key,
                    cases[i].value);
        assert_wrong(m, scratch("bad"), cases[i].code, cases[i].words);
    }
    slm_dir_remove(scratch("bad"));
    slm_model_close(&m);
}

static void test_tensors(void **state)
{
    static const char q[] = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    static const struct {
        struct edit e;
        int code;
        const char *words;
    } cases[] = {
        {{.target = q, .kind = EDIT_DROP}, SLM_E_FORMAT, "q_proj has no A"},
        {{.target = q, .kind = EDIT_TURN}, SLM_E_FORMAT, "q_proj"},
        {{.target = q, .kind = EDIT_TYPE}, SLM_E_UNSUPPORTED, "numbers in an adapter"},
        {{.target = q, .kind = EDIT_BITS, .bits = 0x7fc00000}, SLM_E_NUMERIC, "not finite"},
        {{.more = "base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight"},
         SLM_E_FORMAT,
         "layers.9"},
        {{.more = "base_model.model.extra.weight"}, SLM_E_FORMAT, "belongs to nothing"},
        {{.more = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.bias"},
         SLM_E_UNSUPPORTED,
         "lora_A.bias"},
    };
    char to[256];
    (void)state;
    slm_model *m = open_model(GOLDEN "/llama"), *other = open_model(GOLDEN "/llama-bias");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        copy_adapter(ADAPTERS "/llama-lora", scratch("bad"));
        snprintf(to, sizeof to, "%s/adapter_model.safetensors", scratch("bad"));
        edit_tensors(rt, ADAPTERS "/llama-lora/adapter_model.safetensors", to, &cases[i].e);
        assert_wrong(m, scratch("bad"), cases[i].code, cases[i].words);
    }
    slm_dir_remove(scratch("bad"));
    assert_wrong(other, ADAPTERS "/llama-lora", SLM_E_FORMAT, "wants");
    assert_wrong(m, GOLDEN "/llama", SLM_E_NOTFOUND, "adapter_config.json");
    assert_wrong(m, GOLDEN "/llama/model.safetensors", SLM_E_FORMAT, "not a GGUF adapter");
    assert_wrong(m, "tests/nowhere", SLM_E_NOTFOUND, "nowhere");
    slm_model_close(&other);
    slm_model_close(&m);
}

/* The mark on another architecture, and a model where an adapter should be. */
static void test_gguf(void **state)
{
    slm_err err = {0};
    slm_adapter_save_opts o = {.gguf = 1};
    slm_convert_opts f32 = {.type = "f32"};
    (void)state;
    slm_model *m = open_model(GOLDEN "/llama"), *other = open_model(GOLDEN "/qwen2");
    slm_adapter *a = open_adapter(m, ADAPTERS "/llama-lora");
    assert_int_equal(slm_adapter_save(a, scratch("a.gguf"), &o, &err), 0);
    assert_int_equal(slm_adapter_is(scratch("a.gguf")), 1);
    assert_wrong(other, scratch("a.gguf"), SLM_E_FORMAT, "'llama', but the model is 'qwen2'");
    assert_int_equal(slm_model_convert(rt, GOLDEN "/llama", scratch("m.gguf"), &f32, &err), 0);
    assert_int_equal(slm_adapter_is(scratch("m.gguf")), 0);
    assert_wrong(m, scratch("m.gguf"), SLM_E_UNSUPPORTED, "general.type is 'model'");
    /* rows of q and k lie otherwise in the GGUF model: both adapters do the same to it */
    int32_t ids[IDS];
    int n = some_ids(ids);
    float *want = logits_of(m, a, ids, n);
    slm_model *g = open_model(scratch("m.gguf"));
    slm_adapter *b = open_adapter(g, scratch("a.gguf")),
                *c = open_adapter(g, ADAPTERS "/llama-lora");
    check_like(g, b, ids, n, want, "GGUF on GGUF");
    check_like(g, c, ids, n, want, "PEFT on GGUF");
    check_again(g, c, false, ids, n, want);
    slm_adapter_close(&c);
    slm_adapter_close(&b);
    slm_model_close(&g);
    slm_adapter_close(&a);
    slm_model_close(&other);
    slm_model_close(&m);
    free(want);
    unlink(scratch("a.gguf"));
    unlink(scratch("m.gguf"));
}

/* Whichever allocation fails: an error, and nothing left. */
static void test_torture(void **state)
{
    slm_mem_stats before, after;
    (void)state;
    slm_model *m = open_model(GOLDEN "/llama");
    slm_runtime_memory(rt, &before);
    for (int64_t at = 1; at < 4000; at++) {
        slm_adapter *a = NULL;
        slm_err err = {0};
        atomic_store(&rt->heap.fail_in, at);
        int rc = slm_adapter_open(&a, m, ADAPTERS "/llama-lora", &err);
        bool done = atomic_exchange(&rt->heap.fail_in, 0) > 0;
        slm_adapter_close(&a);
        slm_runtime_memory(rt, &after);
        assert_int_equal(after.bytes, before.bytes);
        assert_true(rc == SLM_E_NOMEM || (done && !rc));
        if (done)
            break;
    }
    slm_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),  cmocka_unit_test(test_slices),
        cmocka_unit_test(test_new),     cmocka_unit_test(test_new_refused),
        cmocka_unit_test(test_scale),   cmocka_unit_test(test_session),
        cmocka_unit_test(test_mlx),     cmocka_unit_test(test_config),
        cmocka_unit_test(test_tensors), cmocka_unit_test(test_gguf),
        cmocka_unit_test(test_torture),
    };
    return cmocka_run_group_tests_name("adapter", tests, setup, teardown);
}
