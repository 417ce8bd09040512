/* Labels that stand as a list in a text: "one of: a, b or c", lines with bullets, quoted words.
 * Private to the room. */
#ifndef SLM_CORPUS_OFFER_TEXT_H
#define SLM_CORPUS_OFFER_TEXT_H

#include "base/base.h"

/* Does the label stand in the text as an element of a list? */
bool slm_text_offers(const char *s, size_t n, const char *label, size_t n_label);
/* The text with each of those places taken by `other`, or (NULL) without them and what parted
 * them from their neighbours. */
void slm_text_withdraw(struct slm_buf *out, const char *s, size_t n, const char *label,
                       size_t n_label, const char *other);

#endif
