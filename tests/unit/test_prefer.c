/* Preference losses against PyTorch: losses, log p and gradients of one tiny model against
 * another, as tests/data/prefer holds them (tools/ref/prefer.py); every slope against finite
 * differences; bad files of pairs. Arguments name others: policy, reference, expect.json,
 * expect.safetensors, the key of expect.json to look under, prefix of the gradients' names. */
#include "unit/model_kit.h"

#include "model/model_room.h"
#include "train/pairs.h"
#include "train/prefer.h"

static const char *args[6] = {"tests/golden/llama",
                              "tests/golden/llama-bias",
                              "tests/data/prefer/expect.json",
                              "tests/data/prefer/expect.safetensors",
                              NULL,
                              ""};

static void close_to(double got, double want, const char *what)
{
    if (!(fabs(got - want) <= 2e-5 * fabs(want) + 1e-5))
        fail_msg("%s: %.9g, want %.9g", what, got, want);
}

static slm_model *open_model(slm_runtime *rt, const char *path)
{
    slm_model *m;
    slm_model_opts o;
    slm_err err;
    slm_model_opts_init(&o);
    o.allow_no_tokenizer = 1;
    if (slm_model_open(&m, rt, path, &o, &err))
        fail_msg("%s", err.msg);
    return m;
}

static void check_list(const slm_json *logps, const char *name, const double *v, int n)
{
    const slm_json *list = slm_json_find(logps, name);
    assert_true(!v || slm_json_count(list) == (size_t)n);
    for (int i = 0; i < n && v; i++)
        close_to(v[i], slm_json_num(slm_json_at(list, (size_t)i), NAN), name);
}

/* The truth of a kind: {"loss": {kind: x}, "each": {kind: []}}, or {kind: {"loss", "each"}}. */
static const slm_json *truth(const slm_json *j, const char *kind, const char *what)
{
    const slm_json *by_kind = slm_json_find(slm_json_find(j, kind), what);
    return by_kind ? by_kind : slm_json_find(slm_json_find(j, what), kind);
}

static void check_values(const slm_prefer_result *r, const slm_json *j, const char *kind)
{
    const slm_json *each = truth(j, kind, "each"), *logps = slm_json_find(j, "logps");
    close_to(r->loss, slm_json_num(truth(j, kind, "loss"), NAN), kind);
    assert_int_equal(slm_json_count(each), r->n_each);
    for (int i = 0; i < r->n_each; i++)
        close_to(r->each[i], slm_json_num(slm_json_at(each, (size_t)i), NAN), kind);
    check_list(logps, "policy_chosen", r->policy_chosen, r->pairs);
    check_list(logps, "policy_rejected", r->policy_rejected, r->pairs);
    check_list(logps, "reference_chosen", r->reference_chosen, r->pairs);
    check_list(logps, "reference_rejected", r->reference_rejected, r->pairs);
    check_list(logps, "policy_kl", r->policy_kl, 2 * r->pairs);
    check_list(logps, "reference_kl", r->reference_kl, 2 * r->pairs);
    if (r->policy_kl)
        close_to(r->kto_kl, slm_json_num(slm_json_find(logps, "kto_kl"), NAN), "kto_kl");
    if (!strcmp(kind, "orpo"))
        close_to(r->orpo_nll, slm_json_num(slm_json_find(logps, "orpo_nll"), NAN), "nll");
}

/* ---- gradients: all texts in one run ---- */

enum { MOST_ROWS = 256, MOST_TEXTS = 16 };
struct side_by_side {
    int n, texts;
    int32_t ids[MOST_ROWS], pos[MOST_ROWS], stream[MOST_ROWS], target[MOST_ROWS],
        whole[MOST_ROWS], first[MOST_TEXTS + 1];
    struct slm_answer a[MOST_TEXTS];
};

static void lay(struct side_by_side *r, const slm_pairs *p, const slm_prefer_result *v)
{
    memset(r, 0, sizeof *r);
    for (size_t i = 0; i < 2 * p->n; i++) {
        const struct slm_ids_at *part[2] = {&p->pair[i / 2].prompt,
                                            &p->pair[i / 2].answer[i % 2]};
        int at = 0;
        for (int k = 0; k < 2; k++)
            for (int t = 0; t < part[k]->n; t++, r->n++) {
                r->ids[r->n] = p->ids[part[k]->at + (size_t)t];
                r->pos[r->n] = at++;
                r->stream[r->n] = (int32_t)i;
                r->target[r->n] = -1;
                if (k)
                    r->target[r->n - 1] = r->ids[r->n];
            }
        const double *ref = i % 2 ? v->reference_rejected : v->reference_chosen;
        r->a[i] = (struct slm_answer){0, ref ? ref[i / 2] : 0, part[1]->n, i % 2 == 0};
        r->first[i + 1] = r->n;
    }
    r->texts = (int)(2 * p->n);
}

