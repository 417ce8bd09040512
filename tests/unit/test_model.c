/* Opening models that are wrong in one thing: a number, a word, a tensor, a byte too few. Each
 * gives one line that names the file and the thing, and leaves nothing behind. */
#include "unit/model_kit.h"

static slm_runtime *rt;

static int setup(void **state)
{
    rt = runtime_new(NULL, 1);
    return scratch_open(state);
}

static int teardown(void **state)
{
    slm_runtime_close(&rt);
    return scratch_close(state);
}

/* ---- config.json ---- */

struct config_case {
    const char *model, *key, *value;
    int code;
    const char *words;
};

static void try_configs(const struct config_case *cases, size_t n)
{
    char from[256], to[256], what[256];
    for (size_t i = 0; i < n; i++) {
        const struct config_case *c = &cases[i];
        snprintf(from, sizeof from, GOLDEN "/%s", c->model);
        copy_model(from, scratch("bad"), "config.json");
        snprintf(from, sizeof from, GOLDEN "/%s/config.json", c->model);
        snprintf(to, sizeof to, "%s/config.json", scratch("bad"));
        snprintf(what, sizeof what, "%s: %s: %s", c->model, c->key, c->value ? c->value : "-");
        edit_config(rt, from, to, c->key, c->value);
        assert_refused(rt, scratch("bad"), c->code, c->words, what);
    }
    slm_dir_remove(scratch("bad"));
}

#define TRY(cases) try_configs(cases, sizeof(cases) / sizeof *(cases))
#define BAD SLM_E_FORMAT
#define NEW SLM_E_UNSUPPORTED

static void test_words(void **state)
{
    static const struct config_case cases[] = {
        {"llama", "model_type", "\"rwkv\"", NEW, "'rwkv' is not known"},
        {"llama", "hidden_act", "\"relu\"", NEW, "'relu'"},
        {"gemma", "hidden_act", "\"silu\"", NEW, "'silu'"},
        {"llama", "rope_parameters", "{\"rope_type\":\"spiral\"}", NEW, "'spiral'"},
        {"llama", "rope_parameters", "[1]", BAD, "rope_parameters"},
        {"llama", "quantization_config", "{\"quant_method\":\"gptq\"}", NEW, "gptq"},
        {"llama", "quantization_config", "{}", NEW, "quantization_config"},
        {"gemma2", "layer_types", "[\"full_attention\"]", BAD, "layer_types"},
        {"gemma2", "layer_types",
         "[\"full_attention\",\"linear_attention\",\"full_attention\"]", BAD, "layer_types"},
        {"gemma2", "layer_types", "\"full_attention\"", BAD, "layer_types"},
        {"gemma3", "use_bidirectional_attention", "true", NEW, "use_bidirectional_attention"},
    };
    (void)state;
    TRY(cases);
}

