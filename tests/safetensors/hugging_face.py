"""Takes a model in GGUF apart into a folder as Hugging Face publishes it: config.json, tensors under
their original names and in their original order, tokenizer.json and a chat template.

The inverse of what `plimsoll quantize FOLDER` does, written by itself from the models' published
code and configurations.
"""

import json
import struct

import numpy as np

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"

NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_gate_inp": "mlp.gate",
    "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
    "ffn_up_shexp": "mlp.shared_expert.up_proj",
    "ffn_down_shexp": "mlp.shared_expert.down_proj",
    "ffn_gate_inp_shexp": "mlp.shared_expert_gate",
}
EXPERTS = {"ffn_gate_exps": "gate_proj", "ffn_up_exps": "up_proj", "ffn_down_exps": "down_proj"}
MIXTRAL_EXPERTS = {"ffn_gate_exps": "w1", "ffn_up_exps": "w3", "ffn_down_exps": "w2"}


def f32(array):
    return np.asarray(array, np.float32)


# Values that survive the model's own change and its inverse: what the test's reference has.
def steady_plus_one(weights):
    return f32(f32(weights - np.float32(1)) + np.float32(1))


def steady_minus_exp(decays):
    return f32(-np.exp(np.log(-decays.astype(np.float64)).astype(np.float32).astype(np.float64)))


