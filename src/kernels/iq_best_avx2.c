/* The search for the I types, its loops built for AVX2: the very steps of the generic build, so
 * the same bytes. */
#include "kernels/iq_best.h"
#include "kernels/kern_fill.h"

#include "kernels/iq_best_body.h"

void slm_kern_fill_iq_best_avx2(struct slm_kern *k) { fill_iq_best(k); }