static void test_sizes(void **state)
{
    static const struct config_case cases[] = {
        {"llama", "num_hidden_layers", "0", BAD, "layer"},
        {"llama", "num_hidden_layers", "-1", BAD, "layer"},
        {"llama", "num_hidden_layers", "1000000000", BAD, "layer"},
        {"llama", "num_hidden_layers", "4096", BAD, "layer"},
        {"llama", "num_hidden_layers", "1e30", BAD, "num_hidden_layers"},
        {"llama", "num_hidden_layers", "\"2\"", BAD, "num_hidden_layers"},
        {"llama", "num_hidden_layers", "2.5", BAD, "num_hidden_layers"},
        {"llama", "num_hidden_layers", NULL, BAD, "num_hidden_layers"},
        {"llama", "num_hidden_layers", "3", BAD, "model.layers.2."},
        {"llama", "num_hidden_layers", "1", BAD, "model.layers.1."},
        {"llama", "hidden_size", "33", BAD, "shape"},
        {"llama", "hidden_size", "0", BAD, ""},
        {"llama", "hidden_size", "2000000000", BAD, ""},
        {"llama", "hidden_size", NULL, BAD, "hidden_size"},
        {"llama", "intermediate_size", "39", BAD, "mlp."},
        {"llama", "intermediate_size", "-40", BAD, "feed-forward"},
        {"llama", "intermediate_size", "2147483647", BAD, "feed-forward"},
        {"llama", "vocab_size", "65", BAD, "embed_tokens"},
        {"llama", "vocab_size", "0", BAD, "vocabulary"},
        {"llama", "vocab_size", "9223372036854775807", BAD, "vocab_size"},
        {"llama", "max_position_embeddings", "0", BAD, "context"},
        {"llama", "max_position_embeddings", "1099511627776", BAD, "max_position_embeddings"},
        {"llama", "max_position_embeddings", "2000000000", BAD, "max_position_embeddings"},
        {"llama", "max_position_embeddings", NULL, BAD, "max_position_embeddings"},
        {"llama", "rms_norm_eps", "0", BAD, "epsilon"},
        {"llama", "rms_norm_eps", "-1e-5", BAD, "epsilon"},
        {"llama", "rms_norm_eps", "1e300", BAD, "epsilon"},
        {"llama", "rms_norm_eps", "\"nan\"", BAD, "rms_norm_eps"},
        {"llama", "rms_norm_eps", "NaN", BAD, ""},
        {"llama", "rms_norm_eps", NULL, BAD, "rms_norm_eps"},
        {"llama-tied", "tie_word_embeddings", "false", BAD, "lm_head.weight"},
        {"gemma2", "final_logit_softcapping", "-1", BAD, "soft cap"},
        {"gemma2", "attn_logit_softcapping", "1e300", BAD, "soft cap"},
        {"gemma2", "query_pre_attn_scalar", "0", BAD, "attention scale"},
        {"gemma2", "query_pre_attn_scalar", "-4", BAD, "attention scale"},
    };
    (void)state;
    TRY(cases);
}

static void test_heads(void **state)
{
    static const struct config_case cases[] = {
        {"llama", "num_attention_heads", "0", BAD, "num_attention_heads"},
        {"llama", "num_attention_heads", "-4", BAD, "num_attention_heads"},
        {"llama", "num_attention_heads", "1000000000", BAD, ""},
        {"llama", "num_attention_heads", "2", BAD, "key/value head"},
        {"llama", "num_attention_heads", "\"four\"", BAD, "num_attention_heads"},
        {"llama", "num_attention_heads", NULL, BAD, "num_attention_heads"},
        {"llama", "num_key_value_heads", "3", BAD, "share"},
        {"llama", "num_key_value_heads", "8", BAD, "key/value head"},
        {"llama", "num_key_value_heads", "0", BAD, "key/value head"},
        {"llama", "num_key_value_heads", "2", BAD, "k_proj"},
        {"llama", "head_dim", "0", BAD, "head_dim"},
        {"llama", "head_dim", "7", BAD, ""},
        {"llama", "head_dim", "1000000000", BAD, "head width"},
        {"llama", "head_dim", "16", BAD, "q_proj"},
        {"mixtral", "num_local_experts", "0", BAD, "expert"},
        {"mixtral", "num_local_experts", "9", BAD, "block_sparse_moe"},
        {"mixtral", "num_local_experts", "7", BAD, "block_sparse_moe"},
        {"mixtral", "num_local_experts", "1000000", BAD, "expert"},
        {"mixtral", "num_local_experts", NULL, BAD, "num_local_experts"},
        {"mixtral", "num_experts_per_tok", "0", BAD, "experts used"},
        {"mixtral", "num_experts_per_tok", "9", BAD, "experts used"},
    };
    (void)state;
    TRY(cases);
}

