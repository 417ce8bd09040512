#!/usr/bin/env python3
"""Preference losses and their gradients of a tiny model against another, in float64: tests/data/prefer.

The definitions are those of include/slm/prefer.h, written down again with PyTorch.

usage: prefer.py POLICY REFERENCE OUT
needs: torch, transformers, safetensors
"""
import json
import random
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

policy, reference = (AutoModelForCausalLM.from_pretrained(p, dtype=torch.float32).double().eval() for p in sys.argv[1:3])
out = sys.argv[3]
random.seed(3)
ids = lambda n: [random.randrange(policy.config.vocab_size) for _ in range(n)]
pairs = [dict(prompt=ids(a), chosen=ids(b), rejected=ids(c)) for a, b, c in ((5, 7, 3), (1, 4, 9), (8, 1, 6), (3, 12, 2))]


def sums(model, prompt, answer, whole=False):
    """log p of the answer, or of every token but the first."""
    x = torch.tensor([prompt + answer])
    logp = model(x).logits[0, :-1].log_softmax(-1).gather(1, x[0, 1:, None])[:, 0]
    return logp.sum() if whole else logp[len(prompt) - 1:].sum()


def both(model):
    return [torch.stack([sums(model, p["prompt"], p[k]) for p in pairs]) for k in ("chosen", "rejected")]


def answers():
    return [(p["prompt"], p[k]) for p in pairs for k in ("chosen", "rejected")]


w, l = both(policy)
with torch.no_grad():
    rw, rl = both(reference)
    a = answers()
    other = [(a[i][0], a[i - 1][1]) for i in range(len(a))]
    kl, rkl = (torch.stack([sums(m, *x) for x in other]) for m in (policy, reference))
nw, nl = (torch.tensor([float(len(p[k])) for p in pairs]) for k in ("chosen", "rejected"))
odds = lambda m: m - torch.log1p(-m.exp())
nll = -sum(sums(policy, p["prompt"], p["chosen"], True) for p in pairs) / sum(len(p["prompt"] + p["chosen"]) - 1 for p in pairs)
z = (kl - rkl).mean().clamp(min=0)
each = dict(
    dpo=-F.logsigmoid(.1 * ((w - rw) - (l - rl))),
    ipo=((w - rw) / nw - (l - rl) / nl - 5) ** 2,
    orpo=nll - .1 * F.logsigmoid(odds(w / nw) - odds(l / nl)),
    simpo=-F.logsigmoid(2 * (w / nw - l / nl) - .5),
    kto=torch.cat((1 - torch.sigmoid(.1 * (w - rw - z)), 1 - torch.sigmoid(.1 * (z - (l - rl))))),
)
names = ["model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight", "model.norm.weight"]
expect, grads = dict(pairs=pairs, loss={}, each={}), {}
lists = dict(policy_chosen=w, policy_rejected=l, reference_chosen=rw, reference_rejected=rl, policy_kl=kl, reference_kl=rkl)
expect["logps"] = {k: v.tolist() for k, v in lists.items()} | dict(kto_kl=z.item(), orpo_nll=nll.item())
for kind, e in each.items():
    policy.zero_grad()
    e.mean().backward(retain_graph=True)
    expect["loss"][kind], expect["each"][kind] = e.mean().item(), e.tolist()
    for n in names:
        grads[f"{kind}.grad.{n}"] = policy.get_parameter(n).grad.float().clone()
json.dump(expect, open(out + "/expect.json", "w"), indent=1)
save_file(grads, out + "/expect.safetensors")
