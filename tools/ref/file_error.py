#!/usr/bin/env python3
"""The weighted error of a quantised file: over its matrices the mean of sum w (y - x)^2 / sum w x^2.

x: the model in float32 (FULL.gguf), y: the quantised file converted back to float32 (`slm convert --type f32`), w: the
importance matrix's mean squares, 1 where it has none. Matrices are those that differ or have importances.

usage: file_error.py FULL.gguf IMATRIX.gguf CONVERTED.gguf
needs: numpy, gguf
"""
import sys

import gguf
import numpy as np


def tensors(path):
    return {t.name: t.data for t in gguf.GGUFReader(path).tensors}


full, im, back = (tensors(p) for p in sys.argv[1:4])
errors = []
for name, x in full.items():
    if x.ndim != 2:
        continue
    x, y = (np.asarray(v, np.float64).reshape(x.shape) for v in (x, back[name]))
    w = im.get(name + ".in_sum2")
    w = np.ones(x.shape[1]) if w is None else w.reshape(-1).astype(np.float64)
    errors.append((w * (y - x) ** 2).sum() / (w * x**2).sum())
print(f"{np.mean(errors):.4e}")
