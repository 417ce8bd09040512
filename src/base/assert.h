/* Broken promises of our own callers. SLM_ASSERT stays on in cold code; SLM_DASSERT is for
 * debug builds. Neither may depend on data from outside: that is slm_fail's. */
#ifndef SLM_BASE_ASSERT_H
#define SLM_BASE_ASSERT_H

_Noreturn void slm_assert_fail(const char *what, const char *file, int line);

#define SLM_ASSERT(x) ((x) ? (void)0 : slm_assert_fail(#x, __FILE__, __LINE__))
#ifdef SLM_DEBUG
#define SLM_DASSERT(x) SLM_ASSERT(x)
#else
#define SLM_DASSERT(x) ((void)sizeof(x))
#endif

#endif
