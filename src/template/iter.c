/* Iteration: everything a `for` can walk, and the generators that filters hand out. Generators
 * are lazy as in Python: what goes wrong in one goes wrong when it is walked, and they run
 * once. */
#include <string.h>

#include "template/jinja.h"

bool slm_jj_iterable(jj_val v)
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
    case T_ITER:
    case T_LOOP: return true;
    default: return false;
    }
}

struct jj_iter *slm_jj_generator(struct jj_run *r, int kind, jj_val src)
{
    struct jj_iter *it = slm_jj_new(r, sizeof *it);
    if (it) {
        it->kind = kind;
        it->src = src;
        it->type = "generator";
    }
    return it;
}

struct jj_iter *slm_jj_iter(struct jj_run *r, jj_val v)
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
        slm_jj_fail(r, SLM_E_TEMPLATE, "'%s' object is not iterable", slm_jj_type_name(v));
        return NULL;
    }
    return slm_jj_generator(r, kind, v);
}

static int next_char(struct jj_run *r, struct jj_iter *it, jj_val *out)
{
    int32_t cp;
    const struct jj_str *s = it->src.s;
    if (it->i >= s->n)
        return 0;
    if (it->src.t == T_BYTES) {
        *out = jj_of_int((unsigned char)s->s[it->i++]);
        return 1;
    }
    int len = slm_utf8_next(s->s + it->i, s->n - it->i, &cp);
    *out = slm_jj_str_view(r, s->s + it->i, (size_t)len);
    it->i += (size_t)len;
    return jj_bad(*out) ? -1 : 1;
}

static int next_entry(struct jj_run *r, const struct jj_dict *d, int what, size_t i,
                      jj_val *out)
{
    if (i >= d->n)
        return 0;
    *out = what == 0 ? d->e[i].k : what == 1 ? d->e[i].v : slm_jj_pair(r, d->e[i].k, d->e[i].v);
    return jj_bad(*out) ? -1 : 1;
}

/* The item `n` places from the end, of what reversed() takes. */
static int next_reversed(struct jj_run *r, struct jj_iter *it, jj_val *out)
{
    jj_val s = it->src;
    size_t n = (size_t)slm_jj_len(r, s), i = n - 1 - it->i;
    if (it->i >= n)
        return 0;
    it->i++;
    if (jj_is_seq(s))
        *out = s.l->v[i];
    else if (s.t == T_RANGE)
        *out = jj_of_int(s.r->start + (jj_int)i * s.r->step);
    else
        return next_entry(r, s.t == T_DICT ? s.d : s.v->d, s.t == T_DICT ? 0 : s.v->what, i,
                          out);
    return 1;
}

static int next_map(struct jj_run *r, struct jj_iter *it, jj_val *out)
{
    jj_val v;
    int more = slm_jj_next(r, it->in, &v);
    if (more <= 0)
        return more;
    if (it->attr) {
        *out = slm_jj_path(r, v, it->key, it->fill);
    } else {
        if (it->key.t == T_MISSING) {
            slm_jj_fail(r, SLM_E_TEMPLATE, "map requires a filter argument");
            return -1;
        }
        *out = slm_jj_filter_named(r, it->key, v, &it->args);
    }
    return jj_bad(*out) ? -1 : 1;
}

static int next_select(struct jj_run *r, struct jj_iter *it, jj_val *out)
{
    jj_val v, tested;
    int more;
    while ((more = slm_jj_next(r, it->in, &v)) > 0) {
        bool yes;
        tested = it->attr ? slm_jj_path(r, v, it->fill, (jj_val){.t = T_MISSING}) : v;
        if (jj_bad(tested))
            return -1;
        if (it->key.t == T_MISSING) {
            if (!slm_jj_truth(r, tested, &yes))
                return -1;
        } else {
            int t = slm_jj_test_named(r, it->key, tested, &it->args);
            if (t < 0)
                return -1;
            yes = t;
        }
        if (yes != it->negate) {
            *out = v;
            return 1;
        }
    }
    return more;
}

static int next_unique(struct jj_run *r, struct jj_iter *it, jj_val *out)
{
    int more;
    while ((more = slm_jj_next(r, it->in, out)) > 0) {
        jj_val k = slm_jj_path(r, *out, it->key, (jj_val){.t = T_MISSING});
        if (k.t == T_STR && !it->negate)
            k = slm_jj_recase(r, k, CASE_LOWER);
        if (jj_bad(k))
            return -1;
        size_t n = it->seen->n;
        if (!slm_jj_put(r, it->seen, k, jj_none()))
            return -1;
        if (it->seen->n > n)
            return 1;
    }
    return more;
}

