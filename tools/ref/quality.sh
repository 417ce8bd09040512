#!/usr/bin/env bash
# The table of docs/quality.md: how far each quantised file of a model is from the model, by slm's own
# measure, for slm's and (where given) llama.cpp's quantiser. Prints a line a file: type, how, bytes, mean
# divergence and its standard error in nats, share of the same top token, ratio of perplexities.
# usage: quality.sh SLM MODEL TEXT CALIBRATION TYPES [FOLDER of llama-quantize]
#   TEXT is measured on, CALIBRATION fitted to: they must not overlap. TYPES: "Q4_0 Q4_K_M ..."
#   MODEL must not be quantised yet. CHUNKS (default 24) limits TEXT, FIT (default 32) CALIBRATION.
set -eu
slm=$1 model=$2 text=$3 fit=$4 types=$5 peer=${6-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$slm" perplexity "$model" -f "$text" --exact --save-base "$work/base" --chunks "${CHUNKS:-24}" -q > /dev/null
"$slm" imatrix "$model" -f "$fit" -o "$work/im.gguf" --chunks "${FIT:-32}" --exact -q
[ -z "$peer" ] || "$slm" convert "$model" "$work/f32.gguf" --type f32 -q

show() { # TYPE HOW: of x.gguf
    "$slm" perplexity "$work/x.gguf" -f "$text" --exact --kld "$work/base" --chunks "${CHUNKS:-24}" --json -q |
        tr ',' '\n' | awk -F '": ' -v what="$1 $2 $(wc -c < "$work/x.gguf")" '
            { v[substr($1, index($1, "\"") + 1)] = $2 }
            END { printf "%s %.5f %.5f %.2f %.4f\n", what, v["kld_mean"], v["kld_stderr"], 100 * v["same_top"], v["ppl_ratio"] }'
    rm -f "$work/x.gguf"
}
for t in $types; do
    if [ -n "$peer" ]; then
        "$peer/llama-quantize" "$work/f32.gguf" "$work/x.gguf" "$t" > /dev/null 2>&1 && show "$t" llama.cpp
        "$peer/llama-quantize" --imatrix "$work/im.gguf" "$work/f32.gguf" "$work/x.gguf" "$t" > /dev/null 2>&1 &&
            show "$t" llama.cpp+imatrix
    fi
    "$slm" quantize "$model" "$work/x.gguf" --type "$t" -q 2> /dev/null && show "$t" slm
    "$slm" quantize "$model" "$work/x.gguf" --type "$t" --imatrix "$work/im.gguf" -q && show "$t" slm+imatrix
    "$slm" quantize "$model" "$work/x.gguf" --type "$t" --method gptq --calibration "$fit" --chunks "${FIT:-32}" -q \
        2> /dev/null && show "$t" slm+gptq
done
