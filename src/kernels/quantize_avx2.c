/* float32 to blocks by search with AVX2: eight lanes, the bits of quantize_generic.c. */
#include <immintrin.h>
#include <string.h>

#include "kernels/body.h"
#include "kernels/kern_fill.h"
#include "kernels/vec_avx2.h"
#include "kernels/quantize_lanes.h"

#include "kernels/quantize_block_body.h"
#include "kernels/quantize_k_body.h"
#include "kernels/quantize_shared_body.h"

void slm_kern_fill_quantize_avx2(struct slm_kern *k)
{
    fill_quantize_block(k);
    fill_quantize_k(k);
    fill_quantize_shared(k);
}
