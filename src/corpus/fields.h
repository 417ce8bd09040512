/* What a row says: its fields by path, and the text of it that counts. Private. */
#ifndef SLM_CORPUS_FIELDS_H
#define SLM_CORPUS_FIELDS_H

#include "base/base.h"

/* A path is names and numbers with dots between. A name looks into an object; in a list of
 * messages it picks those of that role ("messages.user.content"); a number picks an element, -1
 * the last; * picks all. A text on the way is read as JSON where it is ("messages.-1.content.
 * intent"). A member that is called like the whole path comes first. */
enum { SLM_FIELD_MAX = 16 }; /* steps of a path */
/* Calls fn for what the path leads to, in order; fn's non-zero ends it and is returned. Values
 * live only during the call. */
typedef int slm_field_fn(void *arg, slm_json *value);
int slm_field_each(slm_json *row, const char *path, slm_field_fn *fn, void *arg);

/* Appends the texts that the path leads to, a line each; other values as JSON. How many. */
int slm_field_text(struct slm_buf *b, slm_json *row, const char *path);
/* The same of n paths, or (n 0) of the row's content: the turns of a conversation but for the
 * system's, instruction, input and output, prompt and completion, text ... and where nothing of
 * the kind is there all texts. */
int slm_fields_text(struct slm_buf *b, slm_json *row, const char *const *paths, int n);

/* The same, text by text. fn's non-zero is returned; *count (may be NULL) gets how many. */
int slm_fields_each(slm_json *row, const char *const *paths, int n, slm_field_fn *fn, void *arg,
                    int *count);

/* Replaces what the path leads to by `value` (taken over): the last step must be a plain name
 * or number. A text on the way that was read as JSON is written anew. 1 when done, 0 when the
 * path leads nowhere, SLM_E_NOMEM. */
int slm_field_set(slm_json *row, const char *path, slm_json *value, slm_runtime *rt);

#endif
