/* Fuzz target: a base file of either form. What opens must give every id and row, or say why
 * not. */
#include "fuzz/fuzz_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slm_base *b = NULL;
    slm_base_info i;
    slm_mem_stats before, after;
    slm_err err = {0};
    fuzz_runtime();
    slm_runtime_memory(rt, &before);
    int rc = slm_base_open(&b, rt, fuzz_file(data, size), &err);
    CHECK(rc ? !b && err.code == rc && err.msg[0] : !!b);
    if (!rc) {
        slm_base_info_get(b, &i);
        float *row = i.vocab < 1 << 20 ? malloc((size_t)i.vocab * sizeof *row) : NULL;
        for (uint64_t k = 0; k < i.n_ids; k++)
            (void)slm_base_id(b, k);
        for (uint64_t k = 0; k < i.n_rows && row; k++) {
            slm_divergence *d = NULL;
            if (!slm_base_row(b, k, row, &err) && !slm_divergence_new(&d, rt, i.vocab, &err))
                (void)slm_divergence_add(d, row, SLM_BASE_LOG_PROBS, row, 0, &err);
            slm_divergence_free(d);
        }
        free(row);
    }
    slm_base_close(&b);
    slm_runtime_memory(rt, &after);
    CHECK(before.blocks == after.blocks && before.bytes == after.bytes);
    return 0;
}
