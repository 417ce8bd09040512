/* Pages that need nothing beside themselves: one style for all, and curves as inline SVG. */
#include "runs_cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 720, HEIGHT = 280, LEFT = 62, BOTTOM = 28, TOP = 10, POINTS = 800, MOST = 8 };
static const char *const color[MOST] = {"#47a", "#c40", "#293", "#a3a",
                                        "#b80", "#0aa", "#666", "#d48"};

void slm_page_open(FILE *f, const char *title)
{
    fputs("<!doctype html>\n<html lang='en'><meta charset='utf-8'><title>", f);
    slm_page_text(f, title);
    fputs("</title>\n"
          "<style>body{font:15px/1.5 sans-serif;margin:2em;color:#222}table{border-collapse:"
          "collapse}td,th{padding:3px 10px;text-align:right;border-bottom:1px solid #ddd}"
          "td:first-child,td:nth-child(2),td:nth-child(3){text-align:left}.c{fill:#eef;stroke:"
          "#99b}.v{fill:#47a}.r{stroke:#fff}.p{stroke:#c40;stroke-width:2}.g{stroke:#ddd}"
          "svg text{font-size:11px;fill:#555}svg polyline{fill:none;stroke-width:1.6}"
          ".raw{opacity:.3}pre{background:#f6f6f8;padding:8px 12px;white-space:pre-wrap}"
          ".l td{text-align:left;vertical-align:top}</style>\n",
          f);
}

void slm_page_close(FILE *f) { fputs("</html>\n", f); }

void slm_page_text(FILE *f, const char *s)
{
    for (; *s; s++) {
        if (*s == '<' || *s == '>' || *s == '&' || *s == '"' || *s == '\'')
            fprintf(f, "&#%d;", *s);
        else
            fputc(*s, f);
    }
}

/* ---- a frame and its scales ---- */

struct frame {
    double x0, x1, y0, y1;
};

static double px(const struct frame *a, double x)
{
    return LEFT + (x - a->x0) / (a->x1 - a->x0) * (WIDTH - LEFT - 10);
}

static double py(const struct frame *a, double y)
{
    return TOP + (a->y1 - y) / (a->y1 - a->y0) * (HEIGHT - TOP - BOTTOM);
}

/* 1, 2 or 5 times a power of ten: about six marks over the range. */
static double mark(double range)
{
    double p = pow(10, floor(log10(range / 6))), m = range / 6 / p;
    return p * (m < 1.5 ? 1 : m < 3.5 ? 2 : m < 7.5 ? 5 : 10);
}

/* Around all points, with a little room. */
static bool fit(struct frame *a, const struct slm_page_line *l, int n)
{
    bool some = false;
    for (int i = 0; i < n; i++) {
        for (size_t k = 0; l[i].s && k < l[i].s->n; k++) {
            double x = (double)l[i].s->step[k], y = l[i].s->value[k];
            if (!isfinite(y))
                continue;
            if (!some)
                *a = (struct frame){x, x, y, y};
            some = true;
            a->x0 = fmin(a->x0, x);
            a->x1 = fmax(a->x1, x);
            a->y0 = fmin(a->y0, y);
            a->y1 = fmax(a->y1, y);
        }
    }
    if (a->x1 <= a->x0)
        a->x1 = a->x0 + fmax(1, fabs(a->x0) * 1e-6);
    double pad = a->y1 > a->y0 ? 0.05 * (a->y1 - a->y0) : fmax(fabs(a->y0) * 0.05, 1e-9);
    a->y0 -= pad;
    a->y1 += pad;
    return some;
}

static void axes(FILE *f, const struct frame *a)
{
    double m = mark(a->y1 - a->y0), y = ceil(a->y0 / m) * m;
    for (int i = 0; i < 16 && y <= a->y1; i++, y += m)
        fprintf(f,
                "<line x1='%d' x2='%d' y1='%.1f' y2='%.1f' class='g'/><text x='%d' y='%.1f' "
                "text-anchor='end'>%.4g</text>",
                LEFT, WIDTH - 10, py(a, y), py(a, y), LEFT - 6, py(a, y) + 4,
                fabs(y) < m / 1e6 ? 0.0 : y);
    m = fmax(mark(a->x1 - a->x0), 1);
    double x = ceil(a->x0 / m) * m;
    for (int i = 0; i < 16 && x <= a->x1; i++, x += m)
        fprintf(f, "<text x='%.1f' y='%d' text-anchor='middle'>%.0f</text>", px(a, x),
                HEIGHT - 10, x);
}

/* A curve of at most POINTS points, each the mean of a stretch; smooth: of a moving mean. */
static void curve(FILE *f, const struct frame *a, const slm_run_series *s, const char *stroke,
                  const char *more, double smooth)
{
    size_t stretch = (s->n + POINTS - 1) / POINTS;
    double mean = 0, weight = 0;
    bool open = false;
    for (size_t i = 0; i < s->n; i += stretch ? stretch : 1) {
        double x = 0, y = 0;
        size_t n = 0;
        for (size_t k = i; k < s->n && k < i + stretch; k++) {
            if (!isfinite(s->value[k]))
                continue;
            mean = smooth * mean + (1 - smooth) * s->value[k];
            weight = smooth * weight + (1 - smooth);
            x += (double)s->step[k];
            y += mean / weight;
            n++;
        }
        if (!n) { /* numbers that are none: a gap */
            fputs(open ? "'/>" : "", f);
            open = false;
            continue;
        }
        if (!open)
            fprintf(f, "<polyline stroke='%s'%s points='", stroke, more);
        fprintf(f, "%.1f,%.1f ", px(a, x / (double)n), py(a, y / (double)n));
        open = true;
    }
    fputs(open ? "'/>" : "", f);
}

/* One number alone makes no line: a dot. */
static void dots(FILE *f, const struct frame *a, const slm_run_series *s, const char *fill)
{
    for (size_t i = 0; i < s->n && s->n <= 40; i++)
        if (isfinite(s->value[i]))
            fprintf(f,
                    "<circle r='2.5' fill='%s' cx='%.1f' cy='%.1f'><title>%lld: %.6g</title>"
                    "</circle>",
                    fill, px(a, (double)s->step[i]), py(a, s->value[i]), (long long)s->step[i],
                    s->value[i]);
}

void slm_page_chart(FILE *f, const char *title, const struct slm_page_line *l, int n)
{
    struct frame a = {0};
    n = n > MOST ? MOST : n;
    if (!fit(&a, l, n))
        return;
    fputs("<h3>", f);
    slm_page_text(f, title);
    fprintf(f, "</h3>\n<svg width='%d' height='%d' role='img'>", WIDTH, HEIGHT + 4);
    axes(f, &a);
    for (int i = 0; i < n; i++) {
        if (!l[i].s || !l[i].s->n)
            continue;
        bool noisy = n == 1 && l[i].s->n > 60;
        curve(f, &a, l[i].s, color[i], noisy ? " class='raw'" : "", 0);
        if (noisy)
            curve(f, &a, l[i].s, color[i], "", 1 - 20 / (double)(l[i].s->n + 20));
        dots(f, &a, l[i].s, color[i]);
    }
    for (int i = 0; i < n && n > 1; i++) {
        fprintf(f, "<text x='%d' y='%d' style='fill:%s' text-anchor='end'>", WIDTH - 14,
                TOP + 14 + 15 * i, color[i]);
        slm_page_text(f, l[i].name);
        fputs("</text>", f);
    }
    fputs("</svg>\n", f);
}