static slm_prog *program(const slm_model *m, int rows, float **grad)
{
    struct slm_prog_opts o = {.max_rows = rows, .max_out = rows, .train = true};
    struct slm_emit_opts emit = {.loss = true};
    slm_prog *p;
    slm_err err;
    assert_int_equal(slm_prog_new(&p, m->rt, &o, &err), 0);
    slm_model_emit(p, m, &emit);
    for (int i = 0; i < m->n_weights; i++) {
        const struct slm_weight *w = &m->weight[i];
        grad[i] = calloc((size_t)w->rows * (size_t)w->cols, sizeof **grad);
        assert_non_null(grad[i]);
        slm_prog_want(p, w, grad[i]);
    }
    assert_int_equal(slm_prog_plan(p, &err), 0);
    return p;
}

static void check_gradients(const slm_model *m, slm_st *st, const char *kind, float **grad)
{
    int found = 0;
    for (int i = 0; i < m->n_weights; i++) {
        const struct slm_weight *w = &m->weight[i];
        char name[192], full[300];
        slm_slot_name_hf(name, m->row[i], "model.", "", m->row_layer[i], 0);
        snprintf(full, sizeof full, "%s%s.grad.%s", args[5], kind, name);
        const struct slm_tensor_ref *t = slm_st_tensor_find(st, full);
        double off = 0, all = 0;
        for (size_t k = 0; t && k < (size_t)t->count; k++) {
            float want;
            memcpy(&want, t->data + 4 * k, 4);
            off += pow((double)grad[i][k] - (double)want, 2);
            all += pow((double)want, 2);
        }
        assert_true(!t || t->count == (uint64_t)w->rows * (uint64_t)w->cols);
        if (t && !(sqrt(off) <= 2e-4 * sqrt(all)))
            fail_msg("%s: gradient off by %g of %g", full, sqrt(off), sqrt(all));
        found += t != NULL;
    }
    assert_int_equal(found, 3);
}

static void check_back(const slm_model *m, const slm_pairs *pairs, const slm_prefer_result *v,
                       const char *kind, slm_st *st)
{
    struct slm_prefer_loss l;
    static struct side_by_side r;
    float *grad[256], weight[MOST_ROWS];
    double sum[MOST_TEXTS], slope[MOST_TEXTS];
    slm_prefer_opts o;
    slm_err err;
    lay(&r, pairs, v);
    slm_prefer_opts_init(&o);
    o.kind = kind;
    assert_int_equal(slm_prefer_loss_init(&l, &o, &err), 0);
    l.z = isnan(v->kto_kl) ? 0 : v->kto_kl;
    slm_prog *p = program(m, r.n, grad);
    struct slm_prefer_rows rows = {r.texts, r.first, r.target};
    int64_t whole = 0;
    memcpy(r.whole, r.target, sizeof r.whole);
    if (l.kind->whole)
        whole = slm_prefer_whole(r.whole, &rows, r.a, r.ids);
    struct slm_run run = {.rows = r.n,
                          .ids = r.ids,
                          .pos = r.pos,
                          .stream = r.stream,
                          .n_streams = r.texts,
                          .rope_set = (uint8_t[MOST_TEXTS]){0},
                          .target = r.whole,
                          .later = true};
    slm_prog_run(p, &run);
    slm_prefer_sums(sum, &rows, slm_prog_row_loss(p));
    for (int i = 0; i < r.texts; i++)
        r.a[i].logp = sum[i];
    struct slm_prefer_tally tally = {0};
    slm_prefer_items(&l, r.a, r.texts, slope, NULL, &tally);
    for (int i = 0; i < r.texts; i++)
        slope[i] /= (double)tally.n_items;
    slm_prefer_weights(weight, &rows, r.a, slope, whole ? 1 / (double)whole : 0);
    run.weight = weight;
    slm_prog_run_back(p, &run);
    check_gradients(m, st, kind, grad);
    for (int i = 0; i < m->n_weights; i++)
        free(grad[i]);
    slm_prog_free(p);
}

static void test_truth(void **state)
{
    (void)state;
    slm_runtime *rt = runtime_new(NULL, 2);
    slm_model *m = open_model(rt, args[0]), *ref = open_model(rt, args[1]);
    slm_pairs *pairs;
    slm_json *j;
    slm_st *st;
    slm_err err;
    if (slm_pairs_load(&pairs, m, args[2], &err))
        fail_msg("%s", err.msg);
    assert_int_equal(slm_json_load(&j, rt, args[2], 1 << 24, &err), 0);
    assert_int_equal(slm_st_open(&st, rt, args[3], &err), 0);
    const char *kind;
    for (int i = 0; (kind = slm_prefer_kind_at(i)); i++) {
        slm_prefer_policy policy = {m, NULL, ref};
        slm_prefer_result r;
        slm_prefer_opts o;
        slm_prefer_opts_init(&o);
        o.kind = kind;
        if (slm_prefer_measure(&r, &policy, pairs, &o, &err))
            fail_msg("%s", err.msg);
        check_values(&r, args[4] ? slm_json_find(j, args[4]) : j, kind);
        check_back(m, pairs, &r, kind, st);
        slm_prefer_result_release(&r);
    }
    slm_st_close(&st);
    slm_json_free(j);
    slm_pairs_free(pairs);
    slm_model_close(&m);
    slm_model_close(&ref);
    slm_runtime_close(&rt);
}

