/* slm bench --products: the matrix products of training, each with its share of the peak. */
#include "bench_run.h"

struct peaks {
    double f32, bf16;
};

static void row(const slm_bench_product *r, const struct peaks *p)
{
    printf("%-22s %-5s %5d x %5d x %4d  %7.0f %5.0f %%  %7.0f %5.0f %%\n", r->what, r->type,
           r->m, r->n, r->k, r->f32_gflops, 100 * r->f32_gflops / p->f32, r->bf16_gflops,
           100 * r->bf16_gflops / p->bf16);
    fflush(stdout);
}

static void json_row(struct slm_cli_json *j, const slm_bench_product *r, const struct peaks *p)
{
    slm_js_open(j, '{');
    slm_js_kstr(j, "product", r->what);
    slm_js_kstr(j, "type", r->type);
    slm_js_kint(j, "m", r->m);
    slm_js_kint(j, "n", r->n);
    slm_js_kint(j, "k", r->k);
    slm_js_kreal(j, "f32_gflops", r->f32_gflops);
    slm_js_kreal(j, "f32_share", r->f32_gflops / p->f32);
    slm_js_kreal(j, "bf16_gflops", r->bf16_gflops);
    slm_js_kreal(j, "bf16_share", r->bf16_gflops / p->bf16);
    slm_js_close(j, '}');
}

int slm_bench_show_products(struct slm_cli *c, bool json, slm_err *err)
{
    struct slm_cli_json j = {.f = stdout};
    struct peaks p;
    int code = 0, threads = slm_runtime_threads(c->rt);
    slm_bench_product_peaks(c->rt, &p.f32, &p.bf16);
    if (json) {
        slm_js_open(&j, '{');
        slm_js_kstr(&j, "cpu", slm_runtime_cpu_name(c->rt));
        slm_js_kstr(&j, "cpu_level", slm_runtime_cpu_level(c->rt));
        slm_js_kint(&j, "threads", threads);
        slm_js_key(&j, "products");
        slm_js_open(&j, '[');
    } else {
        printf("%s, level %s, threads: %d\n", slm_runtime_cpu_name(c->rt),
               slm_runtime_cpu_level(c->rt), threads);
        printf("%-22s %-5s %20s  %15s  %15s\n", "product", "type", "m x n x k", "f32 GFLOP/s",
               "bf16 GFLOP/s");
    }
    for (int i = 0; i < slm_bench_products() && !code; i++) {
        slm_bench_product r;
        code = slm_bench_product_run(c->rt, i, &r, err);
        if (!code && json)
            json_row(&j, &r, &p);
        else if (!code)
            row(&r, &p);
    }
    if (json) {
        slm_js_close(&j, ']');
        slm_js_kreal(&j, "f32_peak_gflops", p.f32);
        slm_js_kreal(&j, "bf16_peak_gflops", p.bf16);
        slm_js_close(&j, '}');
    } else {
        printf("peaks: f32 %.0f, bf16 %.0f GFLOP/s\n", p.f32, p.bf16);
    }
    return code;
}