def halves_apart(rows, n_heads):
    """Rotary pairs that are neighbours, as GGUF has Llama's, half a head apart."""
    shape = rows.shape
    return rows.reshape(n_heads, shape[0] // n_heads // 2, 2, -1).swapaxes(1, 2).reshape(shape)


def joined(gate, up):
    """Rows of both, of each expert, gate first."""
    return np.concatenate([gate, up], axis=-2)


def in_turns(gate, up, axis):
    return np.stack([gate, up], axis=axis + 1).reshape(
        [n * 2 if i == axis else n for i, n in enumerate(gate.shape)]
    )


class Source:
    """The GGUF: values in F32 by name, and metadata of the architecture."""

    def __init__(self, gguf):
        self.metadata = gguf.metadata
        self.arch = gguf.metadata["general.architecture"]
        self.tensors = {name: f32(gguf.matrix(name)) for name in gguf.names()}

    def key(self, name, fallback=None):
        return self.metadata.get(f"{self.arch}.{name}", fallback)

    @property
    def n_layers(self):
        return self.key("block_count") - self.key("nextn_predict_layers", 0)


class Folder:
    """What a model becomes."""

    def __init__(self, source, model_type, names=None, nested=None):
        self.source, self.tensors = source, {}
        self.names = {**NAMES, **(names or {})}
        # Models with parts for images keep that for text under a name of its own.
        self.prefix = {None: "model.", "old": "language_model.model.", "new": "model.language_model."}[nested]
        self.config = {
            "model_type": model_type,
            "num_hidden_layers": source.n_layers,
            "hidden_size": source.key("embedding_length"),
            "num_attention_heads": source.key("attention.head_count"),
            "vocab_size": source.key("vocab_size"),
            "max_position_embeddings": source.key("context_length"),
            "rms_norm_eps": source.key("attention.layer_norm_rms_epsilon"),
            "rope_theta": source.key("rope.freq_base"),
        }
        optional = {
            "num_key_value_heads": "attention.head_count_kv",
            "head_dim": "attention.key_length",
            "intermediate_size": "feed_forward_length",
            "num_experts_per_tok": "expert_used_count",
            "moe_intermediate_size": "expert_feed_forward_length",
            "shared_expert_intermediate_size": "expert_shared_feed_forward_length",
            "n_shared_experts": "expert_shared_count",
            "first_k_dense_replace": "leading_dense_block_count",
            "routed_scaling_factor": "expert_weights_scale",
            "norm_topk_prob": "expert_weights_norm",
        }
        for name, key in optional.items():
            if source.key(key) is not None:
                self.config[name] = source.key(key)

    def layers(self):
        """Numbers of layers, and their tensors by the names inside."""
        for i in range(self.source.n_layers):
            prefix = f"blk.{i}."
            yield i, {n[len(prefix):]: t for n, t in self.source.tensors.items() if n.startswith(prefix)}

    def put(self, layer, name, values):
        self.tensors[f"{self.prefix}layers.{layer}.{name}"] = values

    def put_named(self, layer, tensors):
        """All that only has another name."""
        for name, values in tensors.items():
            module, _, suffix = name.rpartition(".")
            self.put(layer, f"{self.names[module]}.{suffix}", values)

    def put_experts(self, layer, tensors, names=None, module="mlp.experts"):
        """Each expert's matrices by themselves; they go from `tensors`."""
        for name, projection in (names or EXPERTS).items():
            stack = tensors.pop(f"{name}.weight", None)
            for expert, matrix in enumerate(stack if stack is not None else []):
                self.put(layer, f"{module}.{expert}.{projection}.weight", matrix)

    def put_outside(self, plus_one=False):
        outside = self.source.tensors
        self.tensors[f"{self.prefix}embed_tokens.weight"] = outside["token_embd.weight"]
        norm = outside["output_norm.weight"]
        self.tensors[f"{self.prefix}norm.weight"] = f32(norm - np.float32(1)) if plus_one else norm
        self.config["tie_word_embeddings"] = "output.weight" not in outside
        if "output.weight" in outside:
            old = self.prefix == "language_model.model."
            self.tensors["language_model.lm_head.weight" if old else "lm_head.weight"] = outside["output.weight"]

    def set_experts(self, key):
        if self.source.key("expert_count"):
            self.config[key] = self.source.key("expert_count")

    def nest(self, model_type):
        """The configuration of a model with other parts."""
        self.config = {
            "model_type": model_type,
            "vision_config": {"model_type": "siglip"},
            "tie_word_embeddings": self.config.pop("tie_word_embeddings"),
            "text_config": self.config,
        }
        self.tensors["vision_tower.patch.conv.weight"] = np.ones((2, 3, 1, 4, 4), np.float32)
        self.tensors["multi_modal_projector.linear_1.weight"] = np.ones((4, 4), np.float32)


def add_plus_one(source, names):
    """Makes the norms of these names such that taking 1 and adding it changes nothing."""
    for name in source.tensors:
        if name.removeprefix("blk.").lstrip("0123456789").removeprefix(".") in names:
            source.tensors[name] = steady_plus_one(source.tensors[name])


def taking_one(tensors, names):
    return {n: f32(t - np.float32(1)) if n in names else t for n, t in tensors.items()}


def scaling(source, extra=None):
    """RoPE's stretching under GGUF's keys in Hugging Face's words."""
    kind = source.key("rope.scaling.type")
    if kind is None:
        return None
    words = {"rope_type": kind, "factor": source.key("rope.scaling.factor")}
    if source.key("rope.scaling.original_context_length"):
        words["original_max_position_embeddings"] = source.key("rope.scaling.original_context_length")
    return {**words, **(extra or {})}


# Of each family, from here on.


def llama(source):
    is_moe = source.key("expert_count") is not None
    folder = Folder(source, "mixtral" if is_moe else "llama", {"ffn_gate_inp": "block_sparse_moe.gate"})
    folder.set_experts("num_local_experts")
    folder.config["rope_scaling"] = scaling(source)
    if "rope_freqs.weight" in source.tensors:
        folder.config["rope_scaling"] = {
            "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 1024,
        }
    for i, tensors in folder.layers():
        pair_queries_and_keys(source, tensors)
        folder.put_experts(i, tensors, MIXTRAL_EXPERTS, "block_sparse_moe.experts")
        folder.put_named(i, tensors)
    folder.put_outside()
    return folder


def pair_queries_and_keys(source, tensors):
    heads = {"q": source.key("attention.head_count"), "k": source.key("attention.head_count_kv")}
    for name in [n for n in tensors if n.startswith(("attn_q.", "attn_k."))]:
        tensors[name] = halves_apart(tensors[name], heads[name[5]])


def mistral3(source):
    folder = Folder(source, "ministral3", nested="old")
    folder.config["rope_parameters"] = scaling(
        source,
        {
            "mscale": 1.0,
            "mscale_all_dim": source.key("rope.scaling.yarn_log_multiplier"),
            "llama_4_scaling_beta": source.key("attention.temperature_scale"),
            "rope_theta": folder.config.pop("rope_theta"),
        },
    )
    for i, tensors in folder.layers():
        pair_queries_and_keys(source, tensors)
        folder.put_named(i, tensors)
    folder.put_outside()
    folder.nest("mistral3")
    return folder


def plain(model_type, names=None, experts_key="num_experts"):
    def make(source):
        folder = Folder(source, model_type, names)
        folder.set_experts(experts_key)
        folder.config["rope_scaling"] = scaling(source)
        for i, tensors in folder.layers():
            bias = tensors.pop("exp_probs_b.bias", None)
            if bias is not None:
                folder.put(i, "mlp.gate.e_score_correction_bias", bias)
            folder.put_experts(i, tensors)
            folder.put_named(i, tensors)
        folder.put_outside()
        return folder

    return make


SHARED_EXPERTS = {f"ffn_{p}_shexp": f"mlp.shared_experts.{p}_proj" for p in ("gate", "up", "down")}


def glm4moe(source):
    folder = plain("glm4_moe", {**SHARED_EXPERTS, "post_attention_norm": "post_attention_layernorm"}, "n_routed_experts")(source)
    folder.config.update({"partial_rotary_factor": 0.5, "num_nextn_predict_layers": 1, "n_group": 1, "topk_group": 1})
    folder.put(source.n_layers, "eh_proj.weight", np.ones((4, 8), np.float32))  # is left out
    return folder


def minimax_m2(source):
    folder = Folder(source, "minimax_m2", {"ffn_gate_inp": "block_sparse_moe.gate"})
    folder.set_experts("num_local_experts")
    del folder.config["moe_intermediate_size"]
    folder.config.update({"rotary_dim": source.key("rope.dimension_count"), "scoring_func": "sigmoid"})
    for i, tensors in folder.layers():
        folder.put(i, "block_sparse_moe.e_score_correction_bias", tensors.pop("exp_probs_b.bias"))
        folder.put_experts(i, tensors, MIXTRAL_EXPERTS, "block_sparse_moe.experts")
        folder.put_named(i, tensors)
    folder.put_outside()
    return folder


def granite(source):
    is_moe = source.arch == "granitemoe"
    folder = Folder(source, "granitemoeshared" if is_moe else "granite",
                    {"ffn_gate_inp": "block_sparse_moe.router.layer", "ffn_down_shexp": "shared_mlp.output_linear"})
    folder.set_experts("num_local_experts")
    folder.config.update({
        "embedding_multiplier": source.key("embedding_scale"),
        "residual_multiplier": source.key("residual_scale"),
        "attention_multiplier": source.key("attention.scale"),
        "logits_scaling": source.key("logit_scale"),
        "shared_intermediate_size": folder.config.pop("shared_expert_intermediate_size", 0),
    })
    folder.config.pop("norm_topk_prob", None)
    for i, tensors in folder.layers():
        pair_queries_and_keys(source, tensors)
        if is_moe:
            gate, up = (tensors.pop(f"ffn_{p}_exps.weight") for p in ("gate", "up"))
            folder.put(i, "block_sparse_moe.input_linear.weight", joined(gate, up))
            folder.put(i, "block_sparse_moe.output_linear.weight", tensors.pop("ffn_down_exps.weight"))
        if "ffn_gate_shexp.weight" in tensors:
            gate, up = (tensors.pop(f"ffn_{p}_shexp.weight") for p in ("gate", "up"))
            folder.put(i, "shared_mlp.input_linear.weight", joined(gate, up))
        folder.put_named(i, tensors)
    folder.put_outside()
    return folder


def phi3(source):
    folder = Folder(source, "phi3", {"ffn_up": "mlp.gate_up_proj"})
    folder.config["original_max_position_embeddings"] = source.key("rope.scaling.original_context_length")
    if "rope_factors_long.weight" in source.tensors:
        folder.config["rope_scaling"] = {
            "type": "longrope",
            "attention_factor": source.key("rope.scaling.attn_factor"),
            "long_factor": source.tensors["rope_factors_long.weight"].astype(float).tolist(),
            "short_factor": source.tensors["rope_factors_short.weight"].astype(float).tolist(),
        }
    for i, tensors in folder.layers():
        folder.put_named(i, tensors)
    folder.put_outside()
    return folder


GEMMA_NORMS = {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}


def gemma3(source):
    norms = {f"{n}.weight" for n in [*GEMMA_NORMS, "attn_norm", "attn_q_norm", "attn_k_norm", "output_norm"]}
    add_plus_one(source, norms)
    folder = Folder(source, "gemma3_text", GEMMA_NORMS, nested="old")
    folder.config.update({
        "sliding_window": source.key("attention.sliding_window"),
        "query_pre_attn_scalar": source.key("attention.key_length"),
        "hidden_activation": "gelu_pytorch_tanh",
        "rope_scaling": scaling(source),
    })
    for i, tensors in folder.layers():
        folder.put_named(i, taking_one(tensors, norms))
    folder.put_outside(plus_one=True)
    folder.nest("gemma3")
    return folder


def gemma4(source):
    folder = Folder(source, "gemma4_text", {
        **GEMMA_NORMS,
        "pre_ffw_norm_2": "pre_feedforward_layernorm_2",
        "post_ffw_norm_1": "post_feedforward_layernorm_1",
        "post_ffw_norm_2": "post_feedforward_layernorm_2",
        "inp_gate": "per_layer_input_gate",
        "proj": "per_layer_projection",
        "post_norm": "post_per_layer_input_norm",
        "ffn_gate_inp": "router.proj",
    }, nested="new")
    windows = source.key("attention.sliding_window_pattern")
    n_kv_heads = source.key("attention.head_count_kv")
    k_eq_v = len(set(n_kv_heads)) > 1
    del folder.config["rope_theta"]
    folder.config.update({
        "layer_types": ["sliding_attention" if w else "full_attention" for w in windows],
        "sliding_window": source.key("attention.sliding_window"),
        "head_dim": source.key("attention.key_length_swa"),
        "global_head_dim": source.key("attention.key_length"),
        "num_key_value_heads": n_kv_heads[0],
        "num_global_key_value_heads": n_kv_heads[1],
        "attention_k_eq_v": k_eq_v,
        "num_kv_shared_layers": source.key("attention.shared_kv_layers"),
        "hidden_size_per_layer_input": source.key("embedding_length_per_layer_input"),
        "final_logit_softcapping": source.key("final_logit_softcapping"),
        "hidden_activation": "gelu_pytorch_tanh",
        "rope_parameters": {
            "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": source.key("rope.freq_base")},
            "sliding_attention": {"rope_type": "default", "rope_theta": source.key("rope.freq_base_swa")},
        },
    })
    if source.key("expert_count"):
        folder.set_experts("num_experts")
        folder.config.update({"enable_moe_block": True, "top_k_experts": folder.config.pop("num_experts_per_tok")})
    for i, tensors in folder.layers():
        folder.put(i, "layer_scalar", tensors.pop("layer_output_scale.weight"))
        if "ffn_gate_up_exps.weight" in tensors:
            folder.put(i, "experts.gate_up_proj", tensors.pop("ffn_gate_up_exps.weight"))
        if "ffn_gate_exps.weight" in tensors:
            folder.put(i, "experts.gate_up_proj", joined(tensors.pop("ffn_gate_exps.weight"), tensors.pop("ffn_up_exps.weight")))
        if "ffn_down_exps.weight" in tensors:
            folder.put(i, "experts.down_proj", tensors.pop("ffn_down_exps.weight"))
            folder.put(i, "router.scale", tensors.pop("ffn_gate_inp.scale"))
            folder.put(i, "router.per_expert_scale", tensors.pop("ffn_down_exps.scale"))
        folder.put_named(i, tensors)
    folder.put_outside()
    for name, original in (("per_layer_token_embd", "embed_tokens_per_layer"),
                           ("per_layer_model_proj", "per_layer_model_projection"),
                           ("per_layer_proj_norm", "per_layer_projection_norm")):
        if f"{name}.weight" in source.tensors:
            folder.tensors[f"{folder.prefix}{original}.weight"] = source.tensors[f"{name}.weight"]
    folder.tensors["model.audio_tower.x.weight"] = np.ones((2, 2), np.float32)
    folder.nest("gemma4")
    return folder


