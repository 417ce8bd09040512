/* The families: one row each. This is the only table of code where their names stand;
 * everything else asks for traits. */
#include "model/family.h"

#include <string.h>

/* clang-format off: a table reads by rows */
const struct slm_family slm_families[] = {
    {.name = "llama", .hf = {"llama"}, .arch = {"LlamaForCausalLM"}, .gguf = "llama",
     .norm = SLM_NORM_RMS, .act = SLM_ACT_SILU, .gguf_pairs = true,
     .chat = {"llama3", "chatml", "llama2"}},
    {.name = "mistral", .hf = {"mistral"}, .arch = {"MistralForCausalLM"}, .gguf = "llama",
     .norm = SLM_NORM_RMS, .act = SLM_ACT_SILU, .window = SLM_WIN_ALL, .gguf_pairs = true,
     .chat = {"mistral"}},
    {.name = "mixtral", .hf = {"mixtral"}, .arch = {"MixtralForCausalLM"}, .gguf = "llama",
     .norm = SLM_NORM_RMS, .act = SLM_ACT_SILU, .window = SLM_WIN_ALL, .moe = true,
     .rope_base = 1e6f, .gguf_pairs = true, .chat = {"mistral"}},
    {.name = "ministral3", .hf = {"ministral3"},
     .arch = {"Ministral3ForCausalLM", "Mistral3ForConditionalGeneration"}, .gguf = "mistral3",
     .norm = SLM_NORM_RMS, .act = SLM_ACT_SILU, .window = SLM_WIN_ALL, .gguf_pairs = true,
     .chat = {"ministral3"}},
    {.name = "phi3", .hf = {"phi3"}, .arch = {"Phi3ForCausalLM"}, .gguf = "phi3",
     .norm = SLM_NORM_RMS, .act = SLM_ACT_SILU, .window = SLM_WIN_ALL,
     .fuse = SLM_FUSE_QKV_AND_GATE_UP, .chat = {"phi3"}},
    {.name = "gemma", .hf = {"gemma"}, .arch = {"GemmaForCausalLM"}, .gguf = "gemma",
     .norm = SLM_NORM_RMS, .act = SLM_ACT_GELU_TANH, .embed_scale = true, .norm_shift = 1,
     .chat = {"gemma"}},
    {.name = "gemma2", .hf = {"gemma2"}, .arch = {"Gemma2ForCausalLM"}, .gguf = "gemma2",
     .norm = SLM_NORM_RMS, .act = SLM_ACT_GELU_TANH, .resid = SLM_RESID_SANDWICH,
     .window = SLM_WIN_EVEN, .embed_scale = true, .query_scalar = true, .norm_shift = 1,
     .silent.window = 4096, .chat = {"gemma"}},
    {.name = "gemma3", .hf = {"gemma3_text", "gemma3"},
     .arch = {"Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"}, .gguf = "gemma3",
     .norm = SLM_NORM_RMS, .act = SLM_ACT_GELU_TANH, .resid = SLM_RESID_SANDWICH,
     .qk_norm = SLM_QK_SHARED, .window = SLM_WIN_FIVE_OF_SIX, .embed_scale = true,
     .query_scalar = true, .norm_shift = 1, .rope_base = 1e6f,
     .silent = {8, 4, 256, 131072, 4096, 1e-6f}, .chat = {"gemma"}},
    {.name = "qwen2", .hf = {"qwen2"}, .arch = {"Qwen2ForCausalLM"}, .gguf = "qwen2",
     .norm = SLM_NORM_RMS, .act = SLM_ACT_SILU, .window = SLM_WIN_UPPER, .bias_qkv = true,
     .chat = {"chatml"}},
    {.name = "qwen3", .hf = {"qwen3"}, .arch = {"Qwen3ForCausalLM"}, .gguf = "qwen3",
     .norm = SLM_NORM_RMS, .act = SLM_ACT_SILU, .qk_norm = SLM_QK_SHARED,
     .window = SLM_WIN_UPPER, .chat = {"chatml"}},
    {.name = "stablelm", .hf = {"stablelm", "stablelm_epoch"},
     .arch = {"StableLmForCausalLM", "StableLMEpochForCausalLM"}, .gguf = "stablelm",
     .norm = SLM_NORM_LAYER, .act = SLM_ACT_SILU, .resid = SLM_RESID_EITHER,
     .qk_norm = SLM_QK_OWN, .rot_share = 0.25f, .chat = {"chatml", "stablelm"}},
};
/* clang-format on */
const int slm_family_count = sizeof slm_families / sizeof *slm_families;

static bool listed(const char *const *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n && list[i]; i++)
        if (!strcmp(list[i], name))
            return true;
    return false;
}

const struct slm_family *slm_family_find_hf(const char *model_type, const char *architecture)
{
    for (int i = 0; i < slm_family_count; i++) {
        const struct slm_family *f = &slm_families[i];
        if (model_type ? listed(f->hf, 4, model_type)
                       : architecture && listed(f->arch, 2, architecture))
            return f;
    }
    return NULL;
}

const struct slm_family *slm_family_find_gguf(const char *architecture, bool experts)
{
    for (int i = 0; i < slm_family_count; i++)
        if (!strcmp(slm_families[i].gguf, architecture) && slm_families[i].moe == experts)
            return &slm_families[i];
    return NULL;
}

void slm_family_names(struct slm_buf *out)
{
    for (int i = 0; i < slm_family_count; i++)
        slm_buf_printf(out, "%s%s", i ? ", " : "", slm_families[i].name);
}