/* ---- slopes ---- */

static double sum_of(const struct slm_prefer_loss *l, const struct slm_answer *a, int n)
{
    double slope[8];
    struct slm_prefer_tally t = {0};
    slm_prefer_items(l, a, n, slope, NULL, &t);
    return t.loss;
}

static void test_slopes(void **state)
{
    (void)state;
    struct slm_rng rng;
    slm_rng_init(&rng, 11);
    const char *kind;
    for (int i = 0; (kind = slm_prefer_kind_at(i)); i++)
        for (int round = 0; round < 200; round++) {
            slm_prefer_opts o;
            slm_err err;
            struct slm_answer a[4];
            double slope[4], h = 1e-5;
            slm_prefer_opts_init(&o);
            o.kind = kind;
            if (round % 2) {
                o.beta = 0.7f;
                o.lambda = 0.4f;
                o.desirable = 2;
            }
            struct slm_prefer_loss l;
            assert_int_equal(slm_prefer_loss_init(&l, &o, &err), 0);
            l.z = 0.3;
            for (int s = 0; s < 4; s++)
                a[s] = (struct slm_answer){-20 * slm_rng_unit(&rng) - 0.1,
                                           -20 * slm_rng_unit(&rng),
                                           1 + (int)slm_rng_below(&rng, 12), s % 2 == 0};
            struct slm_prefer_tally t = {0};
            slm_prefer_items(&l, a, 4, slope, NULL, &t);
            assert_int_equal(t.n_items, l.kind->pairs ? 2 : 4);
            assert_true(t.right >= 0 && t.right <= 2);
            for (int s = 0; s < 4; s++) {
                struct slm_answer up[4], down[4];
                memcpy(up, a, sizeof a);
                memcpy(down, a, sizeof a);
                up[s].logp += h;
                down[s].logp -= h;
                double d = (sum_of(&l, up, 4) - sum_of(&l, down, 4)) / (2 * h);
                if (!(fabs(d - slope[s]) <= 1e-5 * (1 + fabs(d))))
                    fail_msg("%s: slope %.9g, want %.9g", kind, slope[s], d);
            }
        }
}

/* ---- bad files ---- */

static void test_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", ":"},
        {"[]", "list of pairs"},
        {"{\"pairs\": 3}", "list of pairs"},
        {"[{\"prompt\": [1], \"chosen\": [1]}]", "pair 0: rejected is missing"},
        {"[{\"prompt\": [1], \"chosen\": [], \"rejected\": [1]}]", "pair 0: chosen is empty"},
        {"[{\"prompt\": [], \"chosen\": [1], \"rejected\": [1]}]", "pair 0: prompt is empty"},
        {"[{\"prompt\": [1], \"chosen\": [64], \"rejected\": [1]}]", "outside"},
        {"[{\"prompt\": [1], \"chosen\": [1.5], \"rejected\": [1]}]", "outside"},
        {"[{\"prompt\": [-1], \"chosen\": [1], \"rejected\": [1]}]", "outside"},
        {"[{\"prompt\": \"hi\", \"chosen\": [1], \"rejected\": [1]}]", "no tokenizer"},
        {"[{\"prompt\": 7, \"chosen\": [1], \"rejected\": [1]}]", "neither"},
        {"[3]", "prompt is missing"},
    };
    slm_runtime *rt = runtime_new(NULL, 1);
    slm_model *m = open_model(rt, "tests/golden/llama");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        slm_pairs *p;
        slm_err err = {0};
        char path[256];
        snprintf(path, sizeof path, "%s", scratch("pairs.json"));
        write_text(path, cases[i].text, strlen(cases[i].text));
        int rc = slm_pairs_load(&p, m, path, &err);
        if (!rc || p || !strstr(err.msg, cases[i].words) || !strstr(err.msg, path))
            fail_msg("case %zu: %d \"%s\", want \"%s\"", i, rc, err.msg, cases[i].words);
    }
    slm_model_close(&m);
    slm_runtime_close(&rt);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truth),
        cmocka_unit_test(test_slopes),
        cmocka_unit_test(test_wrong),
    };
    for (int i = 1; i < argc && i <= 6; i++)
        args[i - 1] = argv[i];
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
