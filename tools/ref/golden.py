#!/usr/bin/env python3
"""Writes tests/golden: tiny random models of every family and what Transformers makes of them.

Each folder holds config.json (today's layout), config.legacy.json (the one before), the weights, and
  expect.json         ids, greedy continuations, losses, how much rounding moves the logits
  expect.safetensors  logits (T, V) of `ids`, logits_long of `ids_long`, and grad.<tensor>: 16 sketches
All of it is computed in float32 on the CPU, eager attention, one thread, from the files as they lie on
disk. A sketch is the sum of a gradient's elements under a random sign, so 16 of them say how far two
gradients are apart (their mean square is the squared distance) in 64 bytes a tensor.

usage: golden.py [name ...]
"""
import json
import math
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import load_file, save_file

from golden_models import BASE, MODELS

ROOT = Path(__file__).resolve().parents[2] / "tests" / "golden"
T, PROMPT, MORE, SKETCHES = 20, 7, 12, 16


def build(conf, kind):
    c = getattr(transformers, kind)(**conf)
    c._attn_implementation = "eager"
    c._experts_implementation = "eager"
    c.dtype = torch.float32
    return transformers.AutoModelForCausalLM.from_config(c, attn_implementation="eager").float().eval()


def fill(model, seed, store):
    """Scales at which every feature shows: norms that are not 1, biases that are not 0, attention that
    prefers some keys, logits of a few units."""
    g = torch.Generator().manual_seed(seed)
    zero_centred = "gemma" in model.config.model_type
    tied = model.config.tie_word_embeddings
    for name, p in sorted(model.named_parameters()):
        x = torch.randn(p.shape, generator=g)
        if name.endswith(".bias"):
            x *= 0.4
        elif "norm" in name:
            x = 0.3 * x + (0 if zero_centred else 1)
        elif "embed_tokens" in name:
            x *= 0.15 if zero_centred else 0.35 if tied else 0.7
        elif "q_proj" in name or "k_proj" in name or "qkv" in name:
            x *= 1.6 / math.sqrt(p.shape[-1])
        elif "lm_head" in name:
            x *= 2.0 / math.sqrt(p.shape[-1])
        else:
            x *= 1.2 / math.sqrt(p.shape[-1])
        p.data = x.to(getattr(torch, store)).float()
    return model


def logits_of(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0]


def greedy(model, prompt, n):
    ids, margin = list(prompt), math.inf
    for _ in range(n):
        best = logits_of(model, ids)[-1].topk(2)
        margin = min(margin, float(best.values[0] - best.values[1]))
        ids.append(int(best.indices[0]))
    return dict(prompt=list(prompt), continuation=ids[len(prompt):], min_margin=margin)


