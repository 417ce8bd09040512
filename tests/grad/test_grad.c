/* Every op with a backward against finite differences, alone and in a block with everything in
 * it. A case builds a program from an embedded input; its result goes into a cross-entropy. The
 * difference is the five-point one, whose error is of the fourth order, so that steps may be
 * large enough for float32's rounding. Every gradient must also be the same bits on 1 and 3
 * threads. */
#include "toy.h"

#include <stdio.h>

#define ROWS 9
#define STEP 0.02f
#define SAMPLES 24

struct bench {
    struct toy t;
    slm_prog *p;
    const struct slm_weight *wanted[40];
    float *grad[40];
    int n_wanted, vocab;
    int classes;   /* of a case that ends in a loss of its own; 0: cross_entropy follows */
    slm_val route; /* negative: none */
    int choice[2 * ROWS]; /* experts chosen at the point: a step that changes one leaves the
                             smooth part */
    int32_t ids[ROWS], pos[ROWS], stream[ROWS], target[ROWS];
    struct slm_run run;
};

/* A weight whose gradient is checked. */
static const struct slm_weight *want(struct bench *b, const struct slm_weight *w)
{
    b->wanted[b->n_wanted++] = w;
    return w;
}
static const struct slm_weight *matrix(struct bench *b, int rows, int cols)
{
    return want(b, toy_weight(&b->t, SLM_F32, rows, cols));
}
static const struct slm_weight *vector(struct bench *b, int rows, int cols)
{
    return want(b, toy_vector(&b->t, SLM_F32, rows, cols, 0.8f));
}
static slm_val input(struct bench *b, int width)
{
    return slm_emit_embed(b->p, want(b, toy_parts(&b->t, SLM_F32, 1, b->vocab, width, 1.0f)),
                          1.3f);
}

/* ---- the cases: each gives the value whose cross-entropy is taken ---- */

typedef slm_val case_fn(struct bench *b, int width);

static slm_val do_embed(struct bench *b, int w) { return input(b, w); }
static slm_val do_position(struct bench *b, int w)
{
    return slm_emit_position(b->p, input(b, w), matrix(b, 16, w));
}
static slm_val do_rms(struct bench *b, int w)
{
    struct slm_norm n = {SLM_NORM_RMS, vector(b, 1, w), NULL, 1e-3f, 1.0f, 1};
    return slm_emit_norm(b->p, input(b, w), &n);
}
static slm_val do_layer(struct bench *b, int w)
{
    struct slm_norm n = {SLM_NORM_LAYER, vector(b, 1, w), vector(b, 1, w), 1e-3f, 0.0f, 1};
    return slm_emit_norm(b->p, input(b, w), &n);
}
static slm_val do_rms_plain(struct bench *b, int w)
{
    struct slm_norm n = {SLM_NORM_RMS, NULL, NULL, 1e-3f, 0.0f, 1};
    return slm_emit_norm(b->p, input(b, w), &n);
}
static slm_val do_norm_heads(struct bench *b, int w)
{
    struct slm_norm n = {SLM_NORM_RMS, vector(b, 1, w), NULL, 1e-3f, 0.0f, 3};
    return slm_emit_norm(b->p, input(b, 3 * w), &n);
}
static slm_val do_norm_own(struct bench *b, int w)
{
    struct slm_norm n = {SLM_NORM_LAYER, vector(b, 3, w), NULL, 1e-3f, 0.0f, 3};
    return slm_emit_norm(b->p, input(b, 3 * w), &n);
}
static slm_val do_linear(struct bench *b, int w)
{
    struct slm_linear l = {matrix(b, w + 3, w), vector(b, 1, w + 3)};
    return slm_emit_linear(b->p, input(b, w), &l);
}
static slm_val do_lora(struct bench *b, int w)
{
    struct slm_lora lora = {
        .a = matrix(b, 5, w), .b = matrix(b, w + 1, 5), .scale = 0.6f, .row0 = 2};
    struct slm_linear l = {matrix(b, w + 3, w), NULL};
    slm_val x = input(b, w);
    return slm_emit_lora(b->p, slm_emit_linear(b->p, x, &l), x, &lora);
}
static slm_val do_dropout(struct bench *b, int w)
{
    struct slm_lora lora = {
        .a = matrix(b, 5, w), .b = matrix(b, w + 3, 5), .scale = 0.6f, .dropout = 0.4f};
    struct slm_linear l = {matrix(b, w + 3, w), NULL};
    slm_val x = input(b, w);
    return slm_emit_lora(b->p, slm_emit_linear(b->p, x, &l), x, &lora);
}
static slm_val do_frozen(struct bench *b, int w)
{
    struct slm_lora lora = {.a = matrix(b, 5, 64), .b = matrix(b, w, 5), .scale = 0.6f};
    struct slm_linear l = {toy_weight(&b->t, SLM_Q8_0, w, 64), NULL};
    slm_val x = input(b, 64);
    return slm_emit_lora(b->p, slm_emit_linear(b->p, x, &l), x, &lora);
}
/* The length is a constant on the way back, so there A and B, which it hangs on, stand still.
 */
