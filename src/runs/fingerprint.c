/* Fingerprints of model files. A model of gigabytes would take longer to read than many a run
 * lasts to begin, so big files are sampled: all that training, converting or quantising changes
 * is spread over the whole file, and header and size are always in. */
#include "slm/runs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define WHOLE ((size_t)16 << 20)
#define ENDS ((size_t)1 << 20)
#define PIECE ((size_t)1 << 16)
enum { PIECES = 256, MOST_FILES = 4096 };

static int put_file(struct slm_sha256 *h, const char *path, const char *name, slm_err *err)
{
    struct slm_map m;
    int rc = slm_map_open(&m, path, err);
    if (rc)
        return rc;
    uint64_t size = m.size;
    slm_sha256_put(h, name, strlen(name) + 1);
    for (int i = 0; i < 8; i++)
        slm_sha256_put(h, &(uint8_t){(uint8_t)(size >> 8 * i)}, 1);
    if (m.size <= WHOLE) {
        if (m.size)
            slm_sha256_put(h, m.data, m.size);
    } else {
        size_t room = m.size - PIECE;
        slm_sha256_put(h, m.data, ENDS);
        for (size_t i = 1; i <= PIECES; i++) {
            slm_sha256_put(h, m.data + room / (PIECES + 1) * i, PIECE);
            slm_map_forget(m.data, m.size); /* else it counts as this process's memory */
        }
        slm_sha256_put(h, m.data + m.size - ENDS, ENDS);
    }
    slm_map_close(&m);
    return 0;
}

struct names {
    struct slm_arena arena;
    char **v;
    size_t n, cap;
    bool full;
};

static bool counts(const char *name)
{
    static const char *const ends[] = {".safetensors", ".gguf", ".bin", "config.json"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (slm_str_ends(name, ends[i]))
            return true;
    return false;
}

static bool take_name(void *arg, const char *name)
{
    struct names *l = arg;
    if (!counts(name) || l->n == MOST_FILES)
        return true;
    char *s = slm_arena_strdup(&l->arena, name);
    l->full =
        !s || slm_grow(l->arena.rt, SLM_MEM_RUNS, (void **)&l->v, l->n, &l->cap, sizeof *l->v);
    if (!l->full)
        l->v[l->n++] = s;
    return !l->full;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int put_folder(struct slm_sha256 *h, slm_runtime *rt, const char *path, slm_err *err)
{
    struct names l = {0};
    struct slm_buf file;
    slm_arena_init(&l.arena, rt, SLM_MEM_RUNS);
    slm_buf_init(&file, rt, SLM_MEM_RUNS, 65536);
    int rc = slm_dir_each(path, take_name, &l, err);
    if (!rc && l.full)
        rc = slm_fail_mem(err, path, sizeof *l.v);
    if (!rc && !l.n)
        rc = slm_fail(err, SLM_E_NOTFOUND, "%s: no model files in this folder", path);
    if (!rc)
        qsort(l.v, l.n, sizeof *l.v, by_name);
    for (size_t i = 0; !rc && i < l.n; i++) {
        slm_path_join(&file, path, l.v[i]);
        rc = slm_buf_check(&file, path, err);
        if (!rc)
            rc = put_file(h, file.s, l.v[i], err);
    }
    slm_buf_release(&file);
    slm_free(rt, l.v);
    slm_arena_release(&l.arena);
    return rc;
}

int slm_fingerprint(char out[65], slm_runtime *rt, const char *path, slm_err *err)
{
    struct slm_sha256 h;
    slm_sha256_init(&h);
    int rc =
        slm_path_is_dir(path) ? put_folder(&h, rt, path, err) : put_file(&h, path, "", err);
    slm_sha256_hex(&h, out);
    if (rc)
        out[0] = 0;
    return rc;
}