static void test_positions(void **state)
{
    static const struct config_case cases[] = {
        {"llama", "rope_parameters.rope_theta", "0", BAD, "rope base"},
        {"llama", "rope_parameters.rope_theta", "-1", BAD, "rope base"},
        {"llama", "rope_parameters.rope_theta", "1e300", BAD, "rope base"},
        {"llama", "rope_parameters.rope_theta", "\"x\"", BAD, "rope_theta"},
        {"llama-bias", "rope_parameters.factor", "0", BAD, "factor"},
        {"llama-bias", "rope_parameters.factor", NULL, BAD, "factor"},
        {"llama-tied", "rope_parameters.high_freq_factor", "1", BAD, "llama3"},
        {"llama-tied", "rope_parameters.low_freq_factor", "0", BAD, "llama3"},
        {"llama-tied", "rope_parameters.low_freq_factor", NULL, BAD, "low_freq_factor"},
        {"llama-tied", "rope_parameters.original_max_position_embeddings", "0", BAD,
         "original"},
        {"llama-tied", "rope_parameters.original_max_position_embeddings", "1e40", BAD,
         "original"},
        {"qwen2-yarn", "rope_parameters.factor", "-4", BAD, "factor"},
        {"qwen2-yarn", "rope_parameters.beta_fast", "0", BAD, "beta"},
        {"qwen2-yarn", "rope_parameters.original_max_position_embeddings", "1", BAD,
         "original"},
        {"ministral3", "rope_parameters.llama_4_scaling_beta", "1e300", BAD, "temperature"},
        {"phi3-longrope", "rope_parameters.short_factor", "[1,1,1]", BAD, "short_factor"},
        {"phi3-longrope", "rope_parameters.long_factor", "[1,1,1,1,1,1,1,0]", BAD,
         "long_factor"},
        {"phi3-longrope", "rope_parameters.long_factor", "[1,1,1,1,1,1,1,\"2\"]", BAD,
         "long_factor"},
        {"phi3-longrope", "rope_parameters.long_factor", NULL, BAD, "long_factor"},
        {"phi3-partial", "rope_parameters.partial_rotary_factor", "0", BAD,
         "partial_rotary_factor"},
        {"phi3-partial", "rope_parameters.partial_rotary_factor", "1.5", BAD,
         "partial_rotary_factor"},
        {"phi3-partial", "rope_parameters.partial_rotary_factor", "0.07", BAD, "rotates"},
        {"phi3-partial", "rope_parameters.partial_rotary_factor", "0.5", BAD, "short_factor"},
        {"mistral", "sliding_window", "0", BAD, "sliding_window"},
        {"mistral", "sliding_window", "-6", BAD, "sliding_window"},
        {"mistral", "sliding_window", "true", BAD, "sliding_window"},
        {"gemma2", "sliding_window", "null", BAD, "sliding_window"},
        {"gemma3", "rope_parameters.sliding_attention.rope_theta", "0", BAD, "local rope base"},
        {"gemma3", "rope_parameters.full_attention.factor", "0", BAD, "factor"},
    };
    (void)state;
    TRY(cases);
}

