/* Fuzz target: config.json of a model folder, beside tensors that stay. The first byte chooses
 * whose tensors, by a letter of the list below. */
#include "fuzz/fuzz_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const models[] = {"llama",
                                     "mistral",
                                     "mixtral",
                                     "ministral3-wrapped",
                                     "phi3",
                                     "phi3-longrope",
                                     "gemma",
                                     "gemma2",
                                     "gemma3",
                                     "qwen2-yarn",
                                     "qwen3",
                                     "stablelm",
                                     "stablelm-parallel"};
#define MODELS (sizeof models / sizeof *models)
static char folder[64];

static void leave(void)
{
    char path[160];
    for (size_t i = 0; i < MODELS; i++) {
        snprintf(path, sizeof path, "%s/%zu/model.safetensors", folder, i);
        unlink(path);
        snprintf(path, sizeof path, "%s/%zu/config.json", folder, i);
        unlink(path);
        snprintf(path, sizeof path, "%s/%zu", folder, i);
        rmdir(path);
    }
    rmdir(folder);
}

static void open_once(void)
{
    char from[512], to[160], cwd[256];
    fuzz_runtime();
    strcpy(folder, "/tmp/slm-fuzz-config-XXXXXX");
    CHECK(mkdtemp(folder) && getcwd(cwd, sizeof cwd));
    for (size_t i = 0; i < MODELS; i++) {
        slm_err err;
        snprintf(to, sizeof to, "%s/%zu", folder, i);
        CHECK(slm_dir_make(to, &err) == 0);
        snprintf(from, sizeof from, "%s/tests/golden/%s/model.safetensors", cwd, models[i]);
        snprintf(to, sizeof to, "%s/%zu/model.safetensors", folder, i);
        CHECK(symlink(from, to) == 0);
        CHECK(access(to, R_OK) == 0);
    }
    atexit(leave);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char dir[96], path[160];
    if (!rt)
        open_once();
    if (size < 1)
        return 0;
    snprintf(dir, sizeof dir, "%s/%zu", folder, *data % MODELS);
    snprintf(path, sizeof path, "%s/config.json", dir);
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(data + 1, 1, size - 1, f) == size - 1);
    fclose(f);
    fuzz_model(dir);
    return 0;
}
