/* Training data: files of rows in the formats people have, checked, converted, and rendered by
 * a model's own template and tokenizer into tokens that are learnt or not. */
#ifndef SLM_DATA_H
#define SLM_DATA_H

#include "slm/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How rows stand in a file. */
enum slm_data_form {
    SLM_DATA_FORM_AUTO,
    SLM_DATA_FORM_JSONL, /* an object a line */
    SLM_DATA_FORM_JSON, /* an array of objects; an object with such an array ("data", "rows") */
    SLM_DATA_FORM_CSV,  /* RFC 4180 with a header */
    SLM_DATA_FORM_TSV,
    SLM_DATA_FORM_TEXT,
    SLM_DATA_FORM_COUNT
};
/* "auto" "jsonl" "json" "csv" "tsv" "text"; NULL out of range. And back: -1 when unknown. */
SLM_API const char *slm_data_form_name(int form);
SLM_API int slm_data_form_find(const char *name);

#ifdef __cplusplus
}
#endif
#endif
