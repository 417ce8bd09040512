/* Fuzz target: an importance matrix in either form, from memory. What opens is merged with
 * itself, asked for its means, and written in both forms. */
#include "fuzz/fuzz_kit.h"

#include "compress/importance.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(slm_imatrix *im)
{
    slm_err err = {0};
    for (size_t i = 0; i < im->n; i++) {
        const struct slm_importance *e = &im->entry[i];
        size_t n = (size_t)e->parts * (size_t)e->cols;
        float *w = malloc(n * sizeof *w);
        CHECK(w && slm_imatrix_find(im, e->name) == e);
        slm_importance_means(e, w);
        for (size_t j = 0; j < n; j++)
            CHECK(w[j] >= 0);
        free(w);
    }
    slm_imatrix *sum = NULL;
    CHECK(slm_imatrix_new(&sum, rt, &err) == 0);
    CHECK(slm_imatrix_merge(sum, im, &err) == 0 && slm_imatrix_merge(sum, im, &err) == 0);
    CHECK(sum->n == im->n);
    slm_imatrix_close(&sum);
    for (int dat = 0; dat < 2; dat++)
        (void)slm_imatrix_save(im, "/dev/shm/slm-fuzz-imatrix", dat, &err);
    unlink("/dev/shm/slm-fuzz-imatrix");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slm_imatrix *im = NULL;
    slm_mem_stats before, after;
    slm_err err = {0};
    fuzz_runtime();
    slm_runtime_memory(rt, &before);
    int rc = slm_imatrix_open_mem(&im, rt, data, size, "fuzz", &err);
    CHECK(rc ? !im && err.code == rc && err.msg[0] : !!im);
    if (!rc)
        use(im);
    slm_imatrix_close(&im);
    slm_runtime_memory(rt, &after);
    CHECK(before.blocks == after.blocks && before.bytes == after.bytes);
    return 0;
}
