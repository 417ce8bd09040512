#!/usr/bin/env python3
"""The error of slm's quantisers beside ggml's, on the same rows and the same weights.

Rows: normal; normal with few large values (Student's t, 4 degrees); rows of a model's matrices. Weights of the
squared error: none; uniform in (0.1, 1.9); log-normal (sigma 1), as importance matrices are, one weight a column.
Both sides' blocks are dequantised by ggml. The numbers are sum w (y - x)^2 / sum w x^2, over all rows; a ratio
below 1 says that slm's codes are nearer. --speed adds million weights a second on one thread.

slm's kernels are reached through a few lines of C that this script compiles against build/libslm.a. Nothing here
is needed to build or test slm.

With --bounds it prints the table of tests/unit/test_quantize.c instead: ggml's errors on rows that both can make.

usage: quantise_error.py LIBGGML_FOLDER [--model FILE.safetensors] [--types q4_0,q4_K] [--level avx2] [--speed]
       quantise_error.py LIBGGML_FOLDER --bounds
needs: numpy, a C compiler, libggml*.so (llama-cpp-python has them); safetensors with --model
"""
import argparse
import ctypes as C
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TYPES = {"q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "q2_K": 10, "q3_K": 11, "q4_K": 12, "q5_K": 13,
         "q6_K": 14, "iq2_xxs": 16, "iq2_xs": 17, "iq3_xxs": 18, "iq1_s": 19, "iq4_nl": 20, "iq3_s": 21, "iq2_s": 22,
         "iq4_xs": 23, "iq1_m": 29, "tq1_0": 34, "tq2_0": 35, "mxfp4": 39, "nvfp4": 40, "q1_0": 41, "q2_0": 42}
NEEDS_WEIGHTS = {"iq2_xxs", "iq2_xs", "iq1_s", "iq1_m"}

DRIVER = r"""
#include <string.h>
#include "kernels/kernels.h"
static struct slm_kern kern;
int driver_type(const char *name) { return slm_dtype_of_name(name); }
size_t driver_bytes(int t, size_t n) { return slm_row_bytes((enum slm_dtype)t, n); }
int driver_open(const char *level)
{
    struct slm_cpu cpu;
    slm_err err;
    if (slm_cpu_detect(&cpu, NULL, &err))
        return 0;
    int top = 0;
    for (int l = 0; l < SLM_CPU_COUNT; l++)
        if (strcmp(level, slm_cpu_level_name((enum slm_cpu_level)l)) == 0)
            top = l;
    slm_kern_fill(&kern, &cpu, (enum slm_cpu_level)top);
    return 1;
}
int driver_quantize(int t, void *out, const float *in, const float *w, size_t rows, size_t cols)
{
    if (!kern.quantize[t])
        return 0;
    for (size_t r = 0; r < rows; r++)
        kern.quantize[t]((char *)out + r * driver_bytes(t, cols), in + r * cols, w, cols);
    return 1;
}
"""


def build(root):
    folder = Path(tempfile.mkdtemp())
    (folder / "driver.c").write_text(DRIVER)
    flags = subprocess.run(["pkg-config", "--libs", "jansson", "libpcre2-8", "libutf8proc", "sqlite3"], check=True,
                           capture_output=True, text=True).stdout.split()
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-I", root / "src", "-I", root / "include", folder / "driver.c",
                    root / "build/libslm.a", "-o", folder / "driver.so", *flags, "-lm", "-pthread"], check=True)
    lib = C.CDLL(str(folder / "driver.so"))
    lib.driver_bytes.restype = C.c_size_t
    lib.driver_bytes.argtypes = [C.c_int, C.c_size_t]
    lib.driver_quantize.argtypes = [C.c_int, C.c_void_p, C.c_void_p, C.c_void_p, C.c_size_t, C.c_size_t]
    return lib


class Ggml:
    def __init__(self, folder):
        base = C.CDLL(str(Path(folder) / "libggml-base.so"), mode=C.RTLD_GLOBAL)
        self.q = base.ggml_quantize_chunk
        self.q.restype = C.c_size_t
        self.q.argtypes = [C.c_int, C.c_void_p, C.c_void_p, C.c_int64, C.c_int64, C.c_int64, C.c_void_p]
        self.size = base.ggml_row_size
        self.size.restype = C.c_size_t
        self.size.argtypes = [C.c_int, C.c_int64]
        self.base = base

    def quantize(self, name, x, w):
        t = TYPES[name]
        out = np.zeros(self.size(t, x.shape[1]) * x.shape[0], np.uint8)
        self.q(t, x.ctypes.data, out.ctypes.data, 0, x.shape[0], x.shape[1], w.ctypes.data if w is not None else None)
        return out

    def dequantize(self, name, blocks, shape):
        fn = getattr(self.base, f"dequantize_row_{name}")
        fn.argtypes = [C.c_void_p, C.c_void_p, C.c_int64]
        y = np.empty(shape, np.float32)
        fn(blocks.ctypes.data, y.ctypes.data, y.size)
        return y