static slm_val do_magnitude(struct bench *b, int w)
{
    struct slm_dora d = {.w = toy_weight(&b->t, SLM_F32, w + 3, w), .m = vector(b, 1, w + 1)};
    d.lora = (struct slm_lora){.a = toy_weight(&b->t, SLM_F32, 5, w),
                               .b = toy_weight(&b->t, SLM_F32, w + 1, 5),
                               .scale = 0.6f,
                               .row0 = 2};
    struct slm_linear l = {d.w, NULL};
    slm_val x = input(b, w), y = slm_emit_lora(b->p, slm_emit_linear(b->p, x, &l), x, &d.lora);
    return slm_emit_bias(b->p, slm_emit_magnitude(b->p, y, &d), vector(b, 1, w + 3));
}
static slm_val do_lora_embed(struct bench *b, int w)
{
    struct slm_lora lora = {.a = matrix(b, 3, b->vocab), .b = matrix(b, w, 3), .scale = 0.6f};
    slm_val x = slm_emit_embed(b->p, toy_weight(&b->t, SLM_F32, b->vocab, w), 1.0f);
    return slm_emit_lora_embed(b->p, x, &lora);
}
static slm_val do_view(struct bench *b, int w)
{
    slm_val x = input(b, 2 * w + 1);
    return slm_emit_add(b->p, slm_emit_view(b->p, x, 0, w), slm_emit_view(b->p, x, w / 2, w));
}
static slm_val do_rope(struct bench *b, int w, bool pairs)
{
    static const float freq[2][2] = {{1.0f, 0.3f}, {0.9f, 0.2f}};
    struct slm_angles a = {2, {freq[0], freq[1]}, 1.2f};
    return slm_emit_rope(b->p, input(b, 3 * (w + 4)), slm_emit_angles(b->p, &a), 3, pairs);
}
static slm_val do_rope_half(struct bench *b, int w) { return do_rope(b, w, false); }
static slm_val do_rope_pair(struct bench *b, int w) { return do_rope(b, w, true); }
static slm_val do_temper(struct bench *b, int w)
{
    return slm_emit_temper(b->p, input(b, w), 0.4f, 2);
}

static slm_val do_attention(struct bench *b, int w, int group, int window, float cap)
{
    struct slm_attn a = {.heads = 2 * group,
                         .kv_heads = 2,
                         .width = w,
                         .scale = 0.4f,
                         .cap = cap,
                         .window = window};
    slm_val x = input(b, (2 * group + 4) * w);
    return slm_emit_attention(b->p, slm_emit_view(b->p, x, 0, 2 * group * w),
                              slm_emit_view(b->p, x, 2 * group * w, 2 * w),
                              slm_emit_view(b->p, x, (2 * group + 2) * w, 2 * w), &a);
}
static slm_val do_attn(struct bench *b, int w) { return do_attention(b, w, 1, 0, 0); }
static slm_val do_attn_group(struct bench *b, int w) { return do_attention(b, w, 3, 0, 0); }
static slm_val do_attn_window(struct bench *b, int w) { return do_attention(b, w, 2, 3, 0); }
static slm_val do_attn_cap(struct bench *b, int w) { return do_attention(b, w, 2, 4, 1.5f); }

