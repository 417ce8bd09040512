/* Iteration: everything a `for` can walk. Generators bring a step of their own; they are lazy
 * as in Python: what goes wrong in one goes wrong when it is walked, and they run once. */
#include <string.h>

#include "pyval/pyval.h"

bool slm_py_iterable(py_val v)
{
    switch (v.t) {
    case T_UNDEF:
    case T_STR:
    case T_BYTES:
    case T_LIST:
    case T_TUPLE:
    case T_DICT:
    case T_RANGE:
    case T_VIEW:
    case T_ITER: return true;
    default: return v.t >= T_HOST && v.cls->len; /* what has a length says that it has items */
    }
}

struct py_iter *slm_py_iter_new(struct py_run *r, int kind, py_val src)
{
    struct py_iter *it = slm_py_new(r, sizeof *it);
    if (it) {
        it->kind = kind;
        it->src = src;
        it->type = "generator";
        it->maker = kind == I_ITEMS ? "do_items" : NULL;
    }
    return it;
}

struct py_iter *slm_py_iter(struct py_run *r, py_val v)
{
    int kind;
    switch (v.t) {
    case T_FAIL: return NULL;
    case T_ITER: return v.it;
    case T_UNDEF: kind = I_EMPTY; break;
    case T_LIST:
    case T_TUPLE: kind = I_SEQ; break;
    case T_STR:
    case T_BYTES: kind = I_STR; break;
    case T_DICT: kind = I_DICT; break;
    case T_RANGE: kind = I_RANGE; break;
    case T_VIEW: kind = I_VIEW; break;
    default:
        slm_py_fail(r, SLM_E_TEMPLATE, "'%s' object is not iterable", slm_py_type_name(v));
        return NULL;
    }
    return slm_py_iter_new(r, kind, v);
}

static int next_char(struct py_run *r, struct py_iter *it, py_val *out)
{
    int32_t cp;
    const struct py_str *s = it->src.s;
    if (it->i >= s->n)
        return 0;
    if (it->src.t == T_BYTES) {
        *out = py_of_int((unsigned char)s->s[it->i++]);
        return 1;
    }
    int len = slm_utf8_next(s->s + it->i, s->n - it->i, &cp);
    *out = slm_py_str_view(r, s->s + it->i, (size_t)len);
    it->i += (size_t)len;
    return py_bad(*out) ? -1 : 1;
}

static int next_entry(struct py_run *r, const struct py_dict *d, int what, size_t i,
                      py_val *out)
{
    if (i >= d->n)
        return 0;
    *out = what == 0 ? d->e[i].k : what == 1 ? d->e[i].v : slm_py_pair(r, d->e[i].k, d->e[i].v);
    return py_bad(*out) ? -1 : 1;
}

/* The item `n` places from the end, of what reversed() takes. */
static int next_reversed(struct py_run *r, struct py_iter *it, py_val *out)
{
    py_val s = it->src;
    size_t n = (size_t)slm_py_len(r, s), i = n - 1 - it->i;
    if (it->i >= n)
        return 0;
    it->i++;
    if (py_is_seq(s))
        *out = s.l->v[i];
    else if (s.t == T_RANGE)
        *out = py_of_int(s.r->start + (py_int)i * s.r->step);
    else
        return next_entry(r, s.t == T_DICT ? s.d : s.v->d, s.t == T_DICT ? 0 : s.v->what, i,
                          out);
    return 1;
}

static int step(struct py_run *r, struct py_iter *it, py_val *out)
{
    switch (it->kind) {
    case I_SEQ:
        if (it->i >= it->src.l->n)
            return 0;
        *out = it->src.l->v[it->i++];
        return 1;
    case I_STR: return next_char(r, it, out);
    case I_DICT: return next_entry(r, it->src.d, 0, it->i++, out);
    case I_VIEW: return next_entry(r, it->src.v->d, it->src.v->what, it->i++, out);
    case I_RANGE:
        if ((py_int)it->i >= it->src.r->n)
            return 0;
        *out = py_of_int(it->src.r->start + (py_int)it->i++ * it->src.r->step);
        return 1;
    case I_REVERSED: return next_reversed(r, it, out);
    case I_STEP: return it->step(r, it, out);
    case I_ITEMS:
        if (it->src.t == T_UNDEF)
            return 0;
        if (it->src.t != T_DICT) {
            slm_py_fail(r, SLM_E_TEMPLATE, "Can only get item pairs from a mapping.");
            return -1;
        }
        return next_entry(r, it->src.d, 2, it->i++, out);
    default: return 0;
    }
}

int slm_py_next(struct py_run *r, struct py_iter *it, py_val *out)
{
    if (it->ended)
        return 0;
    if (!slm_py_step(r, 1) || !slm_py_enter(r))
        return -1;
    int more = step(r, it, out);
    if (more <= 0)
        it->ended = true;
    r->level--;
    return more;
}

py_val slm_py_collect(struct py_run *r, py_val v, int type)
{
    struct py_iter *it = slm_py_iter(r, v);
    py_int n = it ? slm_py_len(r, v) : 0;
    py_val list = it ? slm_py_list(r, type, n > 0 ? (size_t)n : 0) : py_failed(), item;
    int more = 0;
    while (!py_bad(list) && (more = slm_py_next(r, it, &item)) > 0)
        if (!slm_py_push(r, list.l, item))
            return py_failed();
    return more < 0 ? py_failed() : list;
}