/* Layouts that mean what another says: the same bits. */
static void test_spellings(void **state)
{
    static const struct {
        const char *model, *config, *key, *value;
    } cases[] = {
        {"phi3-longrope", "config.legacy.json", "rope_scaling.type", "\"su\""},
        {"phi3-longrope", "config.legacy.json", "rope_scaling.type", "\"yarn\""},
        {"phi3-partial", "config.legacy.json", "original_max_position_embeddings", "22"},
        {"llama", "config.legacy.json", "rope_scaling", "{\"type\":\"default\"}"},
        {"llama", "config.json", "head_dim", "null"},
        {"llama", "config.json", "rope_scaling", "null"},
        {"llama", "config.json", "tie_word_embeddings", NULL},
        {"llama-tied", "config.json", "tie_word_embeddings", NULL},
        {"llama-bias", "config.legacy.json", "rope_scaling",
         "{\"type\":\"linear\",\"factor\":4}"},
        {"mistral", "config.json", "vocab_size", NULL},
        {"gemma", "config.legacy.json", "hidden_activation", "\"gelu_pytorch_tanh\""},
        {"gemma2", "config.json", "layer_types", NULL},
        {"gemma3", "config.json", "layer_types", NULL},
        {"qwen2", "config.json", "sliding_window", "3"},
        {"qwen2-yarn", "config.json", "layer_types", NULL},
        {"llama", "config.json", "model_type", NULL},
        {"stablelm", "config.json", "model_type", "\"stablelm_epoch\""},
        {"mixtral", "config.json", "router_aux_loss_coef", "0.5"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char from[300], to[300];
        struct golden g;
        golden_open(&g, cases[i].model, NULL, 1);
        copy_model(g.path, scratch("same"), "config.json");
        snprintf(from, sizeof from, "%s/%s", g.path, cases[i].config);
        snprintf(to, sizeof to, "%s/config.json", scratch("same"));
        edit_config(g.rt, from, to, cases[i].key, cases[i].value);
        float *a = logits_at(g.rt, g.path, g.ids, g.n, NULL);
        float *b = logits_at(g.rt, scratch("same"), g.ids, g.n, NULL);
        assert_same(a, b, (size_t)g.n * g.vocab, cases[i].key);
        free(a);
        free(b);
        golden_close(&g);
    }
    slm_dir_remove(scratch("same"));
}

/* No prefix of a config.json is one. */
static void test_cut_config(void **state)
{
    (void)state;
    size_t n;
    char *text = read_all(GOLDEN "/llama/config.json", &n), path[256];
    copy_model(GOLDEN "/llama", scratch("cut"), "config.json");
    snprintf(path, sizeof path, "%s/config.json", scratch("cut"));
    while (n && text[n - 1] != '}')
        n--;
    for (size_t k = 0; k < n; k++) {
        write_text(path, text, k);
        assert_refused(rt, scratch("cut"), 0, "config.json", "cut config");
    }
    write_text(path, "[]", 2);
    assert_refused(rt, scratch("cut"), BAD, "no JSON object", "a list");
    write_text(path, "\xff\xfe{}", 4);
    assert_refused(rt, scratch("cut"), BAD, "config.json", "no UTF-8");
    unlink(path);
    assert_refused(rt, scratch("cut"), SLM_E_NOTFOUND, "config.json", "no config");
    free(text);
    slm_dir_remove(scratch("cut"));
}

/* ---- tensors ---- */

/* Every tensor of the model is dropped, turned, and of another type, in turn. */
static void try_tensors(const char *model)
{
    static const int kinds[] = {EDIT_DROP, EDIT_TURN, EDIT_TYPE};
    char from[256], to[300], what[512];
    slm_st *st = NULL;
    slm_err err = {0};
    snprintf(from, sizeof from, GOLDEN "/%s", model);
    copy_model(from, scratch("edit"), "config.json");
    snprintf(from, sizeof from, GOLDEN "/%s/model.safetensors", model);
    snprintf(to, sizeof to, "%s/model.safetensors", scratch("edit"));
    if (slm_st_open(&st, rt, from, &err))
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < slm_st_tensor_count(st); i++) {
        const char *name = slm_st_tensor_at(st, i)->name;
        for (size_t k = 0; k < 3; k++) {
            struct edit e = {.target = name, .kind = kinds[k]};
            edit_tensors(rt, from, to, &e);
            snprintf(what, sizeof what, "%s: %s, way %zu", model, name, k);
            /* a head's norm that is gone shows by its neighbour, which then belongs to nothing
             */
            bool head = k == 0 && strstr(name, "norms.0.");
            assert_refused(rt, scratch("edit"), k < 2 ? BAD : NEW, head ? "norms." : name,
                           what);
        }
    }
    slm_st_close(&st);
    slm_dir_remove(scratch("edit"));
}

static void test_tensors(void **state)
{
    (void)state;
    try_tensors("llama");
    try_tensors("llama-bias");
    try_tensors("mixtral");
    try_tensors("phi3");
    try_tensors("gemma2");
    try_tensors("qwen2");
    try_tensors("stablelm");
    try_tensors("stablelm-parallel");
}

static void test_more_tensors(void **state)
{
    (void)state;
    const char *from = GOLDEN "/llama/model.safetensors";
    char to[256];
    copy_model(GOLDEN "/llama", scratch("more"), "config.json");
    snprintf(to, sizeof to, "%s/model.safetensors", scratch("more"));
    static const char *const names[] = {"model.layers.0.self_attn.q_norm.weight",
                                        "model.layers.2.mlp.up_proj.weight", "w",
                                        "vision_tower.patch.weight"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct edit e = {.more = names[i]};
        edit_tensors(rt, from, to, &e);
        assert_refused(rt, scratch("more"), BAD, names[i], "a tensor more");
    }
    slm_err err;
    struct edit old = {.more = "model.layers.0.self_attn.rotary_emb.inv_freq"};
    edit_tensors(rt, from, to, &old); /* what old versions saved and nobody needs */
    assert_int_equal(open_status(rt, scratch("more"), &err), 0);
    slm_dir_remove(scratch("more"));
}

