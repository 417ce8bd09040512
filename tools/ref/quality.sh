#!/usr/bin/env bash
# The table of docs/quality.md: how far each quantised file of a model is from the model, by slm's own
# measure, for slm's and (where given) llama.cpp's quantiser. Prints a line a file: type, how, bytes, mean
# divergence and its standard error in nats, share of the same top token, ratio of perplexities, and where
# PYTHON names one with numpy and gguf, the weighted error (file_error.py).
# usage: quality.sh SLM MODEL TEXT CALIBRATION TYPES [FOLDER of llama-quantize]
#   TEXT is measured on, CALIBRATION fitted to: they must not overlap. TYPES: "Q4_0 Q4_K_M ..."
#   MODEL must not be quantised yet. CHUNKS (default 24) limits TEXT, FIT (default 32) CALIBRATION.
#   HOW (default "nearest imatrix gptq"): which of these to make; a type that a way does not serve is left out.
set -eu
slm=$1 model=$2 text=$3 fit=$4 types=$5 peer=${6-}
how=" ${HOW:-nearest imatrix gptq} "
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$slm" perplexity "$model" -f "$text" --exact --save-base "$work/base" --chunks "${CHUNKS:-24}" -q > /dev/null
"$slm" imatrix "$model" -f "$fit" -o "$work/im.gguf" --chunks "${FIT:-32}" --exact -q
"$slm" convert "$model" "$work/f32.gguf" --type f32 -q

show() { # TYPE HOW: of x.gguf
    local error=-
    if [ -n "${PYTHON-}" ]; then
        "$slm" convert "$work/x.gguf" "$work/y.gguf" --type f32 -q 2> /dev/null
        error=$("$PYTHON" "$here/file_error.py" "$work/f32.gguf" "$work/im.gguf" "$work/y.gguf")
    fi
    "$slm" perplexity "$work/x.gguf" -f "$text" --exact --kld "$work/base" --chunks "${CHUNKS:-24}" --json -q |
        tr ',' '\n' | awk -F '": ' -v what="$1 $2 $(wc -c < "$work/x.gguf")" -v error="$error" '
            { v[substr($1, index($1, "\"") + 1)] = $2 }
            END { printf "%s %.5f %.5f %.2f %.4f %s\n", what, v["kld_mean"], v["kld_stderr"], 100 * v["same_top"],
                         v["ppl_ratio"], error }'
    rm -f "$work/x.gguf" "$work/y.gguf"
}
theirs() { # TYPE [OPTION...]: llama.cpp's file; it has no name for a dense model in MXFP4
    local t=$1
    shift
    if [ "$t" = MXFP4 ]; then
        set -- --pure --tensor-type '.*=mxfp4' --token-embedding-type mxfp4 "$@"
        t=MXFP4_MOE
    fi
    "$peer/llama-quantize" "$@" "$work/f32.gguf" "$work/x.gguf" "$t" > /dev/null 2>&1
}
for t in $types; do
    pure=
    [ "$t" != MXFP4 ] || pure=--pure # as theirs is
    if [[ $how == *" nearest "* ]]; then
        [ -z "$peer" ] || ! theirs "$t" || show "$t" llama.cpp
        ! "$slm" quantize "$work/f32.gguf" "$work/x.gguf" --type "$t" $pure -q 2> /dev/null || show "$t" slm
    fi
    if [[ $how == *" imatrix "* ]]; then
        [ -z "$peer" ] || ! theirs "$t" --imatrix "$work/im.gguf" || show "$t" llama.cpp+imatrix
        "$slm" quantize "$work/f32.gguf" "$work/x.gguf" --type "$t" $pure --imatrix "$work/im.gguf" -q &&
            show "$t" slm+imatrix
    fi
    if [[ $how == *" gptq "* ]]; then
        ! "$slm" quantize "$work/f32.gguf" "$work/x.gguf" --type "$t" $pure --method gptq --calibration "$fit" \
            --chunks "${FIT:-32}" -q 2> /dev/null || show "$t" slm+gptq
    fi
done