static slm_val do_glu(struct bench *b, int w)
{
    slm_val x = input(b, 2 * w);
    return slm_emit_glu(b->p, slm_emit_view(b->p, x, 0, w), slm_emit_view(b->p, x, w, w),
                        SLM_ACT_SILU);
}
static slm_val do_geglu(struct bench *b, int w)
{
    slm_val x = input(b, 2 * w);
    return slm_emit_glu(b->p, slm_emit_view(b->p, x, 0, w), slm_emit_view(b->p, x, w, w),
                        SLM_ACT_GELU_TANH);
}
static slm_val do_gelu(struct bench *b, int w)
{
    return slm_emit_act(b->p, input(b, w), SLM_ACT_GELU_TANH);
}
static slm_val do_silu(struct bench *b, int w)
{
    return slm_emit_act(b->p, input(b, w), SLM_ACT_SILU);
}
static slm_val do_add(struct bench *b, int w)
{
    slm_val x = input(b, w);
    return slm_emit_add(b->p, slm_emit_add(b->p, x, input(b, w)), x);
}
static slm_val do_scale(struct bench *b, int w)
{
    return slm_emit_scale(b->p, input(b, w), -0.7f);
}
static slm_val do_softcap(struct bench *b, int w)
{
    return slm_emit_softcap(b->p, input(b, w), 1.7f);
}
static slm_val do_gather(struct bench *b, int w) { return slm_emit_gather(b->p, input(b, w)); }

static slm_val do_experts(struct bench *b, int w)
{
    slm_val x = input(b, w);
    struct slm_linear r = {matrix(b, 4, w), NULL};
    slm_val route = slm_emit_route(b->p, slm_emit_linear(b->p, x, &r), 2);
    slm_val h = slm_emit_linear_expert(b->p, x, route,
                                       want(b, toy_parts(&b->t, SLM_F32, 4, w + 2, w, 0.4f)));
    b->route = route;
    slm_prog_keep(b->p, route);
    slm_val y = slm_emit_linear_expert(b->p, h, route,
                                       want(b, toy_parts(&b->t, SLM_F32, 4, w, w + 2, 0.4f)));
    return slm_emit_mix(b->p, y, route);
}

static slm_val do_lora_experts(struct bench *b, int w)
{
    slm_val x = input(b, w);
    struct slm_linear r = {matrix(b, 4, w), NULL};
    slm_val route = slm_emit_route(b->p, slm_emit_linear(b->p, x, &r), 2);
    struct slm_lora up = {.a = want(b, toy_parts(&b->t, SLM_F32, 4, 3, w, 0.4f)),
                          .b = want(b, toy_parts(&b->t, SLM_F32, 4, w + 2, 3, 0.4f)),
                          .scale = 0.6f,
                          .dropout = 0.3f};
    struct slm_lora down = {.a = want(b, toy_parts(&b->t, SLM_F32, 4, 3, w + 2, 0.4f)),
                            .b = want(b, toy_parts(&b->t, SLM_F32, 4, w, 3, 0.4f)),
                            .scale = 0.6f};
    slm_val h =
        slm_emit_linear_expert(b->p, x, route, toy_parts(&b->t, SLM_F32, 4, w + 2, w, 0.4f));
    b->route = route;
    slm_prog_keep(b->p, route);
    h = slm_emit_lora_expert(b->p, h, x, route, &up);
    slm_val y =
        slm_emit_linear_expert(b->p, h, route, toy_parts(&b->t, SLM_F32, 4, w, w + 2, 0.4f));
    return slm_emit_mix(b->p, slm_emit_lora_expert(b->p, y, h, route, &down), route);
}

static slm_val do_head(struct bench *b, int w, float cap)
{
    b->classes = 3 * w;
    return slm_emit_head_loss(b->p, input(b, w), matrix(b, 3 * w, w), cap);
}
static slm_val do_head_plain(struct bench *b, int w) { return do_head(b, w, 0); }
static slm_val do_head_cap(struct bench *b, int w) { return do_head(b, w, 1.7f); }

static slm_val do_block(struct bench *b, int w)
{
    struct toy_model m = {.vocab = b->vocab,
                          .d = w + 3,
                          .heads = 4,
                          .kv_heads = 2,
                          .c = 6,
                          .ff = w + 5,
                          .experts = 4,
                          .chosen = 2,
                          .type = SLM_F32,
                          .lora = true,
                          .pairs = w % 2,
                          .window = {0, 4}};
    static float freq[2][64]; /* outlive the program */
    toy_model_make(&b->t, &m);
    memcpy(freq, m.freq, sizeof freq);
    struct slm_angles a = {2, {freq[0], freq[1]}, 1.1f};
    slm_val angles = slm_emit_angles(b->p, &a);
    slm_val x = slm_emit_position(b->p, slm_emit_embed(b->p, m.embed, 1.5f), m.pos);
    for (int l = 0; l < 2; l++) {
        slm_prog_layer(b->p, l);
        x = toy_feed(b->p, &m, toy_attention(b->p, &m, x, angles, l), l);
    }
    slm_prog_layer(b->p, -1);
    b->route = m.route;
    slm_prog_keep(b->p, m.route);
    struct slm_norm norm = {SLM_NORM_RMS, m.final, NULL, 1e-5f, 1.0f, 1};
    struct slm_linear out = {m.embed, NULL}; /* tied: its gradient has two sources */
    for (int i = 0; i < b->t.n; i++)
        if (b->t.weight[i].type == SLM_F32)
            want(b, &b->t.weight[i]);
    return slm_emit_softcap(b->p, slm_emit_linear(b->p, slm_emit_norm(b->p, x, &norm), &out),
                            5.0f);
}

