/* Opening an adapter: which of the three kinds it is, told by the files that are there. */
#include "adapter/adapter_in.h"

#include <stdio.h>
#include <string.h>

static bool has(const char *dir, const char *name)
{
    char path[4096];
    return snprintf(path, sizeof path, "%s/%s", dir, name) < (int)sizeof path &&
           slm_path_is_file(path);
}

static const char *kind_of(const char *path)
{
    if (!slm_path_is_dir(path))
        return "gguf";
    return has(path, "adapters.safetensors") ? "mlx" : "peft";
}

static int read_file(slm_adapter *a, slm_err *err)
{
    struct slm_map m;
    const char *path = a->file->path;
    if (!strcmp(a->file->kind, "mlx"))
        return slm_mlx_read(a, path, err);
    if (!strcmp(a->file->kind, "peft"))
        return has(path, "adapter_config.json")
                   ? slm_peft_read(a, path, err)
                   : slm_fail(err, SLM_E_NOTFOUND,
                              "%s: no adapter_config.json: not an adapter's folder", path);
    int rc = slm_map_open(&m, path, err);
    if (rc)
        return rc;
    bool gguf = m.size >= 4 && !memcmp(m.data, "GGUF", 4);
    slm_map_close(&m);
    if (!gguf)
        return slm_fail(err, SLM_E_FORMAT,
                        "%s: not a GGUF adapter; a PEFT or MLX adapter is given as its folder",
                        path);
    return slm_gguf_adapter_read(a, path, err);
}

int slm_adapter_open(slm_adapter **out, const slm_model *m, const char *path, slm_err *err)
{
    slm_adapter *a;
    int rc = slm_adapter_begin(&a, m, path, kind_of(path), err);
    if (rc)
        return rc;
    rc = read_file(a, err);
    if (rc)
        slm_adapter_close(&a);
    else
        *out = a;
    return rc;
}

int slm_adapter_is(const char *path)
{
    struct slm_map m;
    if (slm_path_is_dir(path))
        return has(path, "adapter_config.json") && !has(path, "config.json");
    if (slm_map_open(&m, path, NULL))
        return 0;
    /* the key's value among the first bytes: a model's file says "model" there */
    static const char word[] = "adapter.type";
    size_t n = m.size < 65536 ? m.size : 65536;
    bool is = n >= 4 && !memcmp(m.data, "GGUF", 4);
    bool found = false;
    for (size_t i = 0; is && !found && i + strlen(word) <= n; i++)
        found = !memcmp(m.data + i, word, strlen(word));
    slm_map_close(&m);
    return found;
}

void slm_adapter_save_opts_init(slm_adapter_save_opts *o) { *o = (slm_adapter_save_opts){0}; }

int slm_adapter_save(const slm_adapter *a, const char *path, const slm_adapter_save_opts *o,
                     slm_err *err)
{
    static const slm_adapter_save_opts none;
    o = o ? o : &none;
    return o->gguf ? slm_gguf_adapter_write(a, path, o, err) : slm_peft_write(a, path, o, err);
}
