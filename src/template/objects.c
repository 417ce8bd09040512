/* The evaluator's own objects as values: what each is called, how long it is, how it prints. */
#include <string.h>

#include "template/jinja.h"

static py_int loop_len(struct py_run *r, py_val v)
{
    py_val n = slm_jj_loop_attr(r, v.host, "length", 6);
    return n.t == T_INT ? n.i : 0;
}

static bool put_loop(struct py_run *r, struct slm_buf *b, py_val v)
{
    const struct jj_loop *l = v.host;
    py_int n = loop_len(r, v);
    slm_buf_puts(b, "<LoopContext ");
    slm_py_put_int(b, l->index0 + 1);
    slm_buf_putc(b, '/');
    slm_py_put_int(b, n);
    slm_buf_putc(b, '>');
    return !r->code;
}

static bool put_namespace(struct py_run *r, struct slm_buf *b, py_val v)
{
    slm_buf_puts(b, "<Namespace ");
    v.t = T_DICT;
    if (!slm_py_put_repr(r, b, v))
        return false;
    slm_buf_putc(b, '>');
    return true;
}

static bool put_macro(struct py_run *r, struct slm_buf *b, py_val v)
{
    const struct py_str *name = ((const struct jj_macro *)v.host)->node->name;
    (void)r;
    if (name)
        slm_buf_printf(b, "<Macro '%.*s'>", (int)name->n, name->s);
    else
        slm_buf_puts(b, "<Macro anonymous>");
    return true;
}

static bool put_self(struct py_run *r, struct slm_buf *b, py_val v)
{
    (void)r;
    (void)v;
    slm_buf_puts(b, "<TemplateReference None>");
    return true;
}

const struct py_class slm_jj_classes[T_END - T_HOST] = {
    [T_NS - T_HOST] = {.name = "TemplateNamespace", .put = put_namespace},
    [T_FUNC - T_HOST] = {.name = "function"},
    [T_MACRO - T_HOST] = {.name = "Macro", .put = put_macro},
    [T_LOOP - T_HOST] = {.name = "LoopContext", .len = loop_len, .put = put_loop},
    [T_CYCLER - T_HOST] = {.name = "Cycler"},
    [T_JOINER - T_HOST] = {.name = "Joiner"},
    [T_SELF - T_HOST] = {.name = "TemplateReference", .put = put_self},
    [T_BLOCK - T_HOST] = {.name = "BlockReference"}};

bool slm_jj_callable(py_val v)
{
    return v.t == T_FUNC || v.t == T_METHOD || v.t == T_MACRO || v.t == T_LOOP ||
           v.t == T_JOINER || v.t == T_BLOCK || v.t == T_UNDEF;
}