static const struct {
    const char *name;
    case_fn *fn;
    int width[3];
} cases[] = {
    {"embed", do_embed, {5, 33, 0}},
    {"position", do_position, {5, 17, 0}},
    {"norm rms", do_rms, {7, 64, 0}},
    {"norm layer", do_layer, {7, 65, 0}},
    {"norm without weights", do_rms_plain, {9, 0, 0}},
    {"norm of heads", do_norm_heads, {4, 19, 0}},
    {"norm of heads, own weights", do_norm_own, {5, 16, 0}},
    {"linear", do_linear, {6, 40, 300}},
    {"linear with adapter", do_lora, {6, 40, 0}},
    {"adapter with dropout", do_dropout, {6, 40, 0}},
    {"adapter on a frozen q8_0", do_frozen, {12, 35, 0}},
    {"adapter of an embedding", do_lora_embed, {6, 40, 0}},
    {"adapter's magnitudes", do_magnitude, {6, 40, 0}},
    {"views", do_view, {8, 33, 0}},
    {"rope halves", do_rope_half, {2, 5, 0}},
    {"rope pairs", do_rope_pair, {1, 4, 0}},
    {"temper", do_temper, {6, 0, 0}},
    {"attention", do_attn, {3, 16, 0}},
    {"attention, groups", do_attn_group, {5, 8, 0}},
    {"attention, window", do_attn_window, {6, 17, 0}},
    {"attention, window and cap", do_attn_cap, {4, 9, 0}},
    {"glu silu", do_glu, {5, 70, 0}},
    {"glu gelu", do_geglu, {5, 70, 0}},
    {"gelu", do_gelu, {9, 66, 0}},
    {"silu", do_silu, {9, 66, 0}},
    {"add", do_add, {7, 65, 0}},
    {"scale", do_scale, {7, 0, 0}},
    {"softcap", do_softcap, {7, 65, 0}},
    {"gather", do_gather, {7, 65, 0}},
    {"route, experts, mix", do_experts, {6, 21, 0}},
    {"adapters of experts", do_lora_experts, {6, 21, 0}},
    {"head and loss", do_head_plain, {6, 40, 0}},
    {"head, cap and loss", do_head_cap, {6, 0, 0}},
    {"a model", do_block, {9, 14, 0}},
};

/* ---- the machinery ---- */

static void read_choice(const struct bench *b, int *choice)
{
    for (int r = 0; r < ROWS && b->route >= 0; r++)
        memcpy(choice + 2 * r, slm_row(b->p, b->route, r) + 2, 2 * sizeof *choice);
}

