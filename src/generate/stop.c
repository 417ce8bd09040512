/* Stop strings. The text held back is never longer than the longest stop string, so plain
 * search over it is cheap; of several strings in one text the one that begins first wins, then
 * the longer (llama.cpp's and OpenAI's order where they say one). */
#include "generate/stop.h"

#include <string.h>

enum {
    PIECE_BYTES = 512
}; /* more than a token spells, so that the buffer is there from the start */

int slm_stops_init(struct slm_stops *s, slm_runtime *rt, const char *const *list, int n,
                   slm_err *err)
{
    size_t room = PIECE_BYTES;
    *s = (struct slm_stops){.list = list, .n = n, .which = -1};
    slm_buf_init(&s->held, rt, SLM_MEM_GENERATE, SIZE_MAX / 4);
    for (int i = 0; i < n; i++) {
        if (!list[i][0])
            return slm_fail(err, SLM_E_ARG, "stop string %d is empty", i + 1);
        room += strlen(list[i]);
    }
    for (size_t i = 0; i < room; i++)
        slm_buf_putc(&s->held, ' ');
    int code = slm_buf_check(&s->held, "stop strings", err);
    slm_buf_reset(&s->held);
    return code;
}

void slm_stops_release(struct slm_stops *s)
{
    slm_buf_release(&s->held);
}

/* Where the first stop string begins in the text held, or -1. */
static long find_stop(struct slm_stops *s)
{
    const char *best = NULL;
    for (int i = 0; i < s->n; i++) {
        size_t len = strlen(s->list[i]);
        const char *p = memmem(s->held.s, s->held.n, s->list[i], len);
        if (p && (!best || p < best || (p == best && len > strlen(s->list[s->which])))) {
            best = p;
            s->which = i;
        }
    }
    return best ? (long)(best - s->held.s) : -1;
}

/* Bytes at the end that a stop string may begin with. */
static size_t may_begin(const struct slm_stops *s)
{
    size_t most = 0;
    for (int i = 0; i < s->n; i++) {
        size_t len = strlen(s->list[i]), k = len - 1 < s->held.n ? len - 1 : s->held.n;
        while (k > most && memcmp(s->held.s + s->held.n - k, s->list[i], k) != 0)
            k--;
        most = k > most ? k : most;
    }
    return most;
}

int slm_stops_feed(struct slm_stops *s, const char *text, size_t n, slm_err *err)
{
    if (s->hit)
        return 0;
    slm_buf_put(&s->held, text, n);
    int code = slm_buf_check(&s->held, "text", err);
    if (code)
        return code;
    long at = find_stop(s);
    s->hit = at >= 0;
    s->out = s->hit ? (size_t)at : s->held.n - may_begin(s);
    return 0;
}

void slm_stops_end(struct slm_stops *s)
{
    if (!s->hit)
        s->out = s->held.n;
}

void slm_stops_taken(struct slm_stops *s)
{
    size_t left = s->held.n - s->out;
    if (s->out && left)
        memmove(s->held.s, s->held.s + s->out, left);
    s->held.n = left;
    if (s->held.s && s->held.cap)
        s->held.s[left] = 0;
    s->out = 0;
}
