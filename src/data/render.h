/* Private to the room: examples to text with learnt parts, and that to tokens. */
#ifndef SLM_DATA_RENDER_H
#define SLM_DATA_RENDER_H

#include "data/data.h"

/* Bytes [from, to) of a text are what the model is to say. */
struct learnt {
    size_t from, to;
};

/* A text with its learnt parts in order; kept and used again by one thread. */
struct rendering {
    slm_runtime *rt;
    struct slm_buf text;
    struct learnt *part;
    size_t n, cap;
    bool chat; /* by the template: special tokens are spelled in it, bos too */
};

struct encoding {
    slm_runtime *rt;
    slm_ids ids;
    uint8_t *learn; /* (ids.len) */
    size_t cap_learn;
    size_t *start; /* (ids.len + 1) scratch */
    size_t cap_start;
    int open_turns; /* learnt parts of a chat without an end-of-turn token behind */
};

struct renderer {
    slm_runtime *rt;
    const slm_tokenizer *tok;
    const slm_template *tmpl; /* NULL: texts as they are */
    enum slm_train_on train_on;
    bool add_eos;
    int64_t now;
};

/* One conversation, prompt with answer, or text: side 0 or 1 of e. Fills `to`, or e->loss. */
int slm_render(const struct renderer *r, struct slm_example *e, int side, struct rendering *to,
               slm_err *err);
int slm_encode(const struct renderer *r, const struct rendering *from, struct encoding *to,
               slm_err *err);
/* Does a message's text spell a special token? */
bool slm_spells_special(const slm_tokenizer *t, const char *s, size_t n);

void slm_rendering_init(struct rendering *x, slm_runtime *rt);
void slm_rendering_release(struct rendering *x);
void slm_encoding_release(struct encoding *x);

#endif
