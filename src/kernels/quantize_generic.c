/* float32 to blocks by search, on any machine: the truth for the other levels, which give the
 * same bits. */
#include "kernels/vec_plain.h"
#include "kernels/quantize_lanes.h"

#include "kernels/quantize_block_body.h"
#include "kernels/quantize_k_body.h"
#include "kernels/quantize_shared_body.h"

void slm_kern_fill_quantize_generic(struct slm_kern *k)
{
    fill_quantize_block(k);
    fill_quantize_k(k);
    fill_quantize_shared(k);
}