/* ---- files ---- */

static void test_cut_weights(void **state)
{
    (void)state;
    size_t n;
    char *all = read_all(GOLDEN "/llama/model.safetensors", &n), path[256];
    copy_model(GOLDEN "/llama", scratch("cut"), "config.json");
    snprintf(path, sizeof path, "%s/model.safetensors", scratch("cut"));
    for (size_t k = 0; k < n; k += 4096) {
        write_text(path, all, k);
        assert_refused(rt, scratch("cut"), BAD, "model.safetensors", "cut weights");
    }
    write_text(path, all, n - 1);
    assert_refused(rt, scratch("cut"), BAD, "model.safetensors", "a byte less");
    unlink(path);
    assert_refused(rt, scratch("cut"), SLM_E_NOTFOUND, "model.safetensors", "no weights");
    snprintf(path, sizeof path, "%s/pytorch_model.bin", scratch("cut"));
    write_text(path, "PK", 2);
    assert_refused(rt, scratch("cut"), NEW, "pickle", "pickles");
    free(all);
    slm_dir_remove(scratch("cut"));
}

static void test_shards(void **state)
{
    (void)state;
    char path[256];
    copy_model(GOLDEN "/llama-tied", scratch("shards"), "config.json");
    snprintf(path, sizeof path, "%s/model-00002-of-00003.safetensors", scratch("shards"));
    write_text(path, "", 0);
    assert_refused(rt, scratch("shards"), BAD, "model-00002-of-00003", "an empty shard");
    unlink(path);
    assert_refused(rt, scratch("shards"), SLM_E_NOTFOUND, "model-00002-of-00003",
                   "a shard less");
    slm_dir_remove(scratch("shards"));
}

static void test_cut_gguf(void **state)
{
    (void)state;
    static const char *const models[] = {"llama", "mixtral-4x3", "gemma3"};
    slm_convert_opts o;
    slm_err err = {0};
    slm_convert_opts_init(&o);
    for (int i = 0; i < 3; i++) {
        char from[256];
        size_t n;
        snprintf(from, sizeof from, GOLDEN "/%s", models[i]);
        if (slm_model_convert(rt, from, scratch("whole.gguf"), &o, &err))
            fail_msg("%s", err.msg);
        char *all = read_all(scratch("whole.gguf"), &n);
        for (size_t k = 0; k < n; k += k < 4096 ? 64 : 4096) {
            write_text(scratch("cut.gguf"), all, k);
            assert_refused(rt, scratch("cut.gguf"), 0, "", "cut GGUF");
        }
        free(all);
    }
    unlink(scratch("whole.gguf"));
    unlink(scratch("cut.gguf"));
}

/* llama2.c's first form: seven numbers, then all weights as float32. */
static void test_llama2c(void **state)
{
    (void)state;
    enum { D = 8, F = 12, L = 2, H = 2, V = 10, T = 16 };
    enum { N = V * D + L * (2 * D + 4 * D * D + 3 * D * F) + D + T * D / H };
    static struct {
        int32_t head[7];
        float w[N];
    } file = {{D, F, L, H, H, V, T}, {0}};
    slm_err err;
    for (int i = 0; i < N; i++)
        file.w[i] = (float)(i * 37 % 101 - 50) / 100;
    const char *path = scratch("tiny.bin");
    write_text(path, &file, sizeof file);
    if (open_status(rt, path, &err))
        fail_msg("%s", err.msg);
    static const int32_t ids[] = {1, 2, 3};
    float *logits = logits_at(rt, path, ids, 3, &(struct how){.context = 16});
    assert_true(largest(logits, (size_t)3 * V) > 0);
    free(logits);
    for (size_t k = 0; k < sizeof file; k += 256) {
        write_text(path, &file, k);
        assert_refused(rt, path, 0, "", "cut llama2.c file");
    }
    for (int i = 0; i < 7; i++) {
        static const int32_t bad[] = {0, -7, INT32_MIN, INT32_MAX, 1 << 20};
        int32_t was = file.head[i];
        for (size_t k = 0; k < 5; k++) {
            if (i == 5 && bad[k] == -7)
                continue; /* a negative vocabulary says that the output is not tied */
            file.head[i] = bad[k];
            write_text(path, &file, sizeof file);
            assert_refused(rt, path, 0, "", "llama2.c header");
        }
        file.head[i] = was;
    }
    unlink(path);
}

