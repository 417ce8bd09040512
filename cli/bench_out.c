/* What slm bench found: lines, JSON, CSV, and a page that needs nothing beside itself. */
#include <math.h>
#include <string.h>

#include "bench_run.h"
#include "runs_cli.h"

static const char *test_name(const struct slm_bench_result *r)
{
    return r->decode ? "decode" : "prompt";
}

void slm_bench_line(FILE *f, const struct slm_bench_result *r)
{
    fprintf(f, "%-16s %-8.24s %s %-5d depth %-6d streams %-2d %9.1f tok/s (%.1f..%.1f)",
            r->shape, r->type, test_name(r), r->n, r->depth, r->streams, r->tok_s, r->tok_s_min,
            r->tok_s_max);
    fprintf(f, "  %5.1f %% of %.1f (%.1f %s)", 100 * r->tok_s / r->ceiling, r->ceiling,
            r->bound, r->decode ? "GB/s" : "Gop/s");
    if (!isnan(r->joules))
        fprintf(f, "  %.3g J/tok", r->joules);
    if (!isnan(r->ratio))
        fprintf(f, "  %.2fx the peer's %.1f", r->ratio, r->peer_tok_s);
    fputc('\n', f);
}

void slm_bench_json(FILE *f, const struct slm_bench_result *r, int n)
{
    struct slm_cli_json j = {.f = f};
    slm_js_open(&j, '[');
    for (int i = 0; i < n; i++, r++) {
        slm_js_open(&j, '{');
        slm_js_kstr(&j, "shape", r->shape);
        slm_js_kstr(&j, "type", r->type);
        slm_js_kstr(&j, "test", test_name(r));
        slm_js_kint(&j, "n", r->n);
        slm_js_kint(&j, "depth", r->depth);
        slm_js_kint(&j, "streams", r->streams);
        slm_js_kint(&j, "threads", r->threads);
        slm_js_kreal(&j, "tok_s", r->tok_s);
        slm_js_kreal(&j, "tok_s_min", r->tok_s_min);
        slm_js_kreal(&j, "tok_s_max", r->tok_s_max);
        slm_js_kreal(&j, "ceiling_tok_s", r->ceiling);
        slm_js_kreal(&j, "share", r->tok_s / r->ceiling);
        slm_js_kreal(&j, r->bound_name, r->bound);
        slm_js_kreal(&j, "rss_mib", r->rss_mib);
        slm_js_kreal(&j, "attention_share", r->attention);
        slm_js_kreal(&j, "load_seconds", r->load);
        slm_js_kreal(&j, "joules_per_token", r->joules);
        if (!isnan(r->ratio)) {
            slm_js_kreal(&j, "peer_tok_s", r->peer_tok_s);
            slm_js_kreal(&j, "ratio", r->ratio);
        }
        slm_js_kstr(&j, "model", r->model);
        slm_js_kstr(&j, "cpu_level", r->level);
        slm_js_close(&j, '}');
    }
    slm_js_close(&j, ']');
}

static void number(FILE *f, double x)
{
    if (isnan(x))
        fputc(',', f);
    else
        fprintf(f, ",%.6g", x);
}

void slm_bench_csv(FILE *f, const struct slm_bench_result *r, int n)
{
    fputs(
        "shape,type,test,n,depth,streams,threads,tok_s,tok_s_min,tok_s_max,ceiling_tok_s,share,"
        "bandwidth_gbs,peak_gops,rss_mib,load_seconds,joules_per_token,peer_tok_s,ratio\n",
        f);
    for (int i = 0; i < n; i++, r++) {
        fprintf(f, "%s,\"%s\",%s,%d,%d,%d,%d", r->shape, r->type, test_name(r), r->n, r->depth,
                r->streams, r->threads);
        number(f, r->tok_s);
        number(f, r->tok_s_min);
        number(f, r->tok_s_max);
        number(f, r->ceiling);
        number(f, r->tok_s / r->ceiling);
        number(f, r->decode ? r->bound : (double)NAN);
        number(f, r->decode ? (double)NAN : r->bound);
        number(f, r->rss_mib);
        number(f, r->load);
        number(f, r->joules);
        number(f, r->peer_tok_s);
        number(f, r->ratio);
        fputc('\n', f);
    }
}

/* A bar: the ceiling as a frame, the speed within it, slowest to fastest as a line. */
static void bar(FILE *f, const struct slm_bench_result *r)
{
    double w = 320, top = fmax(r->ceiling, r->tok_s_max), at = top > 0 ? w / top : 0;
    fprintf(
        f,
        "<svg width='330' height='20' role='img'><rect x='1' y='2' width='%.1f' height='15' "
        "class='c'/><rect x='1' y='2' width='%.1f' height='15' class='v'/>"
        "<line x1='%.1f' x2='%.1f' y1='10' y2='10' class='r'/>",
        r->ceiling * at, r->tok_s * at, 1 + r->tok_s_min * at, 1 + r->tok_s_max * at);
    if (!isnan(r->peer_tok_s))
        fprintf(f, "<line x1='%.1f' x2='%.1f' y1='0' y2='20' class='p'/>",
                1 + r->peer_tok_s * at, 1 + r->peer_tok_s * at);
    fputs("</svg>", f);
}

void slm_bench_page(FILE *f, const struct slm_bench_result *r, int n, const char *cpu)
{
    slm_page_open(f, "slm bench");
    fputs("<h1>", f);
    slm_page_text(f, cpu);
    fputs(
        "</h1>\n<p>The frame is what this machine allows, the bar what was reached (the white "
        "line: slowest to fastest run), the red mark the other engine.</p>\n<table><tr><th>"
        "shape<th>type<th>test<th>n<th>depth<th>streams<th>tok/s<th>ceiling<th>share<th>MiB"
        "<th>J/tok<th>ratio<th></tr>\n",
        f);
    for (int i = 0; i < n; i++, r++) {
        fputs("<tr><td>", f);
        slm_page_text(f, r->shape);
        fputs("<td>", f);
        slm_page_text(f, r->type);
        fprintf(f, "<td>%s<td>%d<td>%d<td>%d<td>%.1f<td>%.1f<td>%.0f&nbsp;%%<td>%.0f<td>",
                test_name(r), r->n, r->depth, r->streams, r->tok_s, r->ceiling,
                100 * r->tok_s / r->ceiling, r->rss_mib);
        if (!isnan(r->joules))
            fprintf(f, "%.3g", r->joules);
        fputs("<td>", f);
        if (!isnan(r->ratio))
            fprintf(f, "%.2f", r->ratio);
        fputs("<td>", f);
        bar(f, r);
        fputs("</tr>\n", f);
    }
    fputs("</table>", f);
    slm_page_close(f);
}
