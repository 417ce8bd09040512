/* Four lanes in the compiler's own vectors, for any machine: the few names of the vec_*.h
 * files that the quantisers are written in. */
#ifndef SLM_VEC_PLAIN_H
#define SLM_VEC_PLAIN_H

#include <stdint.h>
#include <string.h>

#define VN 4
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));

static inline vf vf_set1(float x) { return (vf){x, x, x, x}; }
static inline vf vf_zero(void) { return vf_set1(0); }
static inline vf vf_load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void vf_store(float *p, vf v) { memcpy(p, &v, sizeof v); }
static inline vf vf_add(vf a, vf b) { return a + b; }
static inline vf vf_sub(vf a, vf b) { return a - b; }
static inline vf vf_mul(vf a, vf b) { return a * b; }
static inline vf vf_div(vf a, vf b) { return a / b; }
/* x < y ? a : b */
static inline vf vf_if_less(vf x, vf y, vf a, vf b)
{
    vi m = x < y;
    return (vf)((m & (vi)a) | (~m & (vi)b));
}
static inline vf vf_max(vf a, vf b) { return vf_if_less(b, a, a, b); }
static inline vf vf_min(vf a, vf b) { return vf_if_less(a, b, a, b); }
static inline vf vf_abs(vf a) { return (vf)((vi)a & 0x7fffffff); }
/* a with the sign of s */
static inline vf vf_sign(vf a, vf s)
{
    return (vf)(((vi)a & 0x7fffffff) | ((vi)s & ~0x7fffffff));
}

#endif