def llama4(source):
    names = {f"ffn_{p}": f"feed_forward.{p}_proj" for p in ("gate", "up", "down")}
    names.update({f"ffn_{p}_shexp": f"feed_forward.shared_expert.{p}_proj" for p in ("gate", "up", "down")})
    folder = Folder(source, "llama4_text", {**names, "ffn_gate_inp": "feed_forward.router"}, nested="old")
    folder.set_experts("num_local_experts")
    folder.config.update({
        "intermediate_size_mlp": source.key("feed_forward_length"),
        "intermediate_size": source.key("expert_feed_forward_length"),
        "interleave_moe_layer_step": source.key("interleave_moe_layer_step"),
        "attention_chunk_size": source.key("attention.chunk_size", 8192),
        "attn_scale": source.key("attention.temperature_scale", 0.1),
        "floor_scale": source.key("attention.temperature_length", 8192),
        "attn_temperature_tuning": 4,
        "no_rope_layers": [int((i + 1) % 4 != 0) for i in range(source.n_layers)],
    })
    del folder.config["moe_intermediate_size"]
    for i, tensors in folder.layers():
        if "ffn_gate_exps.weight" in tensors:
            both = joined(tensors.pop("ffn_gate_exps.weight"), tensors.pop("ffn_up_exps.weight"))
            folder.put(i, "feed_forward.experts.gate_up_proj", both.swapaxes(1, 2))
            folder.put(i, "feed_forward.experts.down_proj", tensors.pop("ffn_down_exps.weight").swapaxes(1, 2))
        folder.put_named(i, tensors)
    folder.put_outside()
    folder.nest("llama4")
    return folder


