/* Private to the room: what the parts of example.c share. */
#ifndef SLM_DATA_EXAMPLE_H
#define SLM_DATA_EXAMPLE_H

#include "data/data.h"

struct example_job {
    slm_runtime *rt;
    struct slm_example *e;
    const slm_json *row;
    const struct slm_example_opts *o;
    bool no_memory;
};

/* Says why the row is no good; false. The first reason stays. */
bool slm_example_bad(struct example_job *j, enum slm_data_loss loss, const char *fmt, ...)
    SLM_PRINTF(3, 4);
/* A field by the format's name for it, through the map; null counts as absent. */
slm_json *slm_example_field(const struct example_job *j, const char *name);
/* The same that must be text, or a list (also as the text of one: CSV). */
const char *slm_example_text(struct example_job *j, const char *name, size_t *n);
/* Lists are given as one more owner. */
slm_json *slm_example_list(struct example_job *j, const char *name);

/* messages.c. All give false where the row is no good or memory is out. */
bool slm_messages_add(struct example_job *j, slm_json *list, const slm_json *from,
                      const char *field);
bool slm_messages_say(struct example_job *j, slm_json *list, const char *role, const char *text,
                      size_t n);
/* The system prompt that stands beside a list of messages goes to its head. */
bool slm_messages_system(struct example_job *j, slm_json *list);
/* Roles in order, answers not empty. from: the first message that must hold an answer. */
bool slm_messages_check(struct example_job *j, const slm_json *list, size_t from);

#endif
