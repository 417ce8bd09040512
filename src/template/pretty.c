/* pprint: repr with the keys of dicts in order. */
#include "template/jinja.h"

static jj_val sorted(struct jj_run *r, jj_val v)
{
    jj_val out, *keys;
    if (!slm_jj_enter(r))
        return jj_failed();
    if (jj_is_seq(v)) {
        out = slm_jj_list(r, v.t, v.l->n);
        for (size_t i = 0; !jj_bad(out) && i < v.l->n; i++) {
            jj_val item = sorted(r, v.l->v[i]);
            if (jj_bad(item))
                return item;
            out.l->v[out.l->n++] = item;
        }
        v = out;
    } else if (v.t == T_DICT) {
        size_t n = v.d->n;
        jj_val *at = slm_jj_new_n(r, n, sizeof *at);
        keys = slm_jj_new_n(r, n, sizeof *keys);
        out = slm_jj_dict(r);
        if (!at || !keys || jj_bad(out))
            return jj_failed();
        for (size_t i = 0; i < n; i++) {
            at[i] = jj_of_int((jj_int)i);
            keys[i] = v.d->e[i].k;
        }
        if (!slm_jj_sort(r, at, keys, n, false))
            return jj_failed();
        for (size_t i = 0; i < n; i++) {
            struct jj_entry *e = &v.d->e[(size_t)at[i].i];
            jj_val item = sorted(r, e->v);
            if (jj_bad(item) || !slm_jj_put(r, out.d, e->k, item))
                return jj_failed();
        }
        v = out;
    }
    r->level--;
    return v;
}

bool slm_jj_put_repr_sorted(struct jj_run *r, struct slm_buf *b, jj_val v)
{
    v = sorted(r, v);
    return !jj_bad(v) && slm_jj_put_repr(r, b, v);
}
