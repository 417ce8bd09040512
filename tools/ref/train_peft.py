#!/usr/bin/env python3
"""LoRA training beside PEFT, on the same machine in the same run: a llama with random weights, LoRA
r 16 on all linear layers, bfloat16, rows of 512 ids. The two take turns, so that what else a machine
does meets both; each turn is a process of its own, whose peak memory the system counts.
usage: train_peft.py path/to/slm [--shape 135m|360m] [--batch N] [--steps N] [--turns N] [--threads N]
       [--work DIR] [--full] [--quant TYPE]    (with torch, transformers and peft)
Prints tokens a second (median of all steps but the first of each turn), the same by the time that
processors worked (so that a busy machine does not count), and the peak of memory."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

SHAPES = {
    "135m": dict(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
                 num_key_value_heads=3, vocab_size=49152),
    "360m": dict(hidden_size=960, intermediate_size=2560, num_hidden_layers=32, num_attention_heads=15,
                 num_key_value_heads=5, vocab_size=49152),
    "tiny": dict(hidden_size=256, intermediate_size=768, num_hidden_layers=6, num_attention_heads=4,
                 num_key_value_heads=4, vocab_size=4096),
}
SEQ = 512


def make(folder, shape):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    cfg = LlamaConfig(max_position_embeddings=2048, tie_word_embeddings=True, **SHAPES[shape])
    model = LlamaForCausalLM(cfg).to(torch.bfloat16)
    model.save_pretrained(folder)


def ids_of(path, rows, vocab):
    x, out = 88172645463325252, []
    for _ in range(rows * SEQ):
        x ^= x << 13 & 0xFFFFFFFFFFFFFFFF
        x ^= x >> 7
        x ^= x << 17 & 0xFFFFFFFFFFFFFFFF
        out.append(x % vocab)
    with open(path, "w") as f:
        f.write(" ".join(map(str, out)) + "\n")


def worker(a):
    """PEFT's side: prints one JSON line a step."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(a.threads)
    model = AutoModelForCausalLM.from_pretrained(a.model, dtype=torch.float32 if a.full else torch.bfloat16,
                                                 attn_implementation="sdpa")
    if not a.full:
        model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear",
                                                 task_type="CAUSAL_LM"))
    model.train()
    opt = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    ids = [int(w) for w in open(a.ids).read().split()]
    for step in range(a.steps):
        t, c = time.monotonic(), time.process_time()
        at = step * a.batch * SEQ % len(ids)
        x = torch.tensor(ids[at:at + a.batch * SEQ]).view(a.batch, SEQ)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=x, labels=x).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        print(json.dumps({"step": step + 1, "loss": loss.item(), "took": time.monotonic() - t,
                          "cpu": time.process_time() - c}), flush=True)


def run(cmd):
    """Lines of stdout, the peak of resident memory in MiB, seconds of processors."""
    p = subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    lines = [(time.monotonic(), line) for line in p.stdout]
    _, status, use = os.wait4(p.pid, 0)
    if status:
        sys.exit("failed: " + " ".join(cmd))
    return lines, use.ru_maxrss / 1024, use.ru_utime + use.ru_stime


def slm_steps(a, out, steps):
    cmd = [a.slm, "train", a.base, "--ids-file", a.ids, "--batch", str(a.batch), "--seq", str(SEQ), "--steps",
           str(steps), "--lr", "1e-4", "--schedule", "constant", "--precision", "bf16", "--json", "-o", out, "-t",
           str(a.threads)]
    if not a.full:
        cmd += ["--lora", "--lora-r", "16", "--lora-alpha", "32"]
    lines, rss, cpu = run(cmd)
    times = [t for t, line in lines if line.startswith("{") and '"step"' in line and '"loss"' in line]
    return [b - c for b, c in zip(times[1:], times)], rss, cpu


def peft_steps(a):
    cmd = [sys.executable, os.path.abspath(__file__), a.slm, "--worker", "--model", a.model, "--ids", a.ids, "--batch",
           str(a.batch), "--steps", str(a.steps), "--threads", str(a.threads)] + (["--full"] if a.full else [])
    lines, rss, cpu = run(cmd)
    rows = [json.loads(line) for _, line in lines][1:]
    return [r["took"] for r in rows], rss, min(r["cpu"] for r in rows)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("slm")
    p.add_argument("--shape", default="135m", choices=SHAPES)
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--steps", type=int, default=4)
    p.add_argument("--turns", type=int, default=3)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--work", default="/tmp/train_peft")
    p.add_argument("--full", action="store_true", help="all weights instead of an adapter")
    p.add_argument("--quant", help="slm's base in this type (QLoRA), PEFT's stays bfloat16")
    p.add_argument("--worker", action="store_true")
    p.add_argument("--make", action="store_true")
    p.add_argument("--model")
    p.add_argument("--ids")
    a = p.parse_args()
    if a.worker:
        return worker(a)
    if a.make:
        return make(a.model, a.shape)
    os.makedirs(a.work, exist_ok=True)
    a.model = os.path.join(a.work, a.shape)
    a.ids = os.path.join(a.work, f"ids-{a.shape}.txt")
    if not os.path.exists(os.path.join(a.model, "model.safetensors")):
        # a process of its own: what is forked from a large one counts that one's memory as its peak
        subprocess.run([sys.executable, os.path.abspath(__file__), a.slm, "--make", "--model", a.model, "--shape",
                        a.shape], check=True, stdout=sys.stderr)
    if not os.path.exists(a.ids):
        ids_of(a.ids, 64, SHAPES[a.shape]["vocab_size"])
    a.base = a.model
    if a.quant:
        a.base = os.path.join(a.work, f"{a.shape}-{a.quant}.gguf")
        if not os.path.exists(a.base):
            subprocess.run([a.slm, "quantize", a.model, a.base, a.quant], check=True, stdout=sys.stderr)
    ours, theirs, our_rss, their_rss, our_cpu, their_cpu = [], [], 0, 0, [], []
    for turn in range(a.turns):
        out = os.path.join(a.work, "out-%d" % turn)
        _, _, begin = slm_steps(a, out, 1)
        steps, rss, cpu = slm_steps(a, out + "-more", a.steps)
        ours, our_rss = ours + steps, max(our_rss, rss)
        our_cpu.append((cpu - begin) / (a.steps - 1))
        steps, rss, cpu = peft_steps(a)
        theirs, their_rss = theirs + steps, max(their_rss, rss)
        their_cpu.append(cpu)
    tokens = a.batch * SEQ
    print(f"{a.shape}, batch {a.batch} x {SEQ}, {'full' if a.full else 'LoRA r 16, all linear'}, threads {a.threads}")
    print("            tokens/s   of the best step   a second of processors   peak MiB")
    rates = []
    for name, times, cpu, rss in (("slm", ours, our_cpu, our_rss), ("PEFT", theirs, their_cpu, their_rss)):
        rates.append((tokens / statistics.median(times), tokens / min(times), tokens / min(cpu) * a.threads, rss))
        print("%-8s %11.1f %18.1f %24.1f %10.0f" % (name, *rates[-1]))
    print("ratio    %11.2f %18.2f %24.2f %10.2f" % tuple(x / y for x, y in zip(*rates)))


if __name__ == "__main__":
    main()