def gpt_oss(source):
    folder = Folder(source, "gpt_oss", {"ffn_gate_inp": "mlp.router", "post_attention_norm": "post_attention_layernorm"})
    folder.set_experts("num_local_experts")
    folder.config.update({
        "intermediate_size": source.key("expert_feed_forward_length"),
        "sliding_window": source.key("attention.sliding_window"),
        "layer_types": ["full_attention" if i % 2 else "sliding_attention" for i in range(source.n_layers)],
        "rope_scaling": scaling(source),
    })
    del folder.config["moe_intermediate_size"]
    for i, tensors in folder.layers():
        folder.put(i, "self_attn.sinks", tensors.pop("attn_sinks.weight"))
        gate, up = (tensors.pop(f"ffn_{p}_exps.weight") for p in ("gate", "up"))
        folder.put(i, "mlp.experts.gate_up_proj", in_turns(gate, up, 1).swapaxes(1, 2))
        folder.put(i, "mlp.experts.down_proj", tensors.pop("ffn_down_exps.weight").swapaxes(1, 2))
        gate, up = (tensors.pop(f"ffn_{p}_exps.bias") for p in ("gate", "up"))
        folder.put(i, "mlp.experts.gate_up_proj_bias", in_turns(gate, up, 1))
        folder.put(i, "mlp.experts.down_proj_bias", tensors.pop("ffn_down_exps.bias"))
        folder.put_named(i, tensors)
    folder.put_outside()
    return folder


