/* Patterns over module names, which people bring from PEFT: Python's expressions, here PCRE2's
 * through the text room, whose limits hold against those that never end. */
#include "adapter/adapter_in.h"
#include "text/tok.h"

#include <string.h>

struct slm_fit {
    slm_runtime *rt;
    struct slm_regex *re;
    const char *what;
};

int slm_fit_new(struct slm_fit **out, slm_runtime *rt, const char *text, bool tail,
                const char *what, slm_err *err)
{
    struct slm_fit *f = slm_zalloc(rt, SLM_MEM_MODEL, sizeof *f);
    if (!f)
        return slm_fail_mem(err, what, sizeof *f);
    f->rt = rt;
    f->what = what;
    struct slm_buf b;
    slm_buf_init(&b, rt, SLM_MEM_MODEL, 1 << 16);
    slm_buf_printf(&b, "^(?:%s%s)$", tail ? "(?:.*\\.)?(?:" : "", text);
    if (tail)
        slm_buf_puts(&b, ")");
    int rc = slm_buf_check(&b, what, err);
    if (!rc)
        rc = slm_regex_new(&f->re, rt, b.s, b.n, what, err);
    slm_buf_release(&b);
    if (rc)
        slm_fit_free(f);
    else
        *out = f;
    return rc;
}

int slm_fit_is(struct slm_fit *f, const char *name, slm_err *err)
{
    struct slm_regex_run *run;
    size_t span[2];
    int rc = slm_regex_run_new(&run, f->rt, strlen(name), err);
    if (rc)
        return rc;
    rc = slm_regex_find(f->re, run, name, strlen(name), 0, span, err);
    slm_regex_run_free(run);
    return rc;
}

void slm_fit_free(struct slm_fit *f)
{
    if (!f)
        return;
    slm_regex_free(f->re);
    slm_free(f->rt, f);
}
