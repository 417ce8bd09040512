"""The tiny models of tests/golden: one row a folder.

kind    class of configuration in Transformers
conf    its arguments; sizes that all share stand in BASE
store   element type on disk
old     what the older configuration layout says instead: a function of the new one's dictionary
off     features to switch off one by one: each must move the logits, or the fixture proves nothing
long    length of a second, longer sequence (longrope: beyond the original context)
shards  largest shard, for models in several files
"""

BASE = dict(
    vocab_size=64, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=4, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=None,
    tie_word_embeddings=False)


def rope(**more):
    return dict(dict(rope_type="default", rope_theta=10000.0), **more)


def old_rope(conf):
    """rope_parameters become rope_theta, rope_scaling and partial_rotary_factor."""
    r = dict(conf.pop("rope_parameters"))
    conf["rope_theta"] = r.pop("rope_theta")
    share = r.pop("partial_rotary_factor", None)
    if share is not None:
        conf["partial_rotary_factor"] = share
    kind = r.pop("rope_type")
    r.pop("type", None)
    if conf["model_type"] == "phi3":
        r.pop("original_max_position_embeddings", None)
        r["type"] = kind
    else:
        r["rope_type"] = kind
    conf["rope_scaling"] = None if kind == "default" else r


def old_gemma(conf):
    old_rope(conf)
    conf["hidden_act"] = "gelu"
    conf.pop("hidden_activation", None)


def old_gemma2(conf):
    old_rope(conf)
    conf.pop("layer_types")


def old_gemma3(conf):
    r = conf.pop("rope_parameters")
    conf["rope_theta"] = r["full_attention"]["rope_theta"]
    conf["rope_local_base_freq"] = r["sliding_attention"]["rope_theta"]
    conf["rope_scaling"] = {"rope_type": "linear", "factor": r["full_attention"]["factor"]}
    conf["sliding_window_pattern"] = conf.pop("_sliding_window_pattern", 6)
    conf.pop("layer_types")


def old_qwen(conf):
    old_rope(conf)
    conf.pop("layer_types", None)
    if not conf["use_sliding_window"]:
        conf["sliding_window"] = 4  # named and not in use, as published folders do


def off_rope(**keep):
    return {"rope_parameters": rope(**keep)}


YARN = rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=4.0, beta_slow=1.0)
LONG6 = [1.0, 1.02, 1.05, 1.1, 1.3, 1.7], [1.2, 1.9, 2.6, 3.8, 4.7, 5.5]
LONG8 = LONG6[0] + [1.9, 2.0], LONG6[1] + [6.1, 7.3]


def longrope(pair, original, **more):
    return rope(rope_type="longrope", short_factor=pair[0], long_factor=pair[1],
                original_max_position_embeddings=original, **more)