HYBRID_NORMS = {f"{n}.weight" for n in ("attn_norm", "post_attention_norm", "attn_q_norm", "attn_k_norm", "output_norm")}


def hybrid(source, model_type, nested):
    add_plus_one(source, HYBRID_NORMS)
    for name in source.tensors:
        if name.endswith(".ssm_a"):
            source.tensors[name] = steady_minus_exp(source.tensors[name])
    folder = Folder(source, model_type, {
        "post_attention_norm": "post_attention_layernorm",
        "ssm_ba": "linear_attn.in_proj_ba",
        "ssm_beta": "linear_attn.in_proj_b",
        "ssm_alpha": "linear_attn.in_proj_a",
        "ssm_norm": "linear_attn.norm",
        "ssm_out": "linear_attn.out_proj",
    }, nested)
    folder.set_experts("num_experts")
    folder.config.update({
        "linear_conv_kernel_dim": source.key("ssm.conv_kernel"),
        "linear_key_head_dim": source.key("ssm.state_size"),
        "linear_value_head_dim": source.key("ssm.state_size"),
        "linear_num_key_heads": source.key("ssm.group_count"),
        "linear_num_value_heads": source.key("ssm.time_step_rank"),
        "full_attention_interval": source.key("full_attention_interval"),
    })
    return folder


def put_decays(folder, i, tensors):
    folder.put(i, "linear_attn.A_log", f32(np.log(-tensors.pop("ssm_a").astype(np.float64))))
    folder.put(i, "linear_attn.dt_bias", tensors.pop("ssm_dt.bias"))
    folder.put(i, "linear_attn.conv1d.weight", tensors.pop("ssm_conv1d.weight")[:, None, :])


