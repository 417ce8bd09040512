/* The eight tile registers of AMX, as statements. Inline assembly, since gcc 12's intrinsics
 * do not tell the compiler what they read and write: a configuration is read as a whole, loads
 * and stores are barriers to memory. The compiler knows no tiles and never touches them, so
 * they keep their values from one statement to the next, up to a call of another function.
 * Operands stand as in the manual: the sum, then rows of A, then columns of B (AT&T syntax has
 * them in reverse). Layout of a full tile: 16 rows of 64 bytes; A: 16 rows of 32 bfloat16;
 * B: row p holds elements 2 p and 2 p + 1 of 16 columns, side by side. */
#ifndef SLM_TILES_AMX_H
#define SLM_TILES_AMX_H

#include <stdint.h>
#include <string.h>

/* Palette 1: rows and bytes a row of each tile. */
struct tile_config {
    uint8_t palette, start_row, zero[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};
_Static_assert(sizeof(struct tile_config) == 64, "what ldtilecfg reads");

/* Clears all tiles too. */
static inline void tile_configure(const struct tile_config *c)
{
    __asm__ volatile("ldtilecfg %0" ::"m"(*c) : "memory");
}
/* Back to the state that a switch of threads need not save. */
static inline void tile_release(void) { __asm__ volatile("tilerelease" ::: "memory"); }

/* All tiles of 16 rows of 64 bytes, but 0-3 and 4-5 as the caller's rows are: tiles 0 and 1
 * (sums) and 4 (A) have `upper` rows, 2, 3 and 5 have `lower`, 6 and 7 (B) are full. No rows:
 * the tile may not be used. */
static inline void tile_configure_rows(int upper, int lower)
{
    struct tile_config c;
    memset(&c, 0, sizeof c);
    c.palette = 1;
    for (int t = 0; t < 8; t++) {
        int rows = t > 5 ? 16 : t < 2 || t == 4 ? upper : lower;
        c.rows[t] = (uint8_t)rows;
        c.row_bytes[t] = rows ? 64 : 0;
    }
    tile_configure(&c);
}

#define TILE_ZERO(t) __asm__ volatile("tilezero %%tmm" #t ::: "memory")
/* stride: bytes from row to row */
#define TILE_LOAD(t, p, stride)                                                                \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"(p), "r"((intptr_t)(stride))         \
                     : "memory")
#define TILE_STORE(t, p, stride)                                                               \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"(p), "r"((intptr_t)(stride))     \
                     : "memory")
/* c += a b, of bfloat16; of signed bytes */
#define TILE_BF16(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)
#define TILE_INT8(c, a, b) __asm__ volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)

#endif
