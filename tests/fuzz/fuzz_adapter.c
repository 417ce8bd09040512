/* Fuzz target: an adapter's folder or file for a model that stays. The first byte chooses: p a
 * PEFT folder, 'm' an MLX folder, 'g' a GGUF file. A folder's configuration goes to the first
 * NUL byte, its tensors follow. What opens must come through writing and reading again. */
#include "fuzz/fuzz_kit.h"

#include "adapter/adapter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64];
static slm_model *model;
static const char *const files[] = {"adapter_config.json", "adapter_model.safetensors",
                                    "adapters.safetensors", "a.gguf"};

static void clear(void)
{
    char path[160];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
}

static void leave(void)
{
    clear();
    rmdir(folder);
    slm_model_close(&model);
}

static void open_once(void)
{
    slm_err err = {0};
    slm_model_opts o = {.no_tokenizer = 1};
    fuzz_runtime();
    strcpy(folder, "/tmp/slm-fuzz-adapter-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    CHECK(slm_model_open(&model, rt, "tests/golden/llama", &o, &err) == 0);
    atexit(leave);
}

static void put(int which, const uint8_t *p, size_t n)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, files[which]);
    FILE *f = fopen(path, "wb");
    CHECK(f != NULL);
    CHECK(fwrite(p, 1, n, f) == n);
    CHECK(fclose(f) == 0);
}

static void try_again(const slm_adapter *a)
{
    char path[160];
    slm_err err = {0};
    slm_adapter *b = NULL;
    slm_adapter_info i, k;
    slm_adapter_save_opts o = {.gguf = 1};
    snprintf(path, sizeof path, "%s/%s", folder, files[3]);
    slm_adapter_info_get(a, &i);
    if (slm_adapter_save(a, path, &o, &err))
        return;
    CHECK(slm_adapter_open(&b, model, path, &err) == 0 || err.code == SLM_E_NUMERIC);
    if (b) {
        slm_adapter_info_get(b, &k);
        CHECK(k.params >= i.params - i.params / 2);
    }
    slm_adapter_close(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[160];
    slm_err err = {0};
    slm_adapter *a = NULL;
    slm_adapter_peek k;
    if (!model)
        open_once();
    if (size < 1)
        return 0;
    clear();
    const uint8_t *nul = memchr(data, 0, size);
    bool gguf = data[0] == 'g';
    size_t n = nul ? (size_t)(nul - data) : size;
    if (gguf) {
        put(3, data + 1, size - 1);
    } else {
        put(0, data + 1, n > 1 ? n - 1 : 0);
        put(data[0] == 'm' ? 2 : 1, nul ? nul + 1 : data, nul ? size - n - 1 : 0);
    }
    snprintf(path, sizeof path, gguf ? "%s/a.gguf" : "%s", folder);
    slm_adapter_peek_at(rt, path, &k, &err);
    slm_adapter_is(path);
    if (slm_adapter_open(&a, model, path, &err) == 0)
        try_again(a);
    slm_adapter_close(&a);
    return 0;
}
