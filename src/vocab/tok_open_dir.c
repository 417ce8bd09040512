/* The tokenizer of a model folder: the first of the known files that is there, with what the
 * folder's other files say of it. */
#include "vocab/tok_dir.h"

#include <stdio.h>
#include <string.h>

static const char *const files[] = {
    "tokenizer.json", "tekken.json",         "tokenizer.model",    "qwen.tiktoken",
    "tiktoken.model", "arcade100k.tiktoken", "tokenizer.tiktoken",
};

/* On the stack, since a yes or no cannot say that memory ran out; the system takes no longer
 * path. */
static bool there(const char *dir, const char *name)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    return n > 0 && (size_t)n < sizeof path && slm_path_is_file(path);
}

static const char *pick(const char *dir)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (there(dir, files[i]))
            return files[i];
        if (!i && there(dir, "vocab.json") && there(dir, "merges.txt"))
            return "vocab.json";
    }
    return NULL;
}

bool slm_tok_dir_has(slm_runtime *rt, const char *dir)
{
    (void)rt;
    return pick(dir) != NULL;
}

static int open_file(slm_tokenizer **out, slm_runtime *rt, const char *dir, const char *name,
                     slm_err *err)
{
    struct slm_buf path;
    struct slm_map map;
    slm_buf_init(&path, rt, SLM_MEM_TEXT, 65536);
    const char *p = slm_path_join(&path, dir, name);
    int rc = slm_buf_check(&path, "a path", err);
    if (!rc)
        rc = slm_map_open(&map, p, err);
    if (!rc) {
        rc = slm_tok_open_mem(out, rt, (const char *)map.data, map.size, p, err);
        slm_map_close(&map);
    }
    slm_buf_release(&path);
    return rc;
}

int slm_tok_open_dir(slm_tokenizer **out, slm_runtime *rt, const char *dir, slm_err *err)
{
    *out = NULL;
    const char *name = pick(dir);
    if (!name)
        return slm_fail(err, SLM_E_NOTFOUND,
                        "%s: no tokenizer (tokenizer.json, tokenizer.model, "
                        "vocab.json + merges.txt ...)",
                        dir);
    struct tok_facts f;
    int rc = slm_tok_facts_read(&f, rt, dir, err);
    if (!rc)
        rc = strcmp(name, "vocab.json") ? open_file(out, rt, dir, name, err)
                                        : slm_tok_open_vocab(out, rt, dir, &f, err);
    rc = rc ? rc : slm_tok_facts_apply(*out, &f, err);
    rc = rc ? rc : slm_tok_finish(*out, err);
    if (rc)
        slm_tokenizer_close(out);
    slm_tok_facts_release(&f);
    return rc;
}
