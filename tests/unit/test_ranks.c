/* Several ranks, seen from one: a stand-in for the others that answers nothing but writes down
 * what is asked. Gradients set out while the way back goes on, top layer first, and each to its
 * owner; a rank keeps the states of its own parameters alone; trouble elsewhere ends the run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "train/train_in.h"

static slm_runtime *rt;

static int set_up(void **state)
{
    (void)state;
    slm_runtime_opts o;
    slm_runtime_opts_init(&o);
    o.threads = 2;
    return slm_runtime_open(&rt, &o, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    slm_runtime_close(&rt);
    return 0;
}

struct others {
    char asked[4096];         /* r reduce, s spread, p progress, w wait, m move, + sum */
    int n, roots[2], fail_at; /* fail_at: the sum at which the other rank tells of trouble */
    int sums;
    bool told;                 /* its message was asked for: its code comes next */
    const float *first, *last; /* of the gradients that set out */
};

static void note(struct others *o, char c)
{
    if (o->n < (int)sizeof o->asked - 1 && (c != 'p' || !o->n || o->asked[o->n - 1] != 'p'))
        o->asked[o->n++] = c;
}
static int reduce(void *arg, float *x, size_t n, int root)
{
    struct others *o = arg;
    (void)n;
    note(o, 'r');
    o->roots[root]++;
    o->first = o->first ? o->first : x;
    o->last = x;
    return 0;
}
static int spread(void *arg, void *x, size_t bytes, int root)
{
    struct others *o = arg;
    note(o, 's');
    if (root == 1 && o->fail_at && bytes == sizeof((slm_err *)0)->msg) {
        snprintf(x, bytes, "rank 1: its disk is full");
        o->told = true;
    }
    return 0;
}
static void progress(void *arg) { note(arg, 'p'); }
static int wait_all(void *arg)
{
    note(arg, 'w');
    return 0;
}
static int move(void *arg, void *x, size_t bytes, int from, int to)
{
    (void)from;
    (void)to;
    memset(x, 0, bytes);
    note(arg, 'm');
    return 0;
}
static int sum(void *arg, double *x, size_t n)
{
    struct others *o = arg;
    note(o, '+');
    o->sums++;
    if (o->fail_at && o->sums == o->fail_at)
        *x += 2; /* rank 1's bit */
    else if (o->told)
        *x += SLM_E_IO;
    o->told = false;
    (void)n;
    return 0;
}

static int train(struct others *o, slm_err *err, size_t *states, size_t *all)
{
    slm_model *m = NULL;
    slm_train *t = NULL;
    slm_train_opts opts;
    static int32_t ids[512];
    slm_train_ranks r = {.n = 2,
                         .arg = o,
                         .reduce = reduce,
                         .spread = spread,
                         .progress = progress,
                         .wait = wait_all,
                         .move = move,
                         .sum = sum};
    for (int i = 0; i < 512; i++)
        ids[i] = i * 7 % 61;
    slm_model_opts mo;
    slm_model_opts_init(&mo);
    mo.allow_no_tokenizer = 1;
    assert_int_equal(slm_model_open(&m, rt, "tests/golden/llama", &mo, err), 0);
    slm_train_opts_init(&opts);
    opts.ids = ids;
    opts.n_ids = 512;
    opts.seq = 32;
    opts.batch = 2;
    opts.accumulate = 2;
    opts.steps = 1;
    opts.precision = "f32";
    opts.ranks = &r;
    int rc = slm_train_open(&t, m, &opts, err);
    if (!rc) {
        *all = 0;
        for (int i = 0; i < t->params.n; i++)
            *all += t->params.p[i].state_bytes;
        *states = t->optim.bytes;
        rc = slm_train_run(t, err);
    }
    slm_train_close(&t);
    slm_model_close(&m);
    return rc;
}

static void test_overlap(void **state)
{
    (void)state;
    struct others o = {0};
    slm_err err = {0};
    size_t states = 0, all = 0;
    int rc = train(&o, &err, &states, &all);
    if (rc)
        fail_msg("%s", err.msg);
    /* gradients set out between looks at those under way, before anybody waits for them */
    const char *first = strchr(o.asked, 'r'), *again = strstr(o.asked, "pr");
    assert_non_null(first);
    assert_non_null(again);
    assert_non_null(strchr(first, 'w'));
    assert_true(first < strchr(first, 'p'));
    assert_true(strstr(first, "pr") < strchr(first, 'w'));
    assert_true(o.first > o.last); /* the top layer's lie behind the embedding's */
    assert_true(o.roots[0] > 0 && o.roots[1] > 0);
    /* half of the states, give or take the largest matrix */
    assert_true(states > all / 3 && states < all * 2 / 3);
}

static void test_trouble(void **state)
{
    (void)state;
    size_t states, all;
    struct others calm = {0};
    slm_err err = {0};
    assert_int_equal(train(&calm, &err, &states, &all), 0);
    int ended = 0;
    for (int at = 1; at < calm.sums; at++) { /* whenever the other rank tells of it */
        struct others o = {.fail_at = at};
        err = (slm_err){0};
        int rc = train(&o, &err, &states, &all);
        ended += rc == SLM_E_IO && strstr(err.msg, "rank 1: its disk is full");
    }
    assert_true(ended >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_trouble),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
