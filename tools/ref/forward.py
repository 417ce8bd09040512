#!/usr/bin/env python3
"""The forward pass of every family, to be read: numpy in float64, no caches, no tricks.

This is the executable form of docs/models/*.md. A family is a row of FAMILIES; what differs from model
to model comes from config.json, in either layout. Nothing here is used by slm; it is one more witness
beside Transformers when a new family is added or a result is in doubt.

usage: forward.py FOLDER [id ...]     logits of the last token, the largest first
       forward.py --check             every folder of tests/golden against its truth
"""
import json
import struct
import sys
from pathlib import Path

import numpy as np

# norm     rms or layer (with bias)
# act      of the gate
# window   layers that see a sliding window where layer_types does not say: all, even, five_of_six, upper
# fused    qkv_proj and gate_up_proj as one matrix each
# shift    norms multiply by shift + w
# sandwich each branch is normalised again before it is added
# embed    embeddings are multiplied by sqrt(width)
# rotary   share of a head that rotates where the config is silent
FAMILIES = {
    "llama": {},
    "mistral": dict(window="all"),
    "mixtral": dict(window="all", experts=True),
    "ministral3": dict(window="all"),
    "phi3": dict(window="all", fused=True),
    "gemma": dict(act="gelu", shift=1, embed=True),
    "gemma2": dict(act="gelu", shift=1, embed=True, sandwich=True, window="even"),
    "gemma3_text": dict(act="gelu", shift=1, embed=True, sandwich=True, window="five_of_six"),
    "qwen2": dict(window="upper"),
    "qwen3": dict(window="upper"),
    "stablelm": dict(norm="layer", rotary=0.25),
}


# ---- files ----

def read_safetensors(path):
    """{name: float64 array} of one file."""
    raw = Path(path).read_bytes()
    (n,) = struct.unpack("<Q", raw[:8])
    out = {}
    for name, t in json.loads(raw[8:8 + n]).items():
        if name == "__metadata__":
            continue
        lo, hi = t["data_offsets"]
        bits = raw[8 + n + lo:8 + n + hi]
        if t["dtype"] == "BF16":
            a = (np.frombuffer(bits, "<u2").astype("<u4") << 16).view("<f4")
        else:
            a = np.frombuffer(bits, {"F32": "<f4", "F16": "<f2"}[t["dtype"]])
        out[name] = a.astype(np.float64).reshape(t["shape"])
    return out


