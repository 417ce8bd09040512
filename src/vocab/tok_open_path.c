/* A tokenizer file by what its bytes look like, and by path. */
#include "vocab/tok_open.h"

#include <string.h>

#define FILE_MAX ((size_t)256 << 20)

/* Does the text begin with an object? */
static bool is_json(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && (s[i] == ' ' || s[i] == '\n' || s[i] == '\r' || s[i] == '\t'))
        i++;
    return i < n && s[i] == '{';
}

/* "base64 number" on the first line. */
static bool is_ranks(const char *s, size_t n)
{
    size_t i = 0, digits = 0;
    while (i < n && i < 4096 && s[i] > ' ')
        i++;
    if (!i || i >= n || s[i] != ' ')
        return false;
    for (i++; i < n && s[i] >= '0' && s[i] <= '9'; i++)
        digits++;
    return digits && (i == n || s[i] == '\n' || s[i] == '\r');
}

int slm_tok_open_mem(slm_tokenizer **out, slm_runtime *rt, const char *s, size_t n,
                     const char *name, slm_err *err)
{
    *out = NULL;
    if (!n)
        return slm_fail(err, SLM_E_FORMAT, "%s: an empty file is no tokenizer", name);
    if (n > FILE_MAX)
        return slm_fail(err, SLM_E_LIMIT, "%s: %zu bytes are too many for a tokenizer", name,
                        n);
    if (is_json(s, n)) /* tokenizer.json or tekken.json */
        return slm_tok_open_json(out, rt, s, n, name, err);
    if (is_ranks(s, n))
        return slm_tok_open_tiktoken(out, rt, s, n, name, err);
    if (slm_str_ends(name, ".json"))
        return slm_tok_open_json(out, rt, s, n, name, err);
    if (slm_str_ends(name, ".bin"))
        return slm_tok_open_bin(out, rt, s, n, name, err);
    if (s[0] == '\n' || slm_str_ends(name, ".model"))
        return slm_tok_open_spm(out, rt, s, n, name, err);
    return slm_tok_open_bin(out, rt, s, n, name, err);
}

int slm_tok_open_path(slm_tokenizer **out, slm_runtime *rt, const char *path, slm_err *err)
{
    *out = NULL;
    if (slm_path_is_dir(path))
        return slm_tok_open_dir(out, rt, path, err);
    struct slm_map map;
    int rc = slm_map_open(&map, path, err);
    if (rc)
        return rc;
    rc = slm_tok_open_mem(out, rt, (const char *)map.data, map.size, path, err);
    rc = rc ? rc : slm_tok_finish(*out, err);
    if (rc)
        slm_tokenizer_close(out);
    slm_map_close(&map);
    return rc;
}

int slm_tok_new_json(slm_tokenizer **out, slm_runtime *rt, const char *s, size_t n,
                     const char *name, slm_err *err)
{
    int rc = slm_tok_open_json(out, rt, s, n, name, err);
    rc = rc ? rc : slm_tok_finish(*out, err);
    if (rc)
        slm_tokenizer_close(out);
    return rc;
}
