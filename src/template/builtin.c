#include "template/jinja.h"
const char *slm_template_builtin(const char *style)
{
    (void)style;
    return NULL;
}