class Model:
    def __init__(self, folder, config="config.json"):
        folder = Path(folder)
        self.conf = json.loads((folder / config).read_text())
        weights = {}
        for f in sorted(folder.glob("model*.safetensors")):
            weights.update(read_safetensors(f))
        if "text_config" in self.conf:  # the text model inside a vision model
            self.conf = self.conf["text_config"]
            weights = {n[len("language_model."):]: a for n, a in weights.items()
                       if n.startswith("language_model.")}
        self.w = weights
        self.family = FAMILIES[self.conf["model_type"]]
        get = self.conf.get
        self.heads = get("num_attention_heads")
        self.kv_heads = get("num_key_value_heads") or self.heads
        self.head = get("head_dim") or get("hidden_size") // self.heads
        self.layers = get("num_hidden_layers")
        self.eps = get("layer_norm_eps" if self.family.get("norm") == "layer" else "rms_norm_eps")

    # ---- pieces ----

    def norm(self, x, name):
        w = self.w[name + ".weight"]
        if self.family.get("norm") == "layer":
            x = x - x.mean(-1, keepdims=True)
            y = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * w
            return y + self.w[name + ".bias"] if name + ".bias" in self.w else y
        y = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps)
        return y * (self.family.get("shift", 0) + w)

    def linear(self, x, name):
        y = x @ self.w[name + ".weight"].T
        return y + self.w[name + ".bias"] if name + ".bias" in self.w else y

    def act(self, x):
        if self.family.get("act") == "gelu":
            return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))
        return x / (1 + np.exp(-x))

    # ---- positions ----

    def windows(self):
        """For each layer the width of its window, or None."""
        get, rule = self.conf.get, self.family.get("window")
        w = get("sliding_window")
        if rule is None or w is None or (rule == "upper" and not get("use_sliding_window")):
            return [None] * self.layers
        if get("layer_types"):
            return [w if t == "sliding_attention" else None for t in get("layer_types")]
        period = get("sliding_window_pattern") or get("_sliding_window_pattern") or 6
        slides = {"all": lambda i: True, "even": lambda i: i % 2 == 0,
                  "five_of_six": lambda i: (i + 1) % period != 0,
                  "upper": lambda i: i >= get("max_window_layers", 28)}[rule]
        return [w if slides(i) else None for i in range(self.layers)]

    def rope_config(self, local):
        """Type, numbers and share of one rotation, from either layout."""
        get = self.conf.get
        new = get("rope_parameters")
        if new:
            r = dict(new.get("sliding_attention" if local else "full_attention", new))
        else:
            r = dict(get("rope_scaling") or {}) if not local else {}
            r["rope_theta"] = get("rope_local_base_freq", 1e4) if local else get("rope_theta", 1e4)
            r["rope_type"] = r.get("rope_type", r.get("type", "default"))
            if get("partial_rotary_factor") is not None:
                r["partial_rotary_factor"] = get("partial_rotary_factor")
        if r["rope_type"] == "su" or (self.conf["model_type"] == "phi3" and r["rope_type"] == "yarn"):
            r["rope_type"] = "longrope"
        r.setdefault("original_max_position_embeddings",
                     get("original_max_position_embeddings", get("max_position_embeddings")))
        r.setdefault("partial_rotary_factor", self.family.get("rotary", 1.0))
        return r

    def frequencies(self, local, length):
        """Inverse frequencies (rotary / 2) and the factor on cosine and sine."""
        r = self.rope_config(local)
        rot = int(self.head * r["partial_rotary_factor"])
        base, kind, orig = r["rope_theta"], r["rope_type"], r["original_max_position_embeddings"]
        f = base ** (-np.arange(0, rot, 2) / rot)
        factor = 1.0
        if kind == "linear":
            f = f / r["factor"]
        elif kind == "llama3":
            low, high = r["low_freq_factor"], r["high_freq_factor"]
            turns = orig * f / (2 * np.pi)  # in the original context
            smooth = np.clip((turns - low) / (high - low), 0, 1)
            f = (1 - smooth) * f / r["factor"] + smooth * f
        elif kind == "yarn":
            def dim(turns):
                return rot * np.log(orig / (turns * 2 * np.pi)) / (2 * np.log(base))
            lo = max(np.floor(dim(r.get("beta_fast", 32))), 0)
            hi = min(np.ceil(dim(r.get("beta_slow", 1))), rot - 1)
            ramp = np.clip((np.arange(rot // 2) - lo) / (hi - lo if hi > lo else 0.001), 0, 1)
            f = f / r["factor"] * ramp + f * (1 - ramp)
            scale = lambda m: 0.1 * m * np.log(r["factor"]) + 1
            factor = scale(r.get("mscale", 1)) / scale(r["mscale_all_dim"]) if r.get("mscale_all_dim") \
                and r.get("mscale") else scale(1)
        elif kind == "longrope":
            f = f / np.array(r["long_factor" if length > orig else "short_factor"])
            stretch = self.conf["max_position_embeddings"] / orig
            factor = np.sqrt(1 + np.log(stretch) / np.log(orig)) if stretch > 1 else 1.0
        return f, factor

    def rotate(self, x, freq):
        """x (T, heads, head): column i turns with column i + rotary / 2."""
        f, factor = freq
        n = len(f)
        a = np.arange(x.shape[0])[:, None, None] * f
        c, s = np.cos(a) * factor, np.sin(a) * factor
        p, q, rest = x[..., :n], x[..., n:2 * n], x[..., 2 * n:]
        return np.concatenate([p * c - q * s, q * c + p * s, rest], -1)

    # ---- a layer ----

    def head_norm(self, x, base, which):
        """Queries and keys normalised a head, with one weight for all heads or one for each."""
        if f"{base}.{which}_norm.weight" in self.w:
            return self.norm(x, f"{base}.{which}_norm")
        if f"{base}.{which}_layernorm.norms.0.weight" in self.w:
            return np.stack([self.norm(x[:, h], f"{base}.{which}_layernorm.norms.{h}")
                             for h in range(x.shape[1])], 1)
        return x

    def attention(self, x, i, window, freq):
        base, t = f"model.layers.{i}.self_attn", x.shape[0]
        hc, kc = self.heads * self.head, self.kv_heads * self.head
        if self.family.get("fused"):
            q, k, v = np.split(self.linear(x, base + ".qkv_proj"), [hc, hc + kc], -1)
        else:
            q, k, v = (self.linear(x, f"{base}.{n}_proj") for n in "qkv")
        q, k, v = (a.reshape(t, -1, self.head) for a in (q, k, v))
        q = self.rotate(self.head_norm(q, base, "q"), freq)
        k = self.rotate(self.head_norm(k, base, "k"), freq)
        r = self.rope_config(False)
        if r.get("llama_4_scaling_beta"):  # far positions sharpen their queries
            far = np.floor(np.arange(t) / r["original_max_position_embeddings"])
            q = q * (1 + r["llama_4_scaling_beta"] * np.log(1 + far))[:, None, None]
        scalar = self.conf.get("query_pre_attn_scalar") or self.head
        k, v = (np.repeat(a, self.heads // self.kv_heads, 1) for a in (k, v))
        s = np.einsum("qhc,khc->hqk", q, k) / np.sqrt(scalar)
        cap = self.conf.get("attn_logit_softcapping")
        if cap:
            s = cap * np.tanh(s / cap)
        back = np.arange(t)[:, None] - np.arange(t)
        s = np.where((back >= 0) & (back < (window or t)), s, -np.inf)
        p = np.exp(s - s.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        return self.linear(np.einsum("hqk,khc->qhc", p, v).reshape(t, -1), base + ".o_proj")

    def experts(self, x, base):
        """Softmax over all experts, the best few, divided by their sum."""
        s = self.linear(x, base + ".gate")
        p = np.exp(s - s.max(-1, keepdims=True))
        out, k = np.zeros_like(x), self.conf["num_experts_per_tok"]
        for t, row in enumerate(p):
            best = np.argsort(-row, kind="stable")[:k]
            for e in best:
                n = f"{base}.experts.{e}"
                h = self.act(self.linear(x[t], n + ".w1")) * self.linear(x[t], n + ".w3")
                out[t] += row[e] / row[best].sum() * self.linear(h, n + ".w2")
        return out

    def feed_forward(self, x, i):
        base = f"model.layers.{i}"
        if self.family.get("experts"):
            return self.experts(x, base + ".block_sparse_moe")
        if self.family.get("fused"):
            gate, up = np.split(self.linear(x, base + ".mlp.gate_up_proj"), 2, -1)
        else:
            gate, up = self.linear(x, base + ".mlp.gate_proj"), self.linear(x, base + ".mlp.up_proj")
        return self.linear(self.act(gate) * up, base + ".mlp.down_proj")

    def layer(self, x, i, window, freq):
        base = f"model.layers.{i}."
        n = self.norm(x, base + "input_layernorm")
        a = self.attention(n, i, window, freq)
        if self.conf.get("use_parallel_residual"):
            return x + a + self.feed_forward(n, i)
        if self.family.get("sandwich"):
            x = x + self.norm(a, base + "post_attention_layernorm")
            f = self.feed_forward(self.norm(x, base + "pre_feedforward_layernorm"), i)
            return x + self.norm(f, base + "post_feedforward_layernorm")
        x = x + a
        return x + self.feed_forward(self.norm(x, base + "post_attention_layernorm"), i)

    def logits(self, ids):
        """(T, V)"""
        x = self.w["model.embed_tokens.weight"][ids]
        if self.family.get("embed"):
            x = x * np.sqrt(x.shape[-1])
        two = self.family.get("window") == "five_of_six"
        freq = [self.frequencies(local, len(ids)) for local in (False, True)[:1 + two]]
        for i, window in enumerate(self.windows()):
            x = self.layer(x, i, window, freq[two and window is not None])
        x = self.norm(x, "model.norm")
        x = x @ self.w.get("lm_head.weight", self.w["model.embed_tokens.weight"]).T
        cap = self.conf.get("final_logit_softcapping")
        return cap * np.tanh(x / cap) if cap else x


def check():
    worst = 0.0
    for folder in sorted((Path(__file__).resolve().parents[2] / "tests" / "golden").iterdir()):
        if not (folder / "expect.json").exists():
            continue
        e = json.loads((folder / "expect.json").read_text())
        truth = read_safetensors(folder / "expect.safetensors")
        for config in ("config.json", "config.legacy.json"):
            if not (folder / config).exists():
                continue
            m = Model(folder, config)
            for ids, want in (("ids", "logits"), ("ids_long", "logits_long")):
                if ids in e:
                    off = np.abs(m.logits(e[ids]) - truth[want]).max() / np.abs(truth[want]).max()
                    worst = max(worst, off)
                    print(f"{folder.name:20} {config:18} {want:11} off by {off:.1e} of the largest")
    return 0 if worst < 1e-5 else 1


def main():
    if sys.argv[1:] == ["--check"]:
        return check()
    ids = [int(a) for a in sys.argv[2:]] or [1]
    last = Model(sys.argv[1]).logits(ids)[-1]
    for i in np.argsort(-last)[:10]:
        print(i, f"{last[i]:.6f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