def rows_of(kind, rng, model):
    if kind == "normal":
        return rng.standard_normal((96, 2048), np.float32) * np.float32(0.02)
    if kind == "heavy":
        return (rng.standard_t(4, (96, 2048)) * 0.02).astype(np.float32)
    from safetensors import safe_open
    parts = []
    with safe_open(model, "np") as f:
        for name in f.keys():
            t = f.get_tensor(name) if "BF16" not in str(f.get_slice(name).get_dtype()) else None
            if t is None:
                import torch
                with safe_open(model, "pt") as g:
                    t = g.get_tensor(name).float().numpy()
            if t.ndim == 2 and t.shape[1] % 256 == 0:
                parts.append((name, t.astype(np.float32)))
    return parts


def error(x, y, w):
    d = (y.astype(np.float64) - x) ** 2
    w = np.ones(x.shape[1]) if w is None else w.astype(np.float64)
    return (d * w).sum(), (x.astype(np.float64) ** 2 * w).sum()


def simple_rows():
    """16 rows of 1024 and weights for the columns, as test_quantize.c makes them."""
    state = 1

    def draw():
        nonlocal state
        state = (state * 1664525 + 1013904223) & 0xffffffff
        return state >> 16
    x = np.empty(16 * 1024, np.float32)
    for i in range(x.size):
        v = sum(draw() for _ in range(4)) - 131070
        x[i] = np.float32(v * (8 if i % 37 == 0 else 1)) * np.float32(2.0**-20)
    w = np.array([(draw() >> 6) ** 2 + 1 for _ in range(1024)], np.float32)
    return x.reshape(16, 1024), w


def bounds(ggml):
    x, w = simple_rows()
    for name in TYPES:
        e = []
        for v in (None, w):
            if v is None and name in NEEDS_WEIGHTS:
                e.append(0.0)
                continue
            a, b = error(x, ggml.dequantize(name, ggml.quantize(name, x, v), x.shape), v)
            e.append(a / b)
        print(f"    {{SLM_{name.upper()}, {e[0]:.6e}, {e[1]:.6e}}},")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("ggml")
    p.add_argument("--model")
    p.add_argument("--types")
    p.add_argument("--level", default="avx512bf16")
    p.add_argument("--speed", action="store_true")
    p.add_argument("--bounds", action="store_true")
    a = p.parse_args()
    ggml = Ggml(a.ggml)
    if a.bounds:
        bounds(ggml)
        return
    slm = build(Path(__file__).resolve().parents[2])
    slm.driver_open(a.level.encode())
    rng = np.random.default_rng(1)
    sets = [("normal", [("", rows_of("normal", rng, None))]), ("heavy", [("", rows_of("heavy", rng, None))])]
    if a.model:
        sets.append(("model", rows_of("model", rng, a.model)))
    kinds = [("none", lambda n: None), ("uniform", lambda n: rng.uniform(0.1, 1.9, n).astype(np.float32)),
             ("log-normal", lambda n: np.exp(rng.standard_normal(n)).astype(np.float32))]
    print(f"{'type':8} {'rows':7} {'weights':10} {'slm':>11} {'ggml':>11} {'ratio':>7}" +
          ("   slm M/s  ggml M/s" if a.speed else ""))
    for name in a.types.split(",") if a.types else TYPES:
        t = slm.driver_type(name.encode())
        for rows_name, parts in sets:
            for kind, draw in kinds:
                if kind == "none" and name in NEEDS_WEIGHTS:
                    continue
                sums, took, count = np.zeros((2, 2)), [0.0, 0.0], 0
                for _, x in parts:
                    x = np.ascontiguousarray(x)
                    w = draw(x.shape[1])
                    out = np.zeros(slm.driver_bytes(t, x.size), np.uint8)
                    start = time.thread_time()
                    if not slm.driver_quantize(t, out.ctypes.data, x.ctypes.data,
                                               w.ctypes.data if w is not None else None, *x.shape):
                        break
                    middle = time.thread_time()
                    theirs = ggml.quantize(name, x, w)
                    took[0] += middle - start
                    took[1] += time.thread_time() - middle
                    count += x.size
                    sums[0] += error(x, ggml.dequantize(name, out, x.shape), w)
                    sums[1] += error(x, ggml.dequantize(name, theirs, x.shape), w)
                else:
                    ours, ref = sums[0, 0] / sums[0, 1], sums[1, 0] / sums[1, 1]
                    speed = f" {count / took[0] / 1e6:9.1f} {count / took[1] / 1e6:9.1f}" if a.speed else ""
                    print(f"{name:8} {rows_name:7} {kind:10} {ours:11.4e} {ref:11.4e} {ours / ref:7.4f}{speed}")
                    sys.stdout.flush()


if __name__ == "__main__":
    main()
