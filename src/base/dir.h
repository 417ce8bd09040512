/* Looking into a folder. */
#ifndef SLM_BASE_DIR_H
#define SLM_BASE_DIR_H

#include <stdbool.h>
#include "base/err.h"

/* Called with the plain name of each entry that is no folder and not hidden; false ends the
 * walk. */
typedef bool slm_dir_fn(void *arg, const char *name);
/* In no order. Errors: SLM_E_NOTFOUND, SLM_E_IO. */
int slm_dir_each(const char *path, slm_dir_fn *fn, void *arg, slm_err *err);

#endif