def qwen3next(source):
    folder = hybrid(source, "qwen3_next", None)
    n_keys, width = source.key("ssm.group_count"), source.key("ssm.state_size")
    for i, tensors in folder.layers():
        if "ssm_a" in tensors:
            put_decays(folder, i, tensors)
            mixed, gates = tensors.pop("attn_qkv.weight"), tensors.pop("attn_gate.weight")
            queries, keys, values = np.split(mixed, [n_keys * width, 2 * n_keys * width])
            parts = [p.reshape(n_keys, -1, p.shape[1]) for p in (queries, keys, values, gates)]
            folder.put(i, "linear_attn.in_proj_qkvz.weight", np.concatenate(parts, axis=1).reshape(-1, mixed.shape[1]))
        folder.put_experts(i, tensors)
        folder.put_named(i, taking_one(tensors, HYBRID_NORMS))
    folder.put_outside(plus_one=True)
    folder.tensors["mtp.fc.weight"] = np.ones((4, 8), np.float32)
    return folder


def neighbours(values, n_keys, n_values, axis=0):
    """Value heads of a key head beside one another, where they were a key head's count apart."""
    shape = values.shape
    split = (*shape[:axis], n_values // n_keys, n_keys, shape[axis] // n_values, *shape[axis + 1:])
    return values.reshape(split).swapaxes(axis, axis + 1).reshape(shape)


def qwen35(source):
    is_moe = source.arch == "qwen35moe"
    folder = hybrid(source, "qwen3_5_moe_text" if is_moe else "qwen3_5_text", "new")
    n_keys, n_values = source.key("ssm.group_count"), source.key("ssm.time_step_rank")
    n_mixed = 2 * n_keys * source.key("ssm.state_size")
    folder.config["rope_parameters"] = {
        "rope_type": "default", "rope_theta": folder.config.pop("rope_theta"), "partial_rotary_factor": 0.25,
        "mrope_section": source.key("rope.dimension_sections")[:3],
    }

    def grouped(values, axis=0):
        return neighbours(values, n_keys, n_values, axis)

    def behind_keys(values):
        return np.concatenate([values[:n_mixed], grouped(values[n_mixed:])])

    for i, tensors in folder.layers():
        if "ssm_a" in tensors:
            for name in ("ssm_a", "ssm_dt.bias", "ssm_beta.weight", "ssm_alpha.weight"):
                tensors[name] = grouped(tensors[name])
            tensors["ssm_conv1d.weight"] = behind_keys(tensors["ssm_conv1d.weight"])
            tensors["ssm_out.weight"] = grouped(tensors["ssm_out.weight"], 1)
            put_decays(folder, i, tensors)
            folder.put(i, "linear_attn.in_proj_qkv.weight", behind_keys(tensors.pop("attn_qkv.weight")))
            folder.put(i, "linear_attn.in_proj_z.weight", grouped(tensors.pop("attn_gate.weight")))
        if is_moe:
            both = joined(tensors.pop("ffn_gate_exps.weight"), tensors.pop("ffn_up_exps.weight"))
            folder.put(i, "mlp.experts.gate_up_proj", both)
            folder.put(i, "mlp.experts.down_proj", tensors.pop("ffn_down_exps.weight"))
        folder.put_named(i, taking_one(tensors, HYBRID_NORMS))
    folder.put_outside(plus_one=True)
    folder.tensors["mtp.fc.weight"] = np.ones((4, 8), np.float32)
    folder.nest("qwen3_5_moe" if is_moe else "qwen3_5")
    return folder


def deepseek2(source):
    folder = Folder(source, "deepseek_v3", {
        **SHARED_EXPERTS,
        "attn_q_a": "self_attn.q_a_proj",
        "attn_q_a_norm": "self_attn.q_a_layernorm",
        "attn_q_b": "self_attn.q_b_proj",
        "attn_kv_a_mqa": "self_attn.kv_a_proj_with_mqa",
        "attn_kv_a_norm": "self_attn.kv_a_layernorm",
    })
    folder.set_experts("n_routed_experts")
    rotated = source.key("rope.dimension_count")
    m = source.key("rope.scaling.yarn_log_multiplier") * 10
    folder.config.update({
        "num_key_value_heads": source.key("attention.head_count"),
        "head_dim": rotated,
        "q_lora_rank": source.key("attention.q_lora_rank"),
        "kv_lora_rank": source.key("attention.kv_lora_rank"),
        "qk_rope_head_dim": rotated,
        "qk_nope_head_dim": source.key("attention.key_length_mla") - rotated,
        "v_head_dim": source.key("attention.value_length_mla"),
        "n_group": source.key("expert_group_count"),
        "topk_group": source.key("expert_group_used_count"),
        "rope_scaling": scaling(source, {"mscale": m, "mscale_all_dim": m}),
    })
    for i, tensors in folder.layers():
        keys, values = tensors.pop("attn_k_b.weight"), tensors.pop("attn_v_b.weight")
        both = np.concatenate([keys.swapaxes(1, 2), values], axis=1)
        folder.put(i, "self_attn.kv_b_proj.weight", both.reshape(-1, both.shape[2]))
        if "exp_probs_b.bias" in tensors:
            folder.put(i, "mlp.gate.e_score_correction_bias", tensors.pop("exp_probs_b.bias"))
        folder.put_experts(i, tensors)
        folder.put_named(i, tensors)
    folder.put_outside()
    folder.put(source.n_layers, "eh_proj.weight", np.ones((4, 8), np.float32))  # is left out
    return folder


FAMILIES = {
    "deepseek2": deepseek2,
    "llama": llama,
    "mistral3": mistral3,
    "qwen2": plain("qwen2"),
    "qwen3": plain("qwen3"),
    "qwen2moe": plain("qwen2_moe"),
    "qwen3moe": plain("qwen3_moe"),
    "olmoe": plain("olmoe"),
    "dots1": plain("dots1", SHARED_EXPERTS, "n_routed_experts"),
    "glm4moe": glm4moe,
    "minimax-m2": minimax_m2,
    "granite": granite,
    "granitemoe": granite,
    "phi3": phi3,
    "gemma3": gemma3,
    "gemma4": gemma4,
    "llama4": llama4,
    "gpt-oss": gpt_oss,
    "qwen3next": qwen3next,
    "qwen35": qwen35,
    "qwen35moe": qwen35,
}


# Files.


def bf16_bits(values):
    bits = f32(values).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def stored(values, dtype):
    """The type's name and bytes. Arrays of bytes stay what they are."""
    if values.dtype == np.uint8:
        return "U8", np.ascontiguousarray(values).tobytes()
    if dtype == "BF16":
        return "BF16", np.ascontiguousarray(bf16_bits(values)).tobytes()
    return "F32", np.ascontiguousarray(f32(values)).tobytes()


def write_safetensors(path, tensors, dtype="F32", eight_bits=()):
    header, pieces, end = {}, [], 0
    for name, values in tensors.items():
        kind, data = stored(values, dtype)
        kind = "F8_E4M3" if name in eight_bits else kind
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [end, end + len(data)]}
        pieces.append(data)
        end += len(data)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(pieces))


