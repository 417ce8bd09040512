/* The log: lines to the program's callback, one at a time. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void slm_log(slm_runtime *rt, enum slm_log_level level, const char *fmt, ...)
{
    if (!rt->log)
        return;
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&rt->log_lock);
    rt->log(rt->log_arg, (int)level, line);
    pthread_mutex_unlock(&rt->log_lock);
}
