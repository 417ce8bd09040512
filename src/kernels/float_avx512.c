/* The float kernels with AVX-512 (F, BW, VL, DQ): sixteen lanes. */
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/body.h"
#include "kernels/fast.h"
#include "kernels/kern_fill.h"
#include "kernels/vec_avx512.h"

#define XR 6 /* activation rows of a tile: as many as there are registers for */

#include "kernels/elem_body.h"
#include "kernels/back_body.h"
#include "kernels/quant_body.h"
#include "kernels/mul_body.h"
#include "kernels/rows_body.h"
#include "kernels/attn_body.h"

slm_to_f32_fn *slm_to_f32_avx512(enum slm_dtype t) { return to_f32_of(t); }

void slm_kern_fill_avx512(struct slm_kern *k)
{
    fill_elem(k);
    fill_back(k);
    fill_quant(k);
    fill_mul(k);
    k->add_rows = add_rows;
    k->transpose = transpose;
    fill_attn(k);
}
