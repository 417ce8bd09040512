/* The numbers of the 8-bit dynamic code: made by its rule in float32, step by step as PyTorch
 * takes them, so that every one has the bits that bitsandbytes' files have. */
#include "base/dynamic8.h"

#include <math.h>
#include <stdlib.h>

/* Point i of n evenly from 0.1 to 1, counted from the nearer end, rounded once. */
static float point(int i, int n)
{
    float step = (1.0f - 0.1f) / (float)(n - 1);
    return i < n / 2 ? fmaf(step, (float)i, 0.1f) : fmaf(-step, (float)(n - 1 - i), 1.0f);
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void fill_first(struct slm_dynamic8 *d)
{
    for (uint32_t i = 0; i < 65536; i++) {
        /* the lowest float of those with this upper half */
        uint32_t bits = i << 16 | (i >> 15 ? 0xffff : 0);
        float low;
        int c = 0;
        memcpy(&low, &bits, sizeof low);
        while (c < 255 && d->middle[c] < low)
            c++;
        d->first[i] = (uint8_t)c;
    }
}

void slm_dynamic8_fill(struct slm_dynamic8 *d, bool with_sign)
{
    int n = 0;
    for (int e = 0; e < 7; e++) {
        int points = (1 << (with_sign ? e : e + 1)) + 1;
        float scale = (float)pow(10, e - 6);
        for (int i = 0; i + 1 < points; i++) {
            float v = scale * ((point(i, points) + point(i + 1, points)) / 2);
            d->value[n++] = v;
            if (with_sign)
                d->value[n++] = -v;
        }
    }
    d->value[n++] = 0;
    d->value[n++] = 1;
    qsort(d->value, (size_t)n, sizeof *d->value, by_value);
    for (int c = 0; c < 255; c++)
        d->middle[c] = (d->value[c] + d->value[c + 1]) / 2;
    d->middle[255] = INFINITY;
    fill_first(d);
}