MODELS = [
    dict(name="llama", kind="LlamaConfig", conf=dict(rope_parameters=rope()), store="bfloat16", old=old_rope),
    dict(name="llama-tied", kind="LlamaConfig", store="float32", old=old_rope, shards=24000,
         conf=dict(num_key_value_heads=2, tie_word_embeddings=True, rope_parameters=rope(
             rope_type="llama3", rope_theta=500.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
             original_max_position_embeddings=32)),
         off=[off_rope(rope_theta=500.0)]),
    dict(name="llama-bias", kind="LlamaConfig", store="float16", old=old_rope,
         conf=dict(num_attention_heads=2, num_key_value_heads=1, head_dim=32, attention_bias=True, mlp_bias=True,
                   hidden_act="silu", rope_parameters=rope(rope_type="linear", factor=4.0)),
         off=[off_rope()]),
    dict(name="mistral", kind="MistralConfig", store="bfloat16", old=old_rope,
         conf=dict(num_key_value_heads=2, head_dim=12, sliding_window=6, rope_parameters=rope()),
         off=[dict(sliding_window=None)]),
    dict(name="mixtral", kind="MixtralConfig", store="bfloat16", old=old_rope,
         conf=dict(num_key_value_heads=2, intermediate_size=16, num_local_experts=8, num_experts_per_tok=2,
                   sliding_window=None, rope_parameters=rope(rope_theta=1000000.0)),
         off=[dict(num_experts_per_tok=1)]),
    dict(name="mixtral-4x3", kind="MixtralConfig", store="bfloat16", old=old_rope, shards=20000,
         conf=dict(num_key_value_heads=1, intermediate_size=24, num_local_experts=4, num_experts_per_tok=3,
                   sliding_window=5, rope_parameters=rope(rope_theta=1000000.0)),
         off=[dict(num_experts_per_tok=4), dict(sliding_window=None)]),
    dict(name="ministral3", kind="Ministral3Config", store="bfloat16", old=old_rope, wrap="mistral3",
         conf=dict(num_key_value_heads=2, head_dim=16, sliding_window=None,
                   rope_parameters=dict(YARN, original_max_position_embeddings=8, mscale=1.0,
                                        mscale_all_dim=0.5, llama_4_scaling_beta=0.4)),
         off=[dict(rope_parameters=dict(YARN, original_max_position_embeddings=8, mscale=1.0,
                                        mscale_all_dim=0.5, llama_4_scaling_beta=0.0)),
              dict(rope_parameters=rope(original_max_position_embeddings=8, llama_4_scaling_beta=0.4))]),
    dict(name="phi3", kind="Phi3Config", store="bfloat16", old=old_rope,
         conf=dict(sliding_window=7, rope_parameters=rope(), original_max_position_embeddings=64),
         off=[dict(sliding_window=None)]),
    dict(name="phi3-longrope", kind="Phi3Config", store="float32", old=old_rope, long=40,
         conf=dict(num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=96, sliding_window=None,
                   original_max_position_embeddings=24, rope_parameters=longrope(LONG8, 24)),
         off=[off_rope()]),
    dict(name="phi3-partial", kind="Phi3Config", store="bfloat16", old=old_rope, long=30,
         conf=dict(num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=96, tie_word_embeddings=True,
                   sliding_window=19, original_max_position_embeddings=22,
                   rope_parameters=longrope(LONG6, 22, partial_rotary_factor=0.75)),
         off=[off_rope(partial_rotary_factor=0.75), off_rope()]),
    dict(name="gemma", kind="GemmaConfig", store="bfloat16", old=old_gemma,
         conf=dict(num_key_value_heads=1, head_dim=16, tie_word_embeddings=True, hidden_act="gelu_pytorch_tanh",
                   rope_parameters=rope())),
    dict(name="gemma2", kind="Gemma2Config", store="bfloat16", old=old_gemma2,
         conf=dict(num_hidden_layers=3, num_key_value_heads=2, head_dim=12, tie_word_embeddings=True,
                   hidden_activation="gelu_pytorch_tanh", sliding_window=6, query_pre_attn_scalar=20,
                   attn_logit_softcapping=4.0, final_logit_softcapping=5.0, rope_parameters=rope()),
         off=[dict(sliding_window=64), dict(attn_logit_softcapping=None), dict(final_logit_softcapping=None),
              dict(query_pre_attn_scalar=12)]),
    dict(name="gemma3", kind="Gemma3TextConfig", store="bfloat16", old=old_gemma3,
         conf=dict(num_hidden_layers=7, hidden_size=24, intermediate_size=32, num_key_value_heads=1, head_dim=8,
                   tie_word_embeddings=True, hidden_activation="gelu_pytorch_tanh", sliding_window=6,
                   query_pre_attn_scalar=12, rope_parameters=dict(
                       full_attention=rope(rope_type="linear", factor=8.0, rope_theta=1000.0),
                       sliding_attention=rope())),
         off=[dict(sliding_window=64), dict(query_pre_attn_scalar=8),
              dict(rope_parameters=dict(full_attention=rope(rope_theta=1000.0), sliding_attention=rope())),
              dict(rope_parameters=dict(full_attention=rope(rope_type="linear", factor=8.0, rope_theta=1000.0),
                                        sliding_attention=rope(rope_theta=1000.0)))]),
    dict(name="qwen2", kind="Qwen2Config", store="bfloat16", old=old_qwen,
         conf=dict(num_key_value_heads=2, tie_word_embeddings=True, use_sliding_window=False,
                   rope_parameters=rope(rope_theta=1000000.0))),
    dict(name="qwen2-yarn", kind="Qwen2Config", store="bfloat16", old=old_qwen,
         conf=dict(num_attention_heads=2, num_key_value_heads=1, num_hidden_layers=3, use_sliding_window=True,
                   sliding_window=5, max_window_layers=1, rope_parameters=YARN),
         off=[off_rope(), dict(use_sliding_window=False)]),
    dict(name="qwen3", kind="Qwen3Config", store="float32", old=old_qwen,
         conf=dict(num_attention_heads=3, num_key_value_heads=1, head_dim=32, hidden_size=24, use_sliding_window=False,
                   rope_parameters=rope(rope_theta=1000000.0))),
    dict(name="stablelm", kind="StableLmConfig", store="float16", old=old_rope,
         conf=dict(num_attention_heads=2, num_key_value_heads=2, use_qkv_bias=True, layer_norm_eps=1e-5,
                   rope_parameters=rope(partial_rotary_factor=0.25)),
         off=[off_rope(partial_rotary_factor=0.5)]),
    dict(name="stablelm-parallel", kind="StableLmConfig", store="bfloat16", old=old_rope,
         conf=dict(num_key_value_heads=2, qk_layernorm=True, use_parallel_residual=True, layer_norm_eps=1e-5,
                   rope_parameters=rope(partial_rotary_factor=1.0)),
         off=[off_rope(partial_rotary_factor=0.25)]),
]
