/* The probe's tile products, on values in the tile registers. */
#include "kernels/probe.h"

#include "kernels/tiles_amx.h"

/* Four sums, two tiles of rows, two of columns: as a product has them. */
#define ROUND(DO)                                                                              \
    do {                                                                                       \
        DO(0, 4, 6);                                                                           \
        DO(1, 4, 7);                                                                           \
        DO(2, 5, 6);                                                                           \
        DO(3, 5, 7);                                                                           \
    } while (0)

static void begin(const void *tile)
{
    tile_configure_rows(16, 16);
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    TILE_LOAD(4, tile, 64);
    TILE_LOAD(5, tile, 64);
    TILE_LOAD(6, tile, 64);
    TILE_LOAD(7, tile, 64);
}

static void finish(void *tile)
{
    TILE_STORE(0, tile, 64);
    tile_release();
}

static double bf16_amx(long loops, double *sink)
{
    uint16_t one[512];
    float sum[256];
    for (int i = 0; i < 512; i++)
        one[i] = i % 2 ? 0x3f80 : 0xbf81; /* 1 and about -1 */
    begin(one);
    for (long n = 0; n < loops; n++)
        ROUND(TILE_BF16);
    finish(sum);
    *sink += (double)sum[0];
    return (double)loops * 4 * 16 * 16 * 32 * 2;
}

static double int8_amx(long loops, double *sink)
{
    int8_t one[1024];
    int32_t sum[256];
    for (int i = 0; i < 1024; i++)
        one[i] = (int8_t)(i % 5 - 2);
    begin(one);
    for (long n = 0; n < loops; n++)
        ROUND(TILE_INT8);
    finish(sum);
    *sink += (double)sum[0];
    return (double)loops * 4 * 16 * 16 * 64 * 2;
}

void slm_probe_fill_amx(struct slm_probe *p)
{
    p->amx_bf16 = bf16_amx;
    p->amx_int8 = int8_amx;
}