static void test_no_model(void **state)
{
    (void)state;
    assert_refused(rt, scratch("nothing"), SLM_E_NOTFOUND, "", "no such path");
    write_text(scratch("text.txt"), "Once upon a time", 16);
    assert_refused(rt, scratch("text.txt"), BAD, "not a GGUF file", "a text");
    write_text(scratch("empty"), "", 0);
    assert_refused(rt, scratch("empty"), BAD, "", "an empty file");
    assert_refused(rt, GOLDEN "/llama/model.safetensors", NEW, "config.json", "weights alone");
    assert_refused(rt, GOLDEN, SLM_E_NOTFOUND, "config.json", "a folder of folders");
    slm_model *m = NULL;
    slm_err err = {0};
    assert_int_equal(slm_model_open(&m, rt, GOLDEN "/llama", NULL, &err), SLM_E_NOTFOUND);
    assert_non_null(strstr(err.msg, "tokenizer"));
    assert_null(m);
    slm_model_close(&m);
    slm_model_close(NULL);
}

static void test_info(void **state)
{
    (void)state;
    slm_model *m = model_at(rt, GOLDEN "/mixtral");
    slm_model_info i;
    slm_model_info_get(m, &i);
    assert_string_equal(i.family, "mixtral");
    assert_string_equal(i.source, "hf");
    assert_string_equal(i.types, "bf16 100 %");
    assert_true(i.layers == 2 && i.width == 32 && i.heads == 4 && i.kv_heads == 2 &&
                i.head_width == 8);
    assert_true(i.ffn == 16 && i.vocab == 64 && i.experts == 8 && i.experts_used == 2 &&
                i.window == 0);
    uint64_t layer = 32 * 32 * 2 + 2 * 32 * 16 + 2 * 32 + 8 * 32, expert = 3 * 32 * 16;
    assert_true(i.params == 2 * 64 * 32 + 32 + 2 * (layer + 8 * expert));
    assert_true(i.params_active == 64 * 32 + 32 + 2 * (layer + 2 * expert));
    assert_true(i.bytes == i.params * 2);
    assert_null(slm_model_tokenizer(m));
    assert_true(slm_model_kv_bytes(m, 64, "f16") >= 2 * 2 * 64 * 16 * 2);
    assert_true(slm_model_kv_bytes(m, 64, "q4_0") == -1 &&
                slm_model_kv_bytes(m, 0, "f16") == -1);
    assert_true(slm_model_kv_bytes(m, 64, "nonsense") == -1);
    assert_true(slm_model_work_bytes(m, 16) > 0 && slm_model_work_bytes(m, 0) == -1);
    slm_model_close(&m);
}

static void test_gradients_refused(void **state)
{
    (void)state;
    slm_model *m = model_at(rt, GOLDEN "/llama");
    slm_err err = {0};
    double loss;
    const char *out = scratch("grad.safetensors");
    static const int32_t good[] = {1, 2, 3}, bad[] = {1, 64, 3}, labels[] = {-100, -7, 2};
    assert_int_equal(slm_model_gradients(m, good, NULL, 1, out, &loss, &err), SLM_E_ARG);
    assert_int_equal(slm_model_gradients(m, bad, NULL, 3, out, &loss, &err), SLM_E_ARG);
    assert_int_equal(slm_model_gradients(m, good, labels, 3, out, &loss, &err), SLM_E_ARG);
    assert_true(slm_model_gradients(m, good, NULL, 3, scratch("no/where"), &loss, &err) < 0);
    assert_false(slm_path_is_file(out));
    slm_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_cut_config),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_more_tensors),
        cmocka_unit_test(test_cut_weights),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_cut_gguf),
        cmocka_unit_test(test_llama2c),
        cmocka_unit_test(test_no_model),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_gradients_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
