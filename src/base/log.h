/* One line to the program's log callback. */
#ifndef SLM_BASE_LOG_H
#define SLM_BASE_LOG_H

#include "base/err.h"
#include "base/state.h"

void slm_log(slm_runtime *rt, enum slm_log_level level, const char *fmt, ...) SLM_PRINTF(3, 4);

#endif
