/* The end of a program whose own promise is broken. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void slm_assert_fail(const char *what, const char *file, int line)
{
    fprintf(stderr, "slm: broken promise: %s (%s:%d)\n", what, file, line);
    abort();
}