def loss_of(logits, ids, first=1):
    """Mean of -log softmax over the labels from position `first` on."""
    nll = -torch.log_softmax(logits, -1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    return nll[first - 1:].mean()


def sketch(a):
    """(SKETCHES) sums under signs that a hash of the element's index gives."""
    with np.errstate(over="ignore"):
        h = np.arange(1, a.size + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        h ^= h >> np.uint64(29)
        h *= np.uint64(0xBF58476D1CE4E5B9)
        h ^= h >> np.uint64(32)
    flat = a.reshape(-1).astype(np.float64)
    return np.array([np.sum(np.where(h >> np.uint64(k) & np.uint64(1), flat, -flat))
                     for k in range(SKETCHES)], dtype=np.float32)


def split_experts(grads):
    """Stacked experts of Transformers 5 under the names on disk."""
    out = {}
    for name, g in grads.items():
        if name.endswith("mlp.experts.gate_up_proj"):
            base = name.replace("mlp.experts.gate_up_proj", "block_sparse_moe.experts")
            for e in range(g.shape[0]):
                out[f"{base}.{e}.w1.weight"], out[f"{base}.{e}.w3.weight"] = g[e].chunk(2, 0)
        elif name.endswith("mlp.experts.down_proj"):
            base = name.replace("mlp.experts.down_proj", "block_sparse_moe.experts")
            for e in range(g.shape[0]):
                out[f"{base}.{e}.w2.weight"] = g[e]
        else:
            out[name.replace("mlp.gate.weight", "block_sparse_moe.gate.weight")] = g
    return out


def gradients(model, ids):
    model.zero_grad()
    loss = loss_of(model(torch.tensor([ids]), use_cache=False).logits[0], ids)
    loss.backward()
    grads = {n: p.grad for n, p in model.named_parameters()}
    if model.config.model_type == "mixtral":
        grads = split_experts(grads)
    return loss.item(), {n: g.detach().numpy() for n, g in grads.items()}


def router_gap(model, ids):
    """Smallest distance between the last expert taken and the first one left, as probabilities."""
    if model.config.model_type != "mixtral":
        return math.inf
    k = model.config.num_experts_per_tok
    with torch.no_grad():
        out = model(torch.tensor([ids]), use_cache=False, output_router_logits=True)
    tops = [torch.softmax(r, -1).sort(-1, descending=True).values for r in out.router_logits]
    return min(float((t[:, k - 1] - t[:, k]).min()) for t in tops)


def expectations(model, rng, long):
    pick = lambda n: [int(i) for i in rng.integers(3, BASE["vocab_size"], n)]
    ids = pick(T)
    logits = logits_of(model, ids)
    loss, grads = gradients(model, ids)
    e = dict(ids=ids, loss=loss, loss_masked=dict(first_kept_label=8, value=float(loss_of(logits, ids, 8))),
             greedy=greedy(model, pick(PROMPT), MORE))
    tensors = {"logits": logits.numpy()}
    if long:
        original = model.config.original_max_position_embeddings
        e["original"] = original
        e["ids_long"] = pick(long)
        e["loss_long"] = float(loss_of(logits_of(model, e["ids_long"]), e["ids_long"]))
        tensors["logits_long"] = logits_of(model, e["ids_long"]).numpy()
        e["greedy_cross"] = greedy(model, pick(original - 4), 9)
    for n, g in grads.items():
        tensors["grad." + n] = sketch(g)
        tensors["norm." + n] = np.array([np.linalg.norm(g.astype(np.float64))], dtype=np.float32)
    e["gap"] = router_gap(model, ids)
    exact = logits_of(model.double(), ids).numpy()
    model.float()
    e["max_abs"] = float(np.abs(exact).max())
    e["noise"] = float(np.abs(exact - tensors["logits"]).max())
    return e, tensors


def good(e):
    """Far enough from every tie that rounding cannot turn it."""
    margins = [e[k]["min_margin"] for k in ("greedy", "greedy_cross") if k in e]
    return min(margins) > 1e-3 * e["max_abs"] and e.pop("gap") > 1e-3 and e["noise"] < 2e-5 * e["max_abs"]


def check_offs(m, conf, state, ids, logits):
    for off in m.get("off", []):
        other = build(dict(conf, **off), m["kind"])
        other.load_state_dict(state)
        moved = float((logits_of(other, ids) - torch.from_numpy(logits)).abs().max())
        assert moved > 1e-2 * np.abs(logits).max(), (m["name"], off, moved)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


def write_configs(folder, m):
    conf = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", conf)
    if "old" in m:
        m["old"](conf)
        conf["torch_dtype"] = conf.pop("dtype")
        conf["transformers_version"] = "4.46.0"
        write_json(folder / "config.legacy.json", conf)


def save(model, folder, m):
    shutil.rmtree(folder, ignore_errors=True)
    model.to(getattr(torch, m["store"]))
    model.config.dtype = getattr(torch, m["store"])
    model.save_pretrained(folder, max_shard_size=m.get("shards", "1GB"))
    (folder / "generation_config.json").unlink(missing_ok=True)


def load(folder, config="config.json"):
    with tempfile.TemporaryDirectory() as tmp:
        for f in folder.iterdir():
            if not f.name.startswith(("config", "expect")):
                shutil.copy(f, tmp)
        shutil.copy(folder / config, Path(tmp) / "config.json")
        return transformers.AutoModelForCausalLM.from_pretrained(
            tmp, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager").eval()


def write_wrapped(folder, m):
    """The same text model as its family is published: inside a vision model, which is not read."""
    out = folder.parent / (m["name"] + "-wrapped")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    text = json.loads((folder / "config.json").read_text())
    text.pop("transformers_version")
    write_json(out / "config.json", dict(
        architectures=["Mistral3ForConditionalGeneration"], model_type=m["wrap"], text_config=text,
        vision_config=dict(model_type="pixtral", hidden_size=8), transformers_version="5.23.0"))
    tensors = {"language_model." + n: t for n, t in load_file(folder / "model.safetensors").items()}
    g = torch.Generator().manual_seed(5)
    for n, shape in (("vision_tower.patch_conv.weight", (8, 3, 2, 2)), ("vision_tower.ln_pre.weight", (8,)),
                     ("multi_modal_projector.linear_1.weight", (32, 8))):
        tensors[n] = torch.randn(shape, generator=g).to(getattr(torch, m["store"]))
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    shutil.copy(folder / "expect.json", out)
    expect = load_file(folder / "expect.safetensors")
    renamed = {}
    for n, t in expect.items():
        kind, _, rest = n.partition(".")
        renamed[f"{kind}.language_model.{rest}" if rest else n] = t
    save_file(renamed, out / "expect.safetensors")


def make(m):
    conf = dict(BASE, **m["conf"])
    folder = ROOT / m["name"]
    for seed in range(100):
        save(fill(build(conf, m["kind"]), 1000 + seed, m["store"]), folder, m)
        write_configs(folder, m)
        model = load(folder)
        e, tensors = expectations(model, np.random.default_rng(seed), m.get("long"))
        if good(e):
            break
    else:
        raise SystemExit(f"{m['name']}: no seed is far enough from ties")
    check_offs(m, conf, model.state_dict(), e["ids"], tensors["logits"])
    if "old" in m:
        old = logits_of(load(folder, "config.legacy.json"), e["ids"]).numpy()
        assert np.array_equal(old, tensors["logits"]), f"{m['name']}: the layouts differ"
    e["made_with"] = dict(torch=torch.__version__.split("+")[0], transformers=transformers.__version__)
    write_json(folder / "expect.json", e)
    save_numpy(tensors, folder / "expect.safetensors")
    if "wrap" in m:
        write_wrapped(folder, m)
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{m['name']}: seed {seed}, {size >> 10} KiB, margin {e['greedy']['min_margin']:.3g}, "
          f"noise {e['noise']:.2g} of {e['max_abs']:.3g}", flush=True)


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    wanted = sys.argv[1:]
    for m in MODELS:
        if not wanted or m["name"] in wanted:
            make(m)


if __name__ == "__main__":
    main()
