/* slm bench's inside: what one test is, what it gave, and where that goes. */
#ifndef SLM_CLI_BENCH_RUN_H
#define SLM_CLI_BENCH_RUN_H

#include "cli.h"

/* One test and what came of it: rates are tokens a second of all streams together. */
struct slm_bench_result {
    char shape[64], type[128], model[128];
    bool decode;
    int n, depth, streams, threads;
    double tok_s, tok_s_min, tok_s_max; /* median, slowest and fastest run */
    double ceiling, bound;              /* tokens a second; GB/s or Gop/s it follows from */
    const char *bound_name;             /* "bandwidth_gbs", "peak_gops" */
    double attention; /* of a prompt's operations, beyond those of the ceiling; else NAN */
    double load, rss_mib, joules; /* a token; NAN: unknown */
    double peer_tok_s, ratio;     /* NAN without --compare */
    const char *level;
};

/* What a test runs on. */
struct slm_bench_plan {
    const struct slm_cli *c;
    slm_model *model;
    slm_model_info info;
    slm_session_opts so;
    const int32_t *ids;
    int repeat;
    bool show;               /* progress */
    const char *peer, *file; /* the other program and the file it reads, or NULL */
};
/* Fills what the test gives; shape to depth, streams and threads must be there. */
int slm_bench_test(const struct slm_bench_plan *p, struct slm_bench_result *r, slm_err *err);

/* bench_out.c: a line for people; everything as JSON, CSV or a page of its own. */
void slm_bench_line(FILE *f, const struct slm_bench_result *r);
void slm_bench_json(FILE *f, const struct slm_bench_result *r, int n);
void slm_bench_csv(FILE *f, const struct slm_bench_result *r, int n);
void slm_bench_page(FILE *f, const struct slm_bench_result *r, int n, const char *cpu);

/* bench_products.c: the matrix products of training, as a table or as JSON. */
int slm_bench_show_products(struct slm_cli *c, bool json, slm_err *err);

/* bench_peer.c: another engine's llama-bench on the same file, once: tokens a second; and the
 * joules that the processor's packages have used since some moment, NAN where not told. */
int slm_bench_peer(const char *program, const char *file, const struct slm_bench_result *r,
                   double *tok_s, slm_err *err);
double slm_bench_joules(void);

#endif