static int next_batch(struct jj_run *r, struct jj_iter *it, jj_val *out)
{
    jj_val list = slm_jj_list(r, T_LIST, 0), v;
    int more = 1;
    if (jj_bad(list))
        return -1;
    /* a batch ends when the next item shows that it is full; that item waits in key */
    if (it->attr && !slm_jj_push(r, list.l, it->key))
        return -1;
    it->attr = false;
    while ((more = slm_jj_next(r, it->in, &v)) > 0) {
        if ((jj_int)list.l->n == it->count) {
            it->key = v;
            it->attr = true;
            *out = list;
            return 1;
        }
        if (!slm_jj_push(r, list.l, v))
            return -1;
    }
    if (more < 0 || list.l->n == 0)
        return more;
    it->ended = true;
    while (it->fill.t != T_NONE && (jj_int)list.l->n < it->count)
        if (!slm_jj_push(r, list.l, it->fill))
            return -1;
    *out = list;
    return 1;
}

static int next_slice(struct jj_run *r, struct jj_iter *it, jj_val *out)
{
    if (!it->started) {
        it->src = slm_jj_collect(r, it->src, T_LIST);
        it->started = true;
        if (jj_bad(it->src))
            return -1;
        if (it->count == 0) {
            slm_jj_fail(r, SLM_E_TEMPLATE, "integer division or modulo by zero");
            return -1;
        }
    }
    if ((jj_int)it->i >= it->count)
        return 0;
    size_t n = it->src.l->n, slices = (size_t)it->count, per = n / slices, extra = n % slices,
           k = it->i++;
    size_t lo = k * per + (k < extra ? k : extra), hi = lo + per + (k < extra);
    *out = slm_jj_list(r, T_LIST, hi - lo + 1);
    if (jj_bad(*out))
        return -1;
    for (size_t i = lo; i < hi; i++)
        out->l->v[out->l->n++] = it->src.l->v[i];
    if (it->fill.t != T_NONE && k >= extra)
        out->l->v[out->l->n++] = it->fill;
    return 1;
}

static int next_loop_if(struct jj_run *r, struct jj_iter *it, jj_val *out)
{
    struct jj_frame *saved = r->frame;
    int more;
    while ((more = slm_jj_next(r, it->in, out)) > 0) {
        bool yes = false;
        it->frame->n = 0;
        r->frame = it->frame;
        bool ok = slm_jj_assign(r, it->node->a, *out);
        jj_val v = ok ? slm_jj_eval(r, it->node->c) : jj_failed();
        ok = !jj_bad(v) && slm_jj_truth(r, v, &yes);
        r->frame = saved;
        if (!ok)
            return -1;
        if (yes)
            return 1;
    }
    return more;
}

static int step(struct jj_run *r, struct jj_iter *it, jj_val *out)
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
        if ((jj_int)it->i >= it->src.r->n)
            return 0;
        *out = jj_of_int(it->src.r->start + (jj_int)it->i++ * it->src.r->step);
        return 1;
    case I_REVERSED: return next_reversed(r, it, out);
    case I_MAP: return next_map(r, it, out);
    case I_SELECT: return next_select(r, it, out);
    case I_UNIQUE: return next_unique(r, it, out);
    case I_BATCH: return next_batch(r, it, out);
    case I_SLICE: return next_slice(r, it, out);
    case I_LOOPIF: return next_loop_if(r, it, out);
    case I_ITEMS:
        if (it->src.t == T_UNDEF)
            return 0;
        if (it->src.t != T_DICT) {
            slm_jj_fail(r, SLM_E_TEMPLATE, "Can only get item pairs from a mapping.");
            return -1;
        }
        return next_entry(r, it->src.d, 2, it->i++, out);
    default: return 0;
    }
}

int slm_jj_next(struct jj_run *r, struct jj_iter *it, jj_val *out)
{
    if (it->ended)
        return 0;
    if (!slm_jj_step(r, 1) || !slm_jj_enter(r))
        return -1;
    int more = 1;
    bool opens =
        it->kind >= I_MAP && it->kind != I_SLICE && it->kind != I_ITEMS && it->kind != I_EMPTY;
    if (opens && !it->in) {
        bool any = true;
        if (it->kind == I_MAP || it->kind == I_SELECT)
            more = slm_jj_truth(r, it->src, &any) ? any : -1;
        if (more > 0 && !(it->in = slm_jj_iter(r, it->src)))
            more = -1;
    }
    if (more > 0)
        more = step(r, it, out);
    if (more <= 0)
        it->ended = true;
    r->level--;
    return more;
}

jj_val slm_jj_collect(struct jj_run *r, jj_val v, int type)
{
    struct jj_iter *it = slm_jj_iter(r, v);
    jj_int n = it ? slm_jj_len(r, v) : 0;
    jj_val list = it ? slm_jj_list(r, type, n > 0 ? (size_t)n : 0) : jj_failed(), item;
    int more = 0;
    while (!jj_bad(list) && (more = slm_jj_next(r, it, &item)) > 0)
        if (!slm_jj_push(r, list.l, item))
            return jj_failed();
    return more < 0 ? jj_failed() : list;
}
