"""Writes src/kernels/iq_tables.inc: the codebooks of GGUF's IQ types, 16 bits an entry.

usage: python3 tools/ref/iq_tables.py > src/kernels/iq_tables.inc   (needs the packages gguf and numpy)

An entry holds the codes of its 8 (or 4) elements, first element in the lowest bits: 2 bits an index
into the magnitudes 8, 25, 43 (IQ2), 2 bits value + 1 (IQ1), 3 bits an index into the 8 magnitudes (IQ3).
The wide tables, for vectors, hold the same in dwords: of 8 elements byte j has the codes j and, two bits
higher, j + 4; of 4 elements byte j is the magnitude itself.
"""
import textwrap

import numpy as np
from gguf import quants

TABLES = [("iq2_xxs", quants.IQ2_XXS, 2), ("iq2_xs", quants.IQ2_XS, 2), ("iq2_s", quants.IQ2_S, 2),
          ("iq3_xxs", quants.IQ3_XXS, 3), ("iq3_s", quants.IQ3_S, 3), ("iq1_s", quants.IQ1_S, 2)]

print("/* Codebooks of the IQ types, facts of the format; written by tools/ref/iq_tables.py, which says how\n"
      " * an entry is packed. */")


def table(kind, name, suffix, digits, values):
    print("_Alignas(64) const %s slm_%s_%s[%d] = {" % (kind, name, suffix, len(values)))
    print(textwrap.fill(", ".join("0x%0*x" % (digits, v) for v in values), 94, initial_indent="    ",
                        subsequent_indent="    "))
    print("};")


for name, cls, bits in TABLES:
    cls.init_grid()
    grid = np.array(cls.grid).reshape(-1, cls.grid_shape[1])
    levels = [int(v) for v in cls.grid_map]
    codes = [sum(levels.index(int(v)) << (bits * i) for i, v in enumerate(row)) for row in grid]
    table("uint16_t", name, "grid", 4, codes)
    if bits == 2:
        wide = [sum((levels.index(int(row[j])) | levels.index(int(row[j + 4])) << 2) << 8 * j for j in range(4))
                for row in grid]
    else:
        wide = [sum(int(row[j]) << 8 * j for j in range(4)) for row in grid]
    table("uint32_t", name, "wide", 8, wide)
