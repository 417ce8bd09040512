#!/usr/bin/env python3
"""A tiny model and what bitsandbytes makes of it in NF4, with logits: tests/data/nf4/qwen2-plain, qwen2.

Rows of 64 and of 96 both occur, since blocks of 64 end with the rows of the one only. The logits are a float32 model's whose
weights are code times magnitude; bitsandbytes' own products on a CPU run in bfloat16.

usage: nf4.py OUT
needs: torch, transformers, bitsandbytes
"""
import sys

import bitsandbytes.functional as bnb
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, Qwen2Config, Qwen2ForCausalLM

out = sys.argv[1]
torch.manual_seed(5)
config = Qwen2Config(hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
                     vocab_size=48, max_position_embeddings=64, tie_word_embeddings=True, initializer_range=0.2)
plain = Qwen2ForCausalLM(config).bfloat16().eval()
plain.save_pretrained(out + "-plain")
how = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                         bnb_4bit_compute_dtype=torch.float32)
rounded = AutoModelForCausalLM.from_pretrained(out + "-plain", quantization_config=how, dtype=torch.bfloat16, device_map="cpu")
rounded.save_pretrained(out)
plain = Qwen2ForCausalLM.from_pretrained(out + "-plain", dtype=torch.float32).eval()  # with rotary tables in float32
for name, module in rounded.named_modules():
    if type(module).__name__ == "Linear4bit":
        s = module.weight.quant_state
        absmax = bnb.dequantize_blockwise(s.absmax, s.state2) + s.offset if s.nested else s.absmax
        codes = torch.stack((module.weight.data.reshape(-1) >> 4, module.weight.data.reshape(-1) & 15), 1).reshape(-1).int()
        values = s.code[codes].reshape(-1, s.blocksize) * absmax.reshape(-1, 1)
        plain.get_submodule(name).weight.data = values.reshape(s.shape)
ids = torch.arange(24) * 7 % 48
with torch.no_grad():
    logits = plain(ids[None]).logits[0]
save_file({"ids": ids.int(), "logits": logits}, out + "/expect.safetensors")
