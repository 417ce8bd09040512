/* Split sets: the first part has the keys, the others are found beside it by the fixed form of
 * their names, never by a name that stands in a file. Tensors of all parts make one list. */
#include "format/gguf_in.h"

#include <stdio.h>
#include <string.h>

#define PARTS_MAX 99999
#define SUFFIX_LEN 20 /* "-00001-of-00003.gguf" */

static int part_number(const slm_gguf *g, const char *key, int lo, int *out, slm_err *err)
{
    return slm_gguf_int32(g, key, (struct slm_gguf_range){lo, PARTS_MAX, SLM_GGUF_REQUIRED},
                          out, err);
}

/* The name of part no (from 0): the first part's path with its number exchanged. */
static char *part_path(slm_gguf *g, int no, int count)
{
    size_t n = strlen(g->path) - SUFFIX_LEN;
    char *s = slm_arena_alloc(&g->arena, n + SUFFIX_LEN + 8);
    if (s)
        snprintf(s, n + SUFFIX_LEN + 8, "%.*s-%05d-of-%05d.gguf", (int)n, g->path, no + 1,
                 count);
    return s;
}

/* Opens part no and sees that it is what its name says. */
static int open_one(slm_gguf *g, int no, int count, slm_err *err)
{
    char *path = part_path(g, no, count);
    if (!path)
        return slm_fail_mem(err, g->path, 0);
    int rc = slm_gguf_open_part(&g->rest[no - 1], g->rt, path, err), no_said, count_said;
    if (rc == SLM_E_NOTFOUND)
        return slm_fail(err, rc, "%s: part %d of %d is missing: %s", g->path, no + 1, count,
                        path);
    if (rc)
        return rc;
    g->n_rest = no;
    const slm_gguf *p = g->rest[no - 1];
    if ((rc = part_number(p, "split.no", 0, &no_said, err)) ||
        (rc = part_number(p, "split.count", 1, &count_said, err)))
        return rc;
    if (no_said != no || count_said != count)
        return slm_fail(err, SLM_E_FORMAT, "%s: says it is part %d of %d", path, no_said + 1,
                        count_said);
    return 0;
}

/* One list of tensors out of all parts'. */
static int merge(slm_gguf *g, slm_err *err)
{
    size_t n = g->n_tensors;
    for (int i = 0; i < g->n_rest; i++)
        n += g->rest[i]->n_tensors;
    int64_t want = (int64_t)n;
    int rc = slm_gguf_int(g, "split.tensors.count",
                          (struct slm_gguf_range){0, SLM_ENTRIES_MAX, SLM_GGUF_OPTIONAL}, &want,
                          err);
    if (rc)
        return rc;
    if (n > SLM_ENTRIES_MAX || want != (int64_t)n)
        return slm_fail(err, SLM_E_FORMAT, "%s: %lld tensors are promised, its parts have %zu",
                        g->path, (long long)want, n);
    struct slm_tensor_ref *all =
        slm_realloc(g->rt, SLM_MEM_FORMAT, g->tensors, n * sizeof *all);
    if (!all)
        return slm_fail_mem(err, g->path, n * sizeof *all);
    g->tensors = all;
    for (int i = 0; i < g->n_rest; i++)
        for (size_t j = 0; j < g->rest[i]->n_tensors; j++) {
            all[g->n_tensors] = g->rest[i]->tensors[j];
            all[g->n_tensors++].part = i + 1;
        }
    const char *twice;
    g->tensor_names.items = all;
    g->tensor_names.n = n;
    if ((rc = slm_names_build(&g->tensor_names, g->rt, &twice, err)))
        return rc;
    return twice ? slm_fail(err, SLM_E_FORMAT, "%s: tensor %s is there twice", g->path, twice)
                 : 0;
}

static int open_rest(slm_gguf *g, slm_err *err)
{
    int count, no, rc = part_number(g, "split.count", 0, &count, err);
    if (rc || count <= 1)
        return rc;
    if ((rc = part_number(g, "split.no", 0, &no, err)))
        return rc;
    char suffix[32];
    snprintf(suffix, sizeof suffix, "-%05d-of-%05d.gguf", no + 1, count);
    if (!slm_str_ends(g->path, suffix))
        return slm_fail(err, SLM_E_FORMAT, "%s: is part %d of %d; its name must end in %s",
                        g->path, no + 1, count, suffix);
    if (no) {
        char *first = part_path(g, 0, count);
        return slm_fail(err, SLM_E_FORMAT, "%s: is part %d of %d; open the first: %s", g->path,
                        no + 1, count, first ? slm_path_base(first) : "part 1");
    }
    g->rest = slm_zalloc_n(g->rt, SLM_MEM_FORMAT, (size_t)count, sizeof(slm_gguf *));
    if (!g->rest)
        return slm_fail_mem(err, g->path, (size_t)count * sizeof(slm_gguf *));
    for (int i = 1; i < count && !rc; i++)
        rc = open_one(g, i, count, err);
    return rc ? rc : merge(g, err);
}

int slm_gguf_open(slm_gguf **out, slm_runtime *rt, const char *path, slm_err *err)
{
    int rc = slm_gguf_open_part(out, rt, path, err);
    if (!rc && slm_gguf_find(*out, "split.count") && (rc = open_rest(*out, err)))
        slm_gguf_close(out);
    return rc;
}