def tokenizer_json(metadata):
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    return {
        "model": {
            "type": "BPE",
            "vocab": {t: i for i, t in enumerate(tokens) if types[i] == 1},
            "merges": metadata["tokenizer.ggml.merges"],
        },
        "added_tokens": [{"id": i, "content": t, "special": True} for i, t in enumerate(tokens) if types[i] == 3],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": QWEN2_SPLIT}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        },
        "decoder": {"type": "ByteLevel"},
    }


def tokenizer_config(metadata):
    tokens = metadata["tokenizer.ggml.tokens"]
    return {
        "bos_token": tokens[metadata["tokenizer.ggml.bos_token_id"]],
        "eos_token": tokens[metadata["tokenizer.ggml.eos_token_id"]],
        "pad_token": tokens[metadata["tokenizer.ggml.padding_token_id"]],
        "add_bos_token": metadata["tokenizer.ggml.add_bos_token"],
        "chat_template": CHAT_TEMPLATE,
    }


def write_folder(path, folder, dtype="F32", eight_bits=()):
    """In two files, as large models come."""
    metadata = folder.source.metadata
    path.mkdir()
    (path / "config.json").write_text(json.dumps(folder.config))
    (path / "tokenizer.json").write_text(json.dumps(tokenizer_json(metadata)))
    (path / "tokenizer_config.json").write_text(json.dumps(tokenizer_config(metadata)))
    names = list(folder.tensors)
    weight_map = {}
    for i, part in enumerate((names[::2], names[1::2]), 1):
        file_name = f"model-{i:05}-of-00002.safetensors"
        write_safetensors(path / file_name, {n: folder.tensors[n] for n in part}, dtype, eight_bits)
        weight_map.update(dict.fromkeys(part, file_name))
    (path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
