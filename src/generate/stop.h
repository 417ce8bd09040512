/* Stop strings in a stream: text goes in as tokens give it and comes out as soon as it cannot
 * be part of a stop string any more. Private to the room. */
#ifndef SLM_GENERATE_STOP_H
#define SLM_GENERATE_STOP_H

#include <stdbool.h>

#include "base/base.h"

struct slm_stops {
    const char *const *list; /* borrowed */
    int n;
    struct slm_buf held;     /* not yet given out; [0, out) may go */
    size_t out;
    bool hit;                /* a stop string was met: nothing behind it comes out */
    int which;               /* its index */
};

/* Takes the memory that a stream needs. Errors: SLM_E_ARG (an empty string), SLM_E_NOMEM. */
int slm_stops_init(struct slm_stops *s, slm_runtime *rt, const char *const *list, int n,
                   slm_err *err);
void slm_stops_release(struct slm_stops *s);

/* Adds text; afterwards held.s[0..out) may be given out. */
int slm_stops_feed(struct slm_stops *s, const char *text, size_t n, slm_err *err);
/* Everything held may go: no more text follows. */
void slm_stops_end(struct slm_stops *s);
/* What could go has gone. */
void slm_stops_taken(struct slm_stops *s);

#endif