static void bench_open_in(struct bench *b, int threads, case_fn *fn, int width, int stretch)
{
    static const int32_t out[] = {0, 3, 3, 8, 5}; /* a row twice, some not at all */
    slm_err err;
    memset(b, 0, sizeof *b);
    toy_open(&b->t, threads, NULL);
    b->vocab = 11;
    b->route = -1;
    struct slm_prog_opts o = {
        .max_rows = ROWS, .max_out = ROWS, .train = true, .stretch = stretch};
    assert_int_equal(slm_prog_new(&b->p, b->t.rt, &o, &err), 0);
    slm_val y = fn(b, width);
    if (!b->classes)
        slm_emit_cross_entropy(b->p, y);
    if (slm_prog_plan(b->p, &err))
        fail_msg("%s", err.msg);
    bool gathered = y >= 0 && b->p->value[y].gathered;
    for (int r = 0; r < ROWS; r++) { /* two streams, of 6 rows and of 3 */
        b->ids[r] = r * 4 % b->vocab;
        b->stream[r] = r >= 6;
        b->pos[r] = r < 6 ? r : r - 6;
        b->target[r] =
            r == 2 ? -1 : (r * 5 + 1) % (b->classes ? b->classes : b->p->value[y].width);
    }
    static const uint8_t sets[2] = {0, 1};
    b->run = (struct slm_run){.rows = ROWS,
                              .ids = b->ids,
                              .pos = b->pos,
                              .stream = b->stream,
                              .n_streams = 2,
                              .rope_set = sets,
                              .target = b->target,
                              .out = gathered ? out : NULL,
                              .n_out = gathered ? 5 : 0,
                              .seed = 77};
    for (int i = 0; i < b->n_wanted; i++) {
        const struct slm_weight *w = b->wanted[i];
        b->grad[i] = calloc((size_t)w->parts * w->rows * w->cols, sizeof(float));
        assert_non_null(b->grad[i]);
        slm_prog_want(b->p, w, b->grad[i]);
    }
    slm_prog_run(b->p, &b->run);
    read_choice(b, b->choice);
    slm_prog_run_back(b->p, &b->run);
}

static void bench_open(struct bench *b, int threads, case_fn *fn, int width)
{
    bench_open_in(b, threads, fn, width, 0);
}

static void bench_close(struct bench *b)
{
    for (int i = 0; i < b->n_wanted; i++)
        free(b->grad[i]);
    slm_prog_free(b->p);
    toy_close(&b->t);
}

/* NAN where other experts are chosen. */
static double loss_with(struct bench *b, float *x, float v)
{
    float was = *x;
    int choice[2 * ROWS] = {0};
    *x = v;
    b->run.later = true; /* no gradient is wanted here */
    slm_prog_run(b->p, &b->run);
    *x = was;
    read_choice(b, choice);
    return memcmp(choice, b->choice, sizeof choice) ? (double)NAN : slm_prog_loss(b->p);
}

static double slope_at(struct bench *b, float *x, float h)
{
    float v = *x;
    volatile float a = v + h, c = v - h, d = v + 2 * h, e = v - 2 * h; /* steps as stored */
    double near = loss_with(b, x, a) - loss_with(b, x, c),
           far = loss_with(b, x, d) - loss_with(b, x, e);
    double h1 = ((double)a - (double)c) / 2, h2 = ((double)d - (double)e) / 2;
    return (4 * near / (2 * h1) - far / (2 * h2)) / 3;
}

static void check_weight(struct bench *b, int i, const char *name, int width)
{
    const struct slm_weight *w = b->wanted[i];
    size_t n = (size_t)w->parts * w->rows * w->cols, step = n / SAMPLES + 1;
    float *x = (float *)(uintptr_t)w->part[0];
    double most = 0, worst = 0;
    size_t where = 0, kinks = 0, tried = 0;
    for (size_t j = 0; j < n; j++)
        most = fmax(most, fabs((double)b->grad[i][j]));
    for (size_t j = 0; j < n; j += step) {
        double d = fabs(slope_at(b, x + j, STEP) - (double)b->grad[i][j]);
        if (isnan(d)) /* a shorter step may stay with the same experts; its rounding weighs more
                       */
            d = fabs(slope_at(b, x + j, STEP / 4) - (double)b->grad[i][j]) - 1e-4;
        tried++;
        kinks += isnan(d);
        if (d > worst) {
            worst = d;
            where = j;
        }
    }
    if (kinks * 4 > tried * 3)
        fail_msg("%s, width %d, weight %d: %zu steps of %zu change the experts", name, width, i,
                 kinks, tried);
    if (worst > 1e-3 * most + 4e-5)
        fail_msg("%s, width %d, weight %d (%d x %d x %d): element %zu: %g by backward, %g off "
                 "(largest %g)",
                 name, width, i, w->parts, w->rows, w->cols, where, (double)b->grad[i][where],
                 worst, most);
}

static void every_op(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        for (int k = 0; k < 3 && cases[c].width[k]; k++) {
            struct bench one, three;
            bench_open(&one, 1, cases[c].fn, cases[c].width[k]);
            bench_open(&three, 3, cases[c].fn, cases[c].width[k]);
            for (int i = 0; i < one.n_wanted; i++) {
                const struct slm_weight *w = one.wanted[i];
                if (memcmp(one.grad[i], three.grad[i],
                           (size_t)w->parts * w->rows * w->cols * sizeof(float)))
                    fail_msg("%s, width %d: weight %d differs on 3 threads", cases[c].name,
                             cases[c].width[k], i);
                check_weight(&one, i, cases[c].name, cases[c].width[k]);
            }
            bench_close(&one);
            bench_close(&three);
        }
    }
}

