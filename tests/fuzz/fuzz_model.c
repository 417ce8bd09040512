/* Fuzz target: a whole GGUF model (or llama2.c file) from bytes: opened, bound and run for a
 * few tokens where it opens. */
#include "fuzz/fuzz_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_runtime();
    fuzz_model(fuzz_file(data, size));
    return 0;
}
