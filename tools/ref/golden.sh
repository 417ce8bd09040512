#!/usr/bin/env bash
# make golden: a Python environment in build/venv-golden with the reference programs in the versions
# that the fixtures were made with, then golden.py writes tests/golden anew. Nothing else of slm needs Python.
set -eu
cd "$(dirname "$0")/../.."
venv=${GOLDEN_VENV:-build/venv-golden}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q torch==2.13.0 transformers==5.23.0 numpy safetensors
fi
exec "$venv/bin/python" tools/ref/golden.py "$@"
