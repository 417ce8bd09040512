/* UTF-8 and Unicode: the one place that knows utf8proc. */
#ifndef SLM_BASE_UTF8_H
#define SLM_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

/* Decodes the character at s (n > 0 bytes left): its length in bytes, *cp the code point. For
 * bytes that are no UTF-8: *cp = -1 and the length of the maximal subpart (one U+FFFD each). */
int slm_utf8_next(const char *s, size_t n, int32_t *cp);
/* Writes cp to out[4]; length 1-4. Code points that do not exist are written as U+FFFD. */
int slm_utf8_put(char *out, int32_t cp);
bool slm_utf8_valid(const char *s, size_t n);
/* Appends s with every ill-formed part as U+FFFD. */
void slm_utf8_clean(struct slm_buf *b, const char *s, size_t n);
/* Bytes at the end of s that start a character not yet whole (0-3). */
size_t slm_utf8_partial(const char *s, size_t n);
/* Characters in s (ill-formed parts count one each). */
size_t slm_utf8_count(const char *s, size_t n);

enum slm_utf8_form { SLM_NFC, SLM_NFD, SLM_NFKC, SLM_NFKD };
/* Appends the normal form of s (valid UTF-8). */
int slm_utf8_normalize(struct slm_buf *b, const char *s, size_t n, enum slm_utf8_form form,
                       slm_err *err);

/* General category as its two letters: "Lu", "Nd" ...; "Cn" for what does not exist. */
const char *slm_utf8_category(int32_t cp);
int32_t slm_utf8_lower(int32_t cp);
int32_t slm_utf8_upper(int32_t cp);
int32_t slm_utf8_title(int32_t cp);
/* Bytes of the first extended grapheme cluster of s (n > 0). */
size_t slm_utf8_grapheme(const char *s, size_t n);

bool slm_utf8_space(int32_t cp); /* the White_Space property */

#endif
