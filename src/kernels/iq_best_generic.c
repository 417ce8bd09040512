/* The search for the I types in plain C. */
#include "kernels/iq_best.h"
#include "kernels/kern_fill.h"

#include "kernels/iq_best_body.h"

void slm_kern_fill_iq_best_generic(struct slm_kern *k) { fill_iq_best(k); }
