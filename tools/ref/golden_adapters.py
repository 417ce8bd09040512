#!/usr/bin/env python3
"""Writes tests/golden-adapters: tiny PEFT adapters on the models of tests/golden, with the logits
that PEFT gives, and those after PEFT has merged them. Never needed to build or test.
usage: golden_adapters.py (with torch, transformers and peft)"""
import json
import os
import shutil

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "..", "tests", "golden")
OUT = os.path.join(HERE, "..", "..", "tests", "golden-adapters")

KINDS = {
    "llama-lora": dict(r=3, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"]),
    "llama-bias-biases": dict(r=2, lora_alpha=3, target_modules=["q_proj", "o_proj", "up_proj"], bias="lora_only"),
    "llama-tied-embedding": dict(r=2, lora_alpha=4, target_modules=["embed_tokens", "k_proj"]),
    "llama-tied-saved": dict(r=2, lora_alpha=4, target_modules=["v_proj"], modules_to_save=["embed_tokens", "lm_head"]),
    "llama-tied-half": dict(r=2, lora_alpha=4, target_modules=["v_proj"], modules_to_save=["embed_tokens"]),
    "gemma2-dora": dict(r=2, lora_alpha=4, target_modules="all-linear", use_dora=True),
    "gemma2-saved": dict(r=2, lora_alpha=4, target_modules=["v_proj"], modules_to_save=["norm", "pre_feedforward_layernorm"]),
    "phi3-pattern": dict(r=2, lora_alpha=5, target_modules="all-linear", use_rslora=True, modules_to_save=["lm_head"],
                         rank_pattern={"qkv_proj": 3, "layers.1.mlp.down_proj": 1}, alpha_pattern={"mlp\\..*": 2}),
    "mixtral-lora": dict(r=2, lora_alpha=4, target_modules=["q_proj", "o_proj"]),
    "mixtral-experts": dict(r=2, lora_alpha=4, target_modules=["v_proj"], rank_pattern={".*gate_up_proj": 1},
                            target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]),
}


def fill(model, seed):
    """B is not zero, whole weights differ from the base's, DoRA's lengths are other than at first."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if not p.requires_grad:
                continue
            noise = torch.randn(p.shape, generator=g)
            if "lora_" in name and "magnitude" not in name:
                p.copy_(noise * 0.2)
            else:
                p.add_(noise * 0.05)


for seed, (name, kind) in enumerate(KINDS.items()):
    base = max((b for b in os.listdir(GOLDEN) if name.startswith(b + "-")), key=len)
    folder = os.path.join(GOLDEN, base)
    ids = json.load(open(folder + "/expect.json"))["ids"]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model.eval()
    peft = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **kind))
    fill(peft, seed)
    peft.eval()
    to = os.path.join(OUT, name)
    shutil.rmtree(to, ignore_errors=True)
    peft.peft_config["default"].base_model_name_or_path = base
    peft.save_pretrained(to)
    os.remove(to + "/README.md")
    with torch.no_grad():
        logits = peft(torch.tensor([ids])).logits[0].float().contiguous()
        merged = peft.merge_and_unload()(torch.tensor([ids])).logits[0].float().contiguous()
    save_file({"logits": logits, "merged": merged}, to + "/expect.safetensors")
    json.dump({"base": base, "ids": ids}, open(to + "/expect.json", "w"))
    print(name, "merged differs by %.2g of %.2g" % ((logits - merged).abs().max(), logits.abs().max()))
