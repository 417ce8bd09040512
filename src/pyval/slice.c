/* Slices: start, stop and step over text, lists, tuples and ranges, clipped as Python clips
 * them. */
#include <string.h>

#include "pyval/pyval.h"

/* Python's slice.indices: bounds clipped to n; how many items. -1: failed. */
static py_int slice_bounds(struct py_run *r, const py_val *b, py_int n, py_int *start,
                           py_int *step)
{
    py_int v[3], stop;
    bool has[3];
    for (int k = 0; k < 3; k++) {
        has[k] = b[k].t != T_NONE && b[k].t != T_MISSING;
        if (has[k] && !slm_py_as_int(b[k], &v[k])) {
            if (b[k].t == T_UNDEF)
                slm_py_undef_error(r, b[k]);
            slm_py_fail(r, SLM_E_TEMPLATE, "slice indices must be integers or None");
            return -1;
        }
    }
    *step = has[2] ? v[2] : 1;
    if (*step == 0) {
        slm_py_fail(r, SLM_E_TEMPLATE, "slice step cannot be zero");
        return -1;
    }
    if (*step > n + 1 || *step < -n - 1)
        *step = *step > 0 ? n + 1 : -n - 1;
    py_int lo = *step > 0 ? 0 : -1, hi = *step > 0 ? n : n - 1;
    for (int k = 0; k < 2; k++)
        if (has[k]) {
            if (v[k] < 0)
                v[k] = v[k] < -n ? lo : v[k] + n;
            v[k] = v[k] < lo ? lo : v[k] > hi ? hi : v[k];
        }
    *start = has[0] ? v[0] : *step > 0 ? lo : hi;
    stop = has[1] ? v[1] : *step > 0 ? hi : lo;
    if (*step > 0 ? *start >= stop : *start <= stop)
        return 0;
    return *step > 0 ? (stop - *start - 1) / *step + 1 : (*start - stop - 1) / -*step + 1;
}

static py_val slice_str(struct py_run *r, py_val s, py_int start, py_int step, py_int n)
{
    if (!slm_py_step(r, (uint64_t)n + s.s->n / 64))
        return py_failed();
    if (step == 1 || n == 0) {
        size_t lo = n ? slm_py_offset(s.s, (size_t)start) : 0;
        size_t hi = n ? slm_py_offset(s.s, (size_t)(start + n)) : 0;
        return slm_py_str_view(r, s.s->s + lo, hi - lo);
    }
    /* walk the whole string once, keeping where each character starts */
    size_t chars = slm_py_chars(s.s), *at = slm_py_new_n(r, chars + 1, sizeof *at), i = 0;
    char *out = at ? slm_py_new(r, s.s->n) : NULL;
    size_t m = 0;
    int32_t cp;
    if (!out)
        return py_failed();
    for (size_t k = 0; k < chars; k++) {
        at[k] = i;
        i += (size_t)slm_utf8_next(s.s->s + i, s.s->n - i, &cp);
    }
    at[chars] = s.s->n;
    for (py_int k = 0, p = start; k < n; k++, p += step) {
        size_t len = at[p + 1] - at[p];
        memcpy(out + m, s.s->s + at[p], len);
        m += len;
    }
    return slm_py_str_view(r, out, m);
}

py_val slm_py_slice(struct py_run *r, py_val obj, const py_val *bounds)
{
    py_int start = 0, step = 1, n, len;
    if (obj.t == T_UNDEF)
        return slm_py_undef_error(r, obj);
    if (obj.t != T_STR && obj.t != T_RANGE && !py_is_seq(obj))
        return slm_py_fail(r, SLM_E_TEMPLATE, "'%s' object is not subscriptable by a slice",
                           slm_py_type_name(obj));
    len = slm_py_len(r, obj);
    n = slice_bounds(r, bounds, len, &start, &step);
    if (n < 0)
        return py_failed();
    if (obj.t == T_STR) {
        py_val v = slice_str(r, obj, start, step, n);
        v.mark = obj.mark && !py_bad(v);
        return v;
    }
    if (obj.t == T_RANGE) {
        struct py_range *g = slm_py_new(r, sizeof *g);
        if (!g)
            return py_failed();
        *g = (struct py_range){obj.r->start + start * obj.r->step, 0, obj.r->step * step, n};
        g->stop = g->start + n * g->step;
        return (py_val){.t = T_RANGE, .r = g};
    }
    py_val v = slm_py_list(r, obj.t, (size_t)n);
    for (py_int k = 0; !py_bad(v) && k < n; k++)
        v.l->v[v.l->n++] = obj.l->v[start + k * step];
    return slm_py_step(r, (uint64_t)n / 8) ? v : py_failed();
}
