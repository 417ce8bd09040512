/* float32 to blocks by search, on any machine. */
#include "kernels/vec_plain.h"
#include "kernels/quantize_lanes.h"

#include "kernels/quantize_block_body.h"

void slm_kern_fill_quantize_generic(struct slm_kern *k) { fill_quantize_block(k); }
