#include "template/jinja.h"
jj_val slm_jj_urlize(struct jj_run *r, jj_val v, const struct jj_args *a)
{
    (void)v; (void)a;
    return slm_jj_fail(r, SLM_E_TEMPLATE, "urlize not supported");
}
