#!/usr/bin/env python3
"""Holds files that slm writes against llama.cpp and Transformers, and prints the tables of docs/parity.md.

Every model folder below MODELS (a config.json, tiny enough to compute often) goes these ways:

  run     the folder as it is: logits whole and one by one, in the older layout of config.json where
          config.legacy.json lies beside, 16 greedy ids, gradients of the loss (worst tensor), all against
          Transformers
  gguf    folder -> GGUF (as stored, f16, q8_0): logits and 16 greedy ids by llama-cpp-python (float32
          cache, one thread) beside those of slm from the same file, and those of Transformers from the folder
  folder  folder -> GGUF -> folder: logits and 16 greedy ids by Transformers beside those of the first folder
  tokens  ids of some forty texts: slm from the folder, from its GGUF; tokenizers from the tokenizer.json that
          slm wrote; llama.cpp from the GGUF

With --theirs DIR also: every GGUF file of DIR (by another converter) -> folder -> Transformers.

Differences are max |a - b| / max |b| over a sequence. Nothing here is needed to build or test slm.

usage: interop.py SLM MODELS [--only run,gguf,folder,tokens,theirs] [--theirs DIR] [--models a,b]
needs: numpy torch transformers tokenizers llama-cpp-python
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

os.environ.setdefault("HF_HUB_OFFLINE", "1")
MORE = 16

TEXTS = [
    "Hello, world!", "The old man and the sea.", " a space in front", "  two spaces", "trailing space ", "trailing  ",
    "a\nb", "a\n\nb\n", "\n", "\n\n\n", "\t tab\tand  spaces", "a      b", "   \n   x", "It's we'll I'M they'RE don't",
    "1", "12", "123", "1234567890", "3.14159 and 2,718", "x=1;y+=22==333", "foo_bar(baz)[0] -> {'k': \"v\"}",
    "caf\u00e9 na\u00efve Stra\u00dfe", "e\u0301 \u00e9 \u0041\u030a", "\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\u3053\u3093\u306b\u3061\u306f", "\uc548\ub155\ud558\uc138\uc694",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e", "\U0001f600 \U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea", "\u00a0nbsp\u2003em\u3000",
    "CamelCaseAndSNAKE_CASE", "http://example.org/a?b=c&d=%20", "...!!!???---", "\u201cquotes\u201d \u2018and\u2019 \u2026",
    "a" * 60, "ab " * 20, "-" * 40, "\u2581 lower one eighth block", "\r\nwindows\r\nlines\r\n", "Once upon a time, in a small house, there lived a fox who could not sleep.",
]


def slm(*args, stdin=None):
    r = subprocess.run([SLM, *map(str, args)], input=stdin, capture_output=True)
    if r.returncode:
        raise RuntimeError(f"slm {args[0]}: exit {r.returncode}: " + r.stderr.decode("utf8", "replace").strip()[-300:])
    return r.stdout


def rel(a, b):
    if a.shape != b.shape:
        return float("inf")
    return float(np.abs(a.astype(np.float64) - b).max() / np.abs(b).max())


def prompt_of(folder):
    """Ids of a text that the tokenizer may not know: those of expect.json, or some that hop through the vocabulary."""
    p = folder / "expect.json"
    if p.exists():
        e = json.load(open(p))
        if "ids_long" in e and "greedy_long" in e:  # llama.cpp takes longrope's set by its context
            return e["ids_long"], e["greedy_long"]["prompt"]
        if "ids" in e and "greedy" in e:
            return e["ids"], e["greedy"]["prompt"] if isinstance(e["greedy"], dict) else e["ids"][:8]
    c = json.load(open(folder / "config.json"))
    v = c.get("text_config", c)["vocab_size"]
    ids = [(41 + 37 * i * i + 11 * i) % (v - 16) + 8 for i in range(40)]
    return ids, ids[:12]


def ids_file(ids):
    p = TMP / "ids"
    p.write_text(" ".join(map(str, ids)) + "\n")
    return p


def slm_logits(model, ids, *more):
    slm("logits", model, "--ids-file", ids_file(ids), "-o", TMP / "out", *more)
    return np.fromfile(TMP / "out", dtype="<f4").reshape(len(ids), -1)


def slm_greedy(model, prompt, *more):
    out = slm("complete", model, "--ids-file", ids_file(prompt), "-n", MORE, "--temp", 0, "--ignore-eos", "--json", *more)
    return json.loads(out)["ids"]


# ---- Transformers ----

def hf_open(folder):
    import torch
    import transformers
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    kind = transformers.AutoModelForCausalLM
    m, info = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    lost = [k for k in ("missing_keys", "mismatched_keys") if info.get(k)]
    if lost:
        raise RuntimeError("Transformers: " + str({k: sorted(map(str, info[k]))[:3] for k in lost}))
    text = getattr(m.config, "text_config", None)
    if text is not None and "Conditional" in type(m).__name__:
        m.config.use_cache = False
    return m.eval()


def hf_logits(m, ids):
    import torch
    with torch.no_grad():
        return m(input_ids=torch.tensor([ids])).logits[0].numpy()


def hf_greedy(m, prompt):
    """By whole forwards, so that a cache hides nothing."""
    ids = list(prompt)
    for _ in range(MORE):
        ids.append(int(hf_logits(m, ids)[-1].argmax()))
    return ids[len(prompt):]


# ---- llama.cpp ----

class Lcpp:
    def __init__(self, path, n_ctx=128):
        from llama_cpp import Llama
        f32 = 0
        self.m = Llama(str(path), n_ctx=n_ctx, n_batch=n_ctx, n_ubatch=n_ctx, n_threads=1, n_threads_batch=1, logits_all=True,
                       type_k=f32, type_v=f32, verbose=False)

    def logits(self, ids):
        self.m.reset()
        self.m.eval(ids)
        return np.array(self.m.scores[: len(ids)], dtype=np.float32)

    def greedy(self, prompt):
        self.m.reset()
        ids = list(prompt)
        self.m.eval(ids)
        for _ in range(MORE):
            ids.append(int(self.m.scores[len(ids) - 1].argmax()))
            self.m.eval(ids[-1:])
        return ids[len(prompt):]

    def tokens(self, text):
        return self.m.tokenize(text.encode(), add_bos=False, special=False)

    def close(self):
        self.m.close()


# ---- the ways ----

def say(*cells):
    print("| " + " | ".join(f"{c:.1e}" if isinstance(c, float) else str(c) for c in cells) + " |", flush=True)


def same(a, b):
    n = min(len(a), len(b))
    at = next((i for i in range(n) if a[i] != b[i]), n)
    return "same" if at == n and len(a) == len(b) else f"parts at {at}"


def legacy_of(f):
    d = TMP / f"{f.name}-legacy"
    d.mkdir()
    for x in f.iterdir():
        if x.name not in ("config.json", "config.legacy.json"):
            (d / x.name).symlink_to(x.resolve())
    (d / "config.json").write_text((f / "config.legacy.json").read_text())
    return d


def gradients(m, f, ids):
    """Worst tensor of those that have a name in Transformers too (it stacks experts), and how many were compared."""
    import torch
    from safetensors.numpy import load_file
    slm("gradients", f, "--ids-file", ids_file(ids), "-o", TMP / "g.safetensors", "--json")
    ours = load_file(TMP / "g.safetensors")
    t = torch.tensor([ids])
    m.zero_grad()
    torch.nn.functional.cross_entropy(m(input_ids=t).logits[0, :-1], t[0, 1:]).backward()
    named = {n: p.grad.numpy() for n, p in m.named_parameters() if p.grad is not None}
    both = [n for n in ours if n in named]
    return max(rel(ours[n], named[n]) for n in both), f"{len(both)}/{len(ours)}"


def way_run(folders):
    print("\n| model | whole | one by one | older layout | greedy | gradients | tensors compared |")
    print("|---|---|---|---|---|---|---|")
    for f in folders:
        ids, prompt = prompt_of(f)
        try:
            m = hf_open(f)
            truth = hf_logits(m, ids)
            row = [f.name, rel(slm_logits(f, ids), truth), rel(slm_logits(f, ids, "--step"), truth)]
            row.append(rel(slm_logits(legacy_of(f), ids), truth) if (f / "config.legacy.json").exists() else "-")
            row.append(same(slm_greedy(f, prompt, "--exact"), hf_greedy(m, prompt)))
            say(*row, *gradients(m, f, ids))
        except Exception as e:
            say(f.name, "error: " + str(e)[-240:].replace("\n", " "), "", "", "", "", "")


def way_gguf(folders):
    print("\n| model | type | slm : Transformers | llama.cpp : slm exact | llama.cpp : slm fast | greedy llama.cpp : slm exact | "
          "greedy llama.cpp : slm fast | greedy slm exact : Transformers |")
    print("|---|---|---|---|---|---|---|---|")
    for f in folders:
        ids, prompt = prompt_of(f)
        try:
            hf = hf_open(f)
            truth, line = hf_logits(hf, ids), hf_greedy(hf, prompt)
        except Exception as e:
            truth = None
            line = []
            print(f"{f.name}: Transformers: {str(e)[:200]}", file=sys.stderr)
        for kind in ("stored", "f16", "q8_0"):
            try:
                g = TMP / f"{f.name}-{kind}.gguf"
                slm("convert", f, g, *(["--type", kind] if kind != "stored" else []))
                ours, ours_line = slm_logits(g, ids), slm_greedy(g, prompt, "--exact")
                row = [f.name, kind, rel(ours, truth) if truth is not None else "-"]
                try:
                    l = Lcpp(g)
                    theirs, theirs_line = l.logits(ids), l.greedy(prompt)
                    row += [rel(theirs, ours), rel(theirs, slm_logits(g, ids, "--fast")), same(theirs_line, ours_line),
                            same(theirs_line, slm_greedy(g, prompt, "--cache-type", "f32"))]
                    l.close()
                except Exception as e:
                    row += ["refused: " + str(e)[:100], "", "", ""]
                say(*row, same(ours_line, line))
                if not KEEP:
                    g.unlink()
            except Exception as e:
                say(f.name, kind, "error: " + str(e)[-240:], "", "", "", "", "")


def folder_row(name, src, ids, prompt, truth, line):
    out = TMP / f"{name}-folder"
    try:
        slm("convert", src, out)
        m = hf_open(out)
        a = hf_logits(m, ids)
        ours = slm_logits(src, ids)
        row = [name, rel(a, ours), rel(a, truth) if truth is not None else "-", same(hf_greedy(m, prompt), slm_greedy(src, prompt, "--exact")),
               same(hf_greedy(m, prompt), line) if line else "-"]
        say(*row)
    except Exception as e:
        say(name, "error: " + str(e)[-300:].replace("\n", " "), "", "", "")
    if not KEEP:
        subprocess.run(["rm", "-rf", str(out)])


def way_folder(folders):
    print("\n| model | folder written from the GGUF, in Transformers : slm of the GGUF | : Transformers of the first folder | greedy : slm | greedy : first folder |")
    print("|---|---|---|---|---|")
    for f in folders:
        ids, prompt = prompt_of(f)
        try:
            hf = hf_open(f)
            truth, line = hf_logits(hf, ids), hf_greedy(hf, prompt)
        except Exception as e:
            truth, line = None, []
        g = TMP / f"{f.name}-w.gguf"
        try:
            slm("convert", f, g)
        except Exception as e:
            say(f.name, "error: " + str(e)[-300:], "", "", "")
            continue
        folder_row(f.name, g, ids, prompt, truth, line)
        if not KEEP:
            g.unlink()


def way_theirs(directory, only):
    print("\n| GGUF file | its folder in Transformers : slm of the file | | greedy : slm | |")
    print("|---|---|---|---|---|")
    expect = json.load(open(directory / "expect.json")) if (directory / "expect.json").exists() else {}
    for g in sorted(directory.glob("*.gguf")):
        if "lora" in g.name or "imatrix" in g.name or "-00002-of" in g.name or (only and g.name not in only):
            continue
        e = expect.get(g.name, {})
        ids = e.get("ids") or [(41 + 37 * i * i + 11 * i) % 400 + 8 for i in range(40)]
        prompt = e.get("greedy", {}).get("prompt") or ids[:12]
        folder_row(g.name, g, ids, prompt, None, e.get("greedy", {}).get("continuation"))


def way_tokens(folders):
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer
    print(f"\n| model ({len(TEXTS)} texts) | tokenizers on slm's tokenizer.json : slm | AutoTokenizer on slm's folder : slm | slm GGUF : slm folder | llama.cpp : slm GGUF |")
    print("|---|---|---|---|---|")
    lines = "\n".join(json.dumps(t) for t in TEXTS).encode() + b"\n"
    for f in folders:
        g, out = TMP / f"{f.name}-t.gguf", TMP / f"{f.name}-t"
        try:
            slm("convert", f, g)
            slm("convert", g, out)
        except Exception as e:
            say(f.name, "error: " + str(e)[-300:], "", "", "")
            continue

        def ids_of(m):
            return [json.loads(x) for x in slm("tokenize", m, "--no-bos", "--lines", "--json", stdin=lines).splitlines()]
        row, note = [f.name], []

        def count(what, a, b):
            bad = [i for i in range(len(TEXTS)) if a[i] != b[i]]
            for i in bad[:3]:
                note.append(f"  {f.name}: {what}: {TEXTS[i][:30]!r}: {a[i][:12]} : {b[i][:12]}")
            row.append(f"{len(TEXTS) - len(bad)}")
        try:
            from_folder, from_gguf = ids_of(f), ids_of(g)
            t = Tokenizer.from_file(str(out / "tokenizer.json"))
            count("tokenizers", [t.encode(x, add_special_tokens=False).ids for x in TEXTS], from_folder)
            a = AutoTokenizer.from_pretrained(out)
            count("AutoTokenizer", [a.encode(x, add_special_tokens=False) for x in TEXTS], from_folder)
            count("GGUF", from_gguf, from_folder)
            try:
                l = Lcpp(g)
                count("llama.cpp", [l.tokens(x) for x in TEXTS], from_gguf)
                l.close()
            except Exception as e:
                row.append("refused: " + str(e)[:80])
        except Exception as e:
            row += ["error: " + str(e)[-300:]]
        say(*row)
        if note:
            print("\n".join(note), file=sys.stderr, flush=True)


def main():
    global SLM, TMP, KEEP
    p = argparse.ArgumentParser()
    p.add_argument("slm")
    p.add_argument("models", type=Path)
    p.add_argument("--only", default="run,gguf,folder,tokens,theirs")
    p.add_argument("--theirs", type=Path)
    p.add_argument("--models", dest="names", default="")
    p.add_argument("--keep", help="keep what is written, in this folder")
    a = p.parse_args()
    SLM, KEEP = os.path.abspath(a.slm), a.keep
    names = [n for n in a.names.split(",") if n]
    folders = [a.models] if (a.models / "config.json").exists() else [
        d for d in sorted(a.models.iterdir()) if (d / "config.json").exists() and (not names or d.name in names)]
    with tempfile.TemporaryDirectory() as tmp:
        TMP = Path(a.keep or tmp)
        TMP.mkdir(exist_ok=True)
        for way in a.only.split(","):
            if way == "run":
                way_run(folders)
            elif way == "gguf":
                way_gguf(folders)
            elif way == "folder":
                way_folder(folders)
            elif way == "tokens":
                way_tokens(folders)
            elif way == "theirs" and a.theirs:
                way_theirs(a.theirs, names)


if __name__ == "__main__":
    main()
