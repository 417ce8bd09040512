/* Two words to the compiler, for the *_body.h files: small loops that must be unrolled so that
 * their arrays live in registers, and functions whose constant arguments must fold. */
#ifndef SLM_KERN_BODY_H
#define SLM_KERN_BODY_H

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define FOLD static inline __attribute__((always_inline))

#endif