/* Runs of one row each add up to one run of all, where the loss is a sum. */
static void gradients_add(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, 2, do_linear, 40);
    const struct slm_weight *w = b.wanted[0];
    size_t n = (size_t)w->rows * w->cols;
    float *whole = malloc(n * sizeof *whole), weight[ROWS];
    assert_non_null(whole);
    for (int r = 0; r < ROWS; r++)
        weight[r] = 1.0f + (float)r;
    memset(b.grad[0], 0, n * sizeof *whole);
    b.target[2] = 1;
    b.run.weight = weight;
    slm_prog_run(b.p, &b.run);
    slm_prog_run_back(b.p, &b.run);
    memcpy(whole, b.grad[0], n * sizeof *whole);
    memset(b.grad[0], 0, n * sizeof *whole);
    for (int r = 0; r < ROWS; r++) {
        struct slm_run one = {.rows = 1,
                              .ids = b.ids + r,
                              .pos = b.pos + r,
                              .n_streams = 1,
                              .target = b.target + r,
                              .weight = weight + r};
        slm_prog_run(b.p, &one);
        slm_prog_run_back(b.p, &one);
    }
    for (size_t i = 0; i < n; i++)
        assert_true(fabs((double)whole[i] - (double)b.grad[0][i]) < 1e-5);
    free(whole);
    bench_close(&b);
}

/* What is made again has the bits of what was kept, and takes less room. */
static void stretches(void **state)
{
    (void)state;
    struct bench kept, again;
    bench_open(&kept, 2, do_block, 9);
    bench_open_in(&again, 2, do_block, 9, 1);
    assert_true(slm_prog_bytes(again.p) < slm_prog_bytes(kept.p));
    for (int i = 0; i < kept.n_wanted; i++) {
        const struct slm_weight *w = kept.wanted[i];
        assert_memory_equal(kept.grad[i], again.grad[i],
                            (size_t)w->parts * w->rows * w->cols * sizeof(float));
    }
    bench_close(&kept);
    bench_close(&again);
}

/* Gradients are the same whether the rows' weights are known before the losses or after. */
static void weights_later(void **state)
{
    (void)state;
    struct bench first, later;
    float weight[ROWS] = {0.5f, 1, -2, 0, 1, 3, 1, 0.25f, 1};
    bench_open(&first, 2, do_head_cap, 6);
    bench_open(&later, 2, do_head_cap, 6);
    struct bench *both[2] = {&first, &later};
    for (int k = 0; k < 2; k++) {
        struct bench *b = both[k];
        for (int i = 0; i < b->n_wanted; i++)
            memset(b->grad[i], 0,
                   (size_t)b->wanted[i]->rows * b->wanted[i]->cols * sizeof(float));
        b->run.later = k == 1;
        b->run.weight = k == 1 ? NULL : weight;
        slm_prog_run(b->p, &b->run);
        b->run.weight = weight;
        slm_prog_run_back(b->p, &b->run);
    }
    for (int i = 0; i < first.n_wanted; i++)
        assert_memory_equal(first.grad[i], later.grad[i],
                            (size_t)first.wanted[i]->rows * first.wanted[i]->cols *
                                sizeof(float));
    bench_close(&first);
    bench_close(&later);
}

struct seen {
    int last, n;
};
static void see(void *arg, const slm_prog *p, const struct slm_node_info *node)
{
    struct seen *s = arg;
    (void)p;
    assert_true(node->index < s->last);
    s->last = node->index;
    s->n++;
}

/* Whoever watches the way back sees the nodes in falling order. */
static void way_back_is_seen(void **state)
{
    (void)state;
    struct bench b;
    struct seen s = {1 << 20, 0};
    bench_open(&b, 2, do_linear, 6);
    slm_prog_tap_back(b.p, see, &s);
    slm_prog_run(b.p, &b.run);
    slm_prog_run_back(b.p, &b.run);
    assert_true(s.n >= 3);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op), cmocka_unit_test(gradients_add),
        cmocka_unit_test(stretches), cmocka_unit_test(weights_later),
        cmocka_unit_test(way_back_is_seen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
