/* Chat templates: a Jinja engine that gives the bytes of Jinja2 as Transformers calls it. */
#ifndef SLM_TEMPLATE_H
#define SLM_TEMPLATE_H

#include "slm/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct slm_template slm_template;

/* Parses n bytes of template source. name is for messages. Immutable; any thread may render it.
 * Errors: SLM_E_TEMPLATE (syntax, with the line), SLM_E_LIMIT, SLM_E_NOMEM. */
SLM_API int slm_template_new(slm_template **out, slm_runtime *rt, const char *src, size_t n,
                             const char *name, slm_err *err);
SLM_API void slm_template_free(slm_template *t);

typedef struct slm_template_opts {
    int64_t now; /* clock of strftime_now, seconds since 1970 in local civil time; INT64_MIN:
                    the wall clock */
    size_t max_output;  /* bytes, 0: 16 MiB */
    uint64_t max_steps; /* evaluation steps, 0: 50 million */
    int max_depth;      /* nesting of calls, 0: 200 */
} slm_template_opts;
SLM_API void slm_template_opts_init(slm_template_opts *o);

/* Renders with the variables of a JSON object as they are (the raw engine). */
SLM_API int slm_template_render(const slm_template *t, const char *json, size_t n,
                                const slm_template_opts *o, slm_text *out, slm_err *err);
/* Renders a chat as Transformers does. json is an object with
 *   messages (required), tools, documents, add_generation_prompt, continue_final_message,
 *   vars (an object: further variables, bos_token and eos_token among them, which win). */
SLM_API int slm_template_chat(const slm_template *t, const char *json, size_t n,
                              const slm_template_opts *o, slm_text *out, slm_err *err);

/* Which part of a rendered chat is whose: bytes [from, to) of the text. */
typedef struct slm_template_span {
    size_t from,
        to;      /* SIZE_MAX both: written, but into a text that the template used further */
    int message; /* index in messages: what a pass of a loop over them put out for this one;
                  * -1: a {% generation %} block */
} slm_template_span;
/* In the order in which they end. Zero-initialise, release with slm_template_spans_release. */
typedef struct slm_template_spans {
    slm_template_span *v;
    size_t n, cap;
    slm_runtime *rt;
} slm_template_spans;
SLM_API void slm_template_spans_release(slm_template_spans *s);
/* As slm_template_chat, and appends the spans; several of one message where several loops put
 * out something for it, none where the template does not loop. Offsets are in the text of this
 * render; with continue_final_message spans may reach behind the cut. */
SLM_API int slm_template_chat_spans(const slm_template *t, const char *json, size_t n,
                                    const slm_template_opts *o, slm_text *out,
                                    slm_template_spans *spans, slm_err *err);
/* Has the template {% generation %} blocks? */
SLM_API int slm_template_marks_generation(const slm_template *t);

/* The built-in template of a family or style ("llama2", "llama3", "chatml", "gemma", "phi3"
 * ...); NULL when there is none. The text is static. */
SLM_API const char *slm_template_builtin(const char *style);

#ifdef __cplusplus
}
#endif
#endif
