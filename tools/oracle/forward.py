"""The forward pass of the supported architectures in float64, all positions at once.

Plain and slow on purpose: this is what the engine's accuracy is measured against, so it shares
nothing with it, keeps keys and values in double precision and rounds nowhere.
"""

import math
from dataclasses import dataclass

import numpy as np


@dataclass
class Architecture:
    """What an architecture fixes; metadata keys override the router's."""

    neox: bool = True  # rotary pairs (i, i + n / 2); otherwise (2 i, 2 i + 1)
    renormalise: bool = True
    sigmoid_router: bool = False
    softmax_of_chosen: bool = False  # experts are chosen by their logits
    clamped_swiglu: bool = False
    alternating_window: bool = False  # in the first, third, ... layer alone
    ffn_norm: str = "ffn_norm"
    gelu: bool = False
    scaled_embedding: bool = False  # by the root of its width
    tiled_heads: bool = False  # of delta nets: value heads of a key head are as far apart as there are key heads
    full_every: int = 0  # of so many layers the last has no window; the others turn by a base of their own
    unrotated_every: int = 0  # of so many layers the last has no positions, and the others stay in chunks and norm heads
    weighs_input: bool = False  # of experts, instead of their output
    two_kinds: bool = False  # of layers, as gemma4 has them


ARCHITECTURES = {
    "llama": Architecture(neox=False),
    "qwen2": Architecture(),
    "qwen3": Architecture(),
    "qwen2moe": Architecture(renormalise=False),
    "qwen3moe": Architecture(),
    "olmoe": Architecture(renormalise=False),
    "deepseek2": Architecture(neox=False, renormalise=False),
    "dots1": Architecture(renormalise=False, sigmoid_router=True),
    "glm4moe": Architecture(renormalise=False, sigmoid_router=True, ffn_norm="post_attention_norm"),
    "gemma3": Architecture(gelu=True, scaled_embedding=True, full_every=6),
    "mistral3": Architecture(neox=False),
    "gemma4": Architecture(gelu=True, scaled_embedding=True, two_kinds=True),
    "llama4": Architecture(neox=False, renormalise=False, sigmoid_router=True, unrotated_every=4, weighs_input=True),
    "phi3": Architecture(),
    "qwen3next": Architecture(ffn_norm="post_attention_norm"),
    "qwen35": Architecture(ffn_norm="post_attention_norm", tiled_heads=True),
    "qwen35moe": Architecture(ffn_norm="post_attention_norm", tiled_heads=True),
    "minimax-m2": Architecture(sigmoid_router=True),
    "granite": Architecture(neox=False),
    "granitemoe": Architecture(neox=False),
    "gpt-oss": Architecture(
        renormalise=False, softmax_of_chosen=True, clamped_swiglu=True, alternating_window=True, ffn_norm="post_attention_norm"
    ),
}


USUAL_CONTEXT = 4096


class Model:
    def __init__(self, gguf):
        self.gguf = gguf
        self.arch = gguf.metadata["general.architecture"]
        if self.arch not in ARCHITECTURES:
            raise SystemExit(f"architecture '{self.arch}': the oracle knows {', '.join(ARCHITECTURES)}")
        self.fixed = ARCHITECTURES[self.arch]
        self.n_layers = self.key("block_count") - self.key("nextn_predict_layers", 0)
        self.hidden_dim = self.key("embedding_length")
        self.n_heads = self.key("attention.head_count")
        self.n_kv_heads = self.key("attention.head_count_kv", self.n_heads)
        # Of latent attention: newer files give the width of what is cached as the key's length.
        self.kv_rank = self.key("attention.kv_lora_rank", 0)
        head_dim = self.key("attention.key_length", self.hidden_dim // self.n_heads)
        self.head_dim = self.key("attention.key_length_mla", head_dim)
        self.eps = self.key("attention.layer_norm_rms_epsilon")
        self.window = self.key("attention.sliding_window", 0)
        self.n_active = self.key("expert_used_count", 0)
        self.sigmoid_router = self.key("expert_gating_func", 2 if self.fixed.sigmoid_router else 1) == 2
        self.renormalise = self.key("expert_weights_norm", self.fixed.renormalise)
        self.router_scale = self.key("expert_weights_scale", 1.0) or 1.0
        self.n_groups = self.key("expert_group_count", 0)
        self.n_groups_used = self.key("expert_group_used_count", 0)
        self.score_scale = self.key("attention.scale", 0.0) or 1 / math.sqrt(self.head_dim)
        own_scale = math.sqrt(self.hidden_dim) if self.fixed.scaled_embedding else 1.0
        self.embedding_scale = self.key("embedding_scale", 0.0) or own_scale
        self.residual_scale = self.key("residual_scale", 0.0) or 1.0
        self.logit_divisor = self.key("logit_scale", 1.0)
        self.logit_cap = self.key("final_logit_softcapping", 0.0)
        if self.fixed.two_kinds:
            self.score_scale = 1.0
        self.temperature = self.key("attention.temperature_scale", 0.1 if self.fixed.unrotated_every else 0.0)
        self.frequencies, self.rope_magnitude = rope_frequencies(self)
        self.kept = {}  # keys and values by layer

    def has_window(self, layer):
        if self.fixed.two_kinds:
            return bool(self.key("attention.sliding_window_pattern")[layer])
        if self.fixed.alternating_window:
            return self.window and layer % 2 == 0
        return self.window and (not self.fixed.full_every or (layer + 1) % self.fixed.full_every != 0)

    def is_unrotated(self, layer):
        return self.fixed.unrotated_every and (layer + 1) % self.fixed.unrotated_every == 0

    def rope_of(self, layer):
        """The layer's frequencies and the factor of rotated values."""
        own = self.fixed.full_every or self.fixed.two_kinds
        if not own or not self.has_window(layer):
            return self.frequencies, self.rope_magnitude
        n_dims = self.key("rope.dimension_count", self.head_dim)
        if self.fixed.two_kinds:
            n_dims = self.key("rope.dimension_count_swa")
        return self.key("rope.freq_base_swa", 10000.0) ** (-np.arange(0, n_dims, 2) / n_dims), 1.0

    def head_dim_of(self, layer):
        return self.key("attention.key_length_swa") if self.fixed.two_kinds and self.has_window(layer) else self.head_dim

    def n_kv_heads_of(self, layer):
        return self.n_kv_heads[layer] if isinstance(self.n_kv_heads, list) else self.n_kv_heads

    def key(self, name, *default):
        value = self.gguf.metadata.get(f"{self.arch}.{name}", *default)
        if value is None:
            raise SystemExit(f"metadata key {self.arch}.{name} is missing")
        return value

    def weight(self, name):
        """The tensor, or None."""
        return self.gguf.matrix(name) if name in self.gguf else None


# --- rotary position embedding ------------------------------------------------


def rope_frequencies(model):
    """Radians a position for each rotated pair, and the factor of the rotated values."""
    n_dims = model.key("rope.dimension_count", model.head_dim)
    theta = model.key("rope.freq_base", 10000.0)
    kind = model.key("rope.scaling.type", "none")
    factor = model.key("rope.scaling.factor", 1.0)
    if kind == "ntk":  # a larger base, such that the slowest pair is interpolated by the factor
        theta *= factor ** (n_dims / (n_dims - 2))
    plain = theta ** (-np.arange(0, n_dims, 2) / n_dims)
    factors = model.weight("rope_freqs.weight")  # Llama 3's divisors
    if "rope_factors_long.weight" in model.gguf:  # LongRoPE (arXiv:2402.13753), by the engine's usual context
        context = min(model.key("context_length"), USUAL_CONTEXT)
        is_long = context > model.key("rope.scaling.original_context_length")
        factors = model.weight("rope_factors_long.weight" if is_long else "rope_factors_short.weight")
    if factors is not None:
        plain = plain / factors
    if kind in ("none", "ntk"):
        return plain, model.key("rope.scaling.attn_factor", 1.0)
    if kind == "linear":
        return plain / factor, 1.0
    if kind == "yarn":
        return yarn_frequencies(model, plain, n_dims, theta, factor)
    raise SystemExit(f"rope scaling '{kind}': the oracle knows none, linear, ntk and yarn")


def yarn_frequencies(model, plain, n_dims, theta, factor):
    """YaRN (Peng et al., 2023, arXiv:2309.00071): pairs that turn often over the original context
    keep their frequency, those that turn less than once are interpolated, a ramp between."""
    n_ctx = model.key("rope.scaling.original_context_length")

    def pair_that_turns(n_turns):
        return n_dims * math.log(n_ctx / (n_turns * 2 * math.pi)) / (2 * math.log(theta))

    low = max(math.floor(pair_that_turns(model.key("rope.scaling.yarn_beta_fast", 32.0))), 0)
    high = min(math.ceil(pair_that_turns(model.key("rope.scaling.yarn_beta_slow", 1.0))), n_dims - 1)
    ramp = np.clip((np.arange(n_dims // 2) - low) / max(high - low, 0.001), 0, 1)
    attention_factor = model.key("rope.scaling.attn_factor", 1.0)
    magnitude = (1 + 0.1 * math.log(factor)) * attention_factor
    if model.arch == "deepseek2":  # scales the scores, and the rotated part only where no key says how much
        multiplier = model.key("rope.scaling.yarn_log_multiplier", 0.0)
        growth = attention_factor * (1 + (multiplier or 0.1) * math.log(factor))
        model.score_scale *= growth * growth
        magnitude = attention_factor if multiplier else magnitude
    if model.arch == "mistral3":
        magnitude /= 1 + 0.1 * model.key("rope.scaling.yarn_log_multiplier", 0.0) * math.log(factor)
    return plain / factor * ramp + plain * (1 - ramp), magnitude


def rope(model, layer, x):
    """Rotates the first values of every head; x is [positions, heads, head_dim]."""
    frequencies, magnitude = model.rope_of(layer)
    n_pairs = len(frequencies)
    angles = np.arange(x.shape[0])[:, None, None] * frequencies
    cos, sin = np.cos(angles) * magnitude, np.sin(angles) * magnitude
    if model.fixed.neox:
        first, second = np.s_[..., :n_pairs], np.s_[..., n_pairs : 2 * n_pairs]
    else:
        first, second = np.s_[..., 0 : 2 * n_pairs : 2], np.s_[..., 1 : 2 * n_pairs : 2]
    out = x.copy()
    out[first] = x[first] * cos - x[second] * sin
    out[second] = x[second] * cos + x[first] * sin
    return out


# --- layers -------------------------------------------------------------------


def rms_norm(x, weight, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def projected(model, layer, which, x, n_heads):
    """Queries, keys or values as [positions, heads, head_dim], with bias and norm where there are any."""
    name = f"blk.{layer}.attn_{which}"
    joined = model.weight(f"blk.{layer}.attn_qkv.weight")
    if joined is None:
        y = linear(model, name, x)
    else:
        q_dim, kv_dim = model.n_heads * model.head_dim, model.n_kv_heads * model.head_dim
        y = np.split(x @ joined.T, [q_dim, q_dim + kv_dim], axis=-1)["qkv".index(which)]
    head_dim = model.head_dim_of(layer)
    heads = lambda z: z.reshape(len(x), n_heads, head_dim)
    norm = model.weight(name + "_norm.weight") if which != "v" else None
    if norm is None:
        return heads(y)
    if len(norm) == head_dim and n_heads > 1 or y.shape[-1] == head_dim:
        return rms_norm(heads(y), norm, model.eps)
    return heads(rms_norm(y, norm, model.eps))


def visible(model, layer, n):
    """[n, n] mask: position i sees j."""
    distance = np.arange(n)[:, None] - np.arange(n)[None, :]
    if model.fixed.unrotated_every and not model.is_unrotated(layer):
        chunks = np.arange(n) // model.key("attention.chunk_size", 8192)
        return (distance >= 0) & (chunks[:, None] == chunks[None, :])
    return (distance >= 0) & ((distance < model.window) if model.has_window(layer) else True)


def attention_weights(model, layer, scores):
    """Softmax over what is visible and, where the model has sinks, over one more score a head."""
    n = scores.shape[-1]
    scores = np.where(visible(model, layer, n), scores, -np.inf)
    sinks = model.weight(f"blk.{layer}.attn_sinks.weight")
    if sinks is None:
        return softmax(scores)
    with_sink = np.concatenate([scores, np.broadcast_to(sinks[:, None, None], (len(sinks), n, 1))], axis=-1)
    return softmax(with_sink)[..., :n]


def linear(model, name, x):
    """x times the matrix, plus the bias if there is one."""
    y = x @ model.weight(name + ".weight").T
    bias = model.weight(name + ".bias")
    return y if bias is None else y + bias


def latent_attention(model, layer, x):
    """DeepSeek-V2 (arXiv:2405.04434), not absorbed: every head's keys and values are made from the latent."""
    n, p = len(x), f"blk.{layer}.attn_"
    rope_dim = 2 * len(model.frequencies)
    nope_dim = model.head_dim - rope_dim
    if p + "q_a.weight" in model.gguf:
        down = rms_norm(linear(model, p + "q_a", x), model.weight(p + "q_a_norm.weight"), model.eps)
        q = linear(model, p + "q_b", down)
    else:
        q = linear(model, p + "q", x)
    q = q.reshape(n, model.n_heads, model.head_dim)
    down = linear(model, p + "kv_a_mqa", x)
    latent = rms_norm(down[:, : model.kv_rank], model.weight(p + "kv_a_norm.weight"), model.eps)
    rotated = rope(model, layer, down[:, None, model.kv_rank :])
    joined = model.weight(p + "kv_b.weight")
    if joined is None:
        k = np.einsum("jr,hrd->jhd", latent, model.weight(p + "k_b.weight"))
        v = np.einsum("jr,hdr->jhd", latent, model.weight(p + "v_b.weight"))
    else:
        k, v = np.split((latent @ joined.T).reshape(n, model.n_heads, -1), [nope_dim], axis=-1)
    k = np.concatenate([k, rotated.repeat(model.n_heads, axis=1)], axis=-1)
    q = np.concatenate([q[..., :nope_dim], rope(model, layer, q[..., nope_dim:])], axis=-1)
    scores = np.einsum("ihd,jhd->hij", q, k) * model.score_scale
    mixed = np.einsum("hij,jhd->ihd", attention_weights(model, layer, scores), v).reshape(n, -1)
    return linear(model, p + "output", mixed)


def growth(model, n):
    """What queries are multiplied with at each of n positions."""
    if model.fixed.unrotated_every:  # arXiv:2501.19399, as Meta's code has it
        steps = (np.arange(n) + 1) // model.key("attention.temperature_length", 8192)
    else:  # with the number of original contexts before them
        steps = np.arange(n) // model.key("rope.scaling.original_context_length")
    return (1 + model.temperature * np.log(1 + steps))[:, None, None]


def placed(model, layer, heads):
    """Queries or keys with their positions."""
    if model.is_unrotated(layer):
        return heads
    heads = rope(model, layer, heads)
    return rms_norm(heads, 1.0, model.eps) if model.fixed.unrotated_every else heads


def keys_and_values(model, layer, x):
    """For every query head. Gemma 4's last layers have those of the last one of their kind that makes some."""
    if model.fixed.two_kinds and layer >= (first := model.n_layers - model.key("attention.shared_kv_layers", 0)):
        return model.kept[max(own for own in range(first) if model.has_window(own) == model.has_window(layer))]
    n_kv_heads = model.n_kv_heads_of(layer)
    group = model.n_heads // n_kv_heads
    k = placed(model, layer, projected(model, layer, "k", x, n_kv_heads))
    if f"blk.{layer}.attn_v.weight" in model.gguf or f"blk.{layer}.attn_qkv.weight" in model.gguf:
        v = projected(model, layer, "v", x, n_kv_heads)
    else:
        v = linear(model, f"blk.{layer}.attn_k", x).reshape(len(x), n_kv_heads, -1)
    if model.fixed.two_kinds:
        v = rms_norm(v, 1.0, model.eps)
    model.kept[layer] = k.repeat(group, axis=1), v.repeat(group, axis=1)
    return model.kept[layer]


def softplus(x):
    return np.logaddexp(0, x)


def unit(x):
    """Vectors of length 1, but for an epsilon beside the square of their length."""
    return x / np.sqrt((x * x).sum(axis=-1, keepdims=True) + 1e-6)


def beta_and_alpha(model, layer, x, n_k_heads, n_v_heads):
    joined = model.weight(f"blk.{layer}.ssm_ba.weight")
    if joined is None:
        return linear(model, f"blk.{layer}.ssm_beta", x), linear(model, f"blk.{layer}.ssm_alpha", x)
    by_key_head = (x @ joined.T).reshape(len(x), n_k_heads, 2, n_v_heads // n_k_heads)
    return by_key_head[:, :, 0].reshape(len(x), -1), by_key_head[:, :, 1].reshape(len(x), -1)


def delta_net(model, layer, x):
    """Gated delta net (arXiv:2412.06464) as Qwen3-Next has it, one token after another."""
    n, p = len(x), f"blk.{layer}."
    dim, n_k_heads, n_v_heads = (model.key("ssm." + k) for k in ("state_size", "group_count", "time_step_rank"))
    beta, alpha = beta_and_alpha(model, layer, x, n_k_heads, n_v_heads)
    beta = sigmoid(beta)
    decay = np.exp(model.weight(p + "ssm_a") * softplus(alpha + model.weight(p + "ssm_dt.bias")))
    kernel = model.weight(p + "ssm_conv1d.weight")  # [channels, width], the newest input last
    qkv = linear(model, p + "attn_qkv", x)
    padded = np.concatenate([np.zeros((kernel.shape[1] - 1, qkv.shape[1])), qkv])
    qkv = silu(sum(padded[j : j + n] * kernel[:, j] for j in range(kernel.shape[1])))
    q, k, v = np.split(qkv, [n_k_heads * dim, 2 * n_k_heads * dim], axis=-1)
    heads = lambda y: y.reshape(n, -1, dim)
    group = n_v_heads // n_k_heads
    spread = (lambda y: np.tile(y, (1, group, 1))) if model.fixed.tiled_heads else (lambda y: y.repeat(group, axis=1))
    q, k, v = spread(unit(heads(q))) / math.sqrt(dim), spread(unit(heads(k))), heads(v)
    memory = np.zeros((n_v_heads, dim, dim))  # [head, key, value]
    out = np.empty_like(v)
    for t in range(n):
        memory *= decay[t, :, None, None]
        change = beta[t, :, None] * (v[t] - np.einsum("hkv,hk->hv", memory, k[t]))
        memory += k[t][:, :, None] * change[:, None, :]
        out[t] = np.einsum("hkv,hk->hv", memory, q[t])
    out = rms_norm(out, model.weight(p + "ssm_norm.weight"), model.eps) * silu(heads(linear(model, p + "attn_gate", x)))
    return linear(model, p + "ssm_out", out.reshape(n, -1))


def gated_queries(model, layer, x):
    """Queries, normed, and the gates on what they attend to: of each head one behind the other."""
    both = linear(model, f"blk.{layer}.attn_q", x).reshape(len(x), model.n_heads, 2, model.head_dim)
    norm = model.weight(f"blk.{layer}.attn_q_norm.weight")
    return rms_norm(both[:, :, 0], norm, model.eps), sigmoid(both[:, :, 1]).reshape(len(x), -1)


def attention(model, layer, x):
    if model.kv_rank:
        return latent_attention(model, layer, x)
    if f"blk.{layer}.ssm_out.weight" in model.gguf:
        return delta_net(model, layer, x)
    n = len(x)
    gates = 1
    if model.arch in ("qwen3next", "qwen35", "qwen35moe"):
        q, gates = gated_queries(model, layer, x)
    else:
        q = projected(model, layer, "q", x, model.n_heads)
    q = placed(model, layer, q)
    if model.temperature and (not model.fixed.unrotated_every or model.is_unrotated(layer)):
        q = q * growth(model, n)
    k, v = keys_and_values(model, layer, x)
    scores = np.einsum("ihd,jhd->hij", q, k) * model.score_scale
    mixed = np.einsum("hij,jhd->ihd", attention_weights(model, layer, scores), v).reshape(n, -1)
    return linear(model, f"blk.{layer}.attn_output", mixed * gates)


def swiglu(gate, up):
    return silu(gate) * up


def geglu(gate, up):
    """Gaussian error linear unit in its form by tanh (arXiv:1606.08415)."""
    return 0.5 * gate * (1 + np.tanh(math.sqrt(2 / math.pi) * (gate + 0.044715 * gate**3))) * up


def clamped_swiglu(gate, up, alpha=1.702, limit=7.0):
    """gpt-oss (openai/gpt-oss, gpt_oss/torch/model.py)."""
    gate = np.minimum(gate, limit)
    return gate * sigmoid(alpha * gate) * (np.clip(up, -limit, limit) + 1)


def feed_forward(model, x, gate, up, down, biases=(0, 0, 0)):
    activation = clamped_swiglu if model.fixed.clamped_swiglu else geglu if model.fixed.gelu else swiglu
    return activation(x @ gate.T + biases[0], x @ up.T + biases[1]) @ down.T + biases[2]


def chosen_and_margin(scores, k):
    """The k best of each row, best first, and the gap between the last of them and the next one."""
    order = np.argsort(-scores, axis=-1, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=-1)
    margin = ranked[:, k - 1] - ranked[:, k] if k < scores.shape[1] else np.full(len(scores), np.inf)
    return order[:, :k], margin


def without_worse_groups(model, scores):
    """Scores with those of all but the best groups at -inf, and the margin of that choice. A group
    counts the sum of its best two (DeepSeek-V3, arXiv:2412.19437)."""
    groups = scores.reshape(len(scores), model.n_groups, -1)
    counts = np.sort(groups, axis=-1)[..., -2:].sum(axis=-1)
    best, margin = chosen_and_margin(counts, model.n_groups_used)
    masked = np.full_like(groups, -np.inf)
    rows = np.arange(len(scores))[:, None]
    masked[rows, best] = groups[rows, best]
    return masked.reshape(scores.shape), margin


def route(model, layer, x, stream):
    """Chosen experts [positions, k], their weights, and each position's margin: the gap between the
    last chosen expert's probability and the next one's, and the same of groups."""
    own_norm = model.weight(f"blk.{layer}.ffn_gate_inp.scale")
    if own_norm is not None:
        x = rms_norm(stream, own_norm, model.eps) / math.sqrt(model.hidden_dim)
    logits = linear(model, f"blk.{layer}.ffn_gate_inp", x)
    scores = sigmoid(logits) if model.sigmoid_router else softmax(logits)
    bias = model.weight(f"blk.{layer}.exp_probs_b.bias")
    selection = scores if bias is None else scores + bias
    group_margin = np.inf
    if model.n_groups > 1:
        selection, group_margin = without_worse_groups(model, selection)
    chosen, margin = chosen_and_margin(selection, model.n_active)
    weights = np.take_along_axis(scores, chosen, axis=-1)
    if model.renormalise or model.fixed.softmax_of_chosen:
        weights = weights / weights.sum(axis=-1, keepdims=True)
    scales = model.weight(f"blk.{layer}.ffn_down_exps.scale")
    if scales is not None:
        weights = weights * scales[chosen]
    return chosen, weights * model.router_scale, np.minimum(margin, group_margin)


def shared_expert(model, layer, x):
    p = f"blk.{layer}.ffn_"
    out = feed_forward(model, x, *(model.weight(f"{p}{m}_shexp.weight") for m in ("gate", "up", "down")))
    gate = model.weight(p + "gate_inp_shexp.weight")
    return out if gate is None else out * sigmoid(x @ gate.reshape(-1))[:, None]


def experts(model, layer, x, stream):
    chosen, weights, margin = route(model, layer, x, stream)
    joined = model.weight(f"blk.{layer}.ffn_gate_up_exps.weight")
    stacks = [model.weight(f"blk.{layer}.ffn_{m}_exps.weight") for m in ("gate", "up", "down")]
    biases = [model.weight(f"blk.{layer}.ffn_{m}_exps.bias") for m in ("gate", "up", "down")]
    if joined is not None:
        stacks[:2] = np.split(joined, 2, axis=1)
    out = np.zeros_like(x)
    for expert in np.unique(chosen):
        rows, ranks = np.nonzero(chosen == expert)
        own = [0 if b is None else b[expert] for b in biases]
        weight = weights[rows, ranks, None]
        before, behind = (weight, 1) if model.fixed.weighs_input else (1, weight)
        out[rows] += behind * feed_forward(model, before * x[rows], *(s[expert] for s in stacks), own)
    if f"blk.{layer}.ffn_gate_shexp.weight" in model.gguf:
        out += shared_expert(model, layer, x)
    return out, margin


def dense(model, layer, x):
    gate, up, down = (model.weight(f"blk.{layer}.ffn_{m}.weight") for m in ("gate", "up", "down"))
    if gate is None:
        gate, up = np.split(up, 2)
    return feed_forward(model, x, gate, up, down)


def after(model, norm, branch):
    """A branch's result, normed where the architecture does that."""
    weight = None if model.fixed.ffn_norm in norm else model.weight(norm + ".weight")
    return branch if weight is None else rms_norm(branch, weight, model.eps)


def both(model, layer, stream):
    """Gemma 4's layers with experts: a dense feed-forward beside them, each between norms of its own."""
    p = f"blk.{layer}."
    normed = lambda name, x: rms_norm(x, model.weight(f"{p}{name}.weight"), model.eps)
    beside = normed("post_ffw_norm_1", dense(model, layer, normed("ffn_norm", stream)))
    routed, margin = experts(model, layer, normed("pre_ffw_norm_2", stream), stream)
    return beside + normed("post_ffw_norm_2", routed), margin


def layer_inputs(model, ids, x):
    """What each layer is given of each token: [layers, positions, width]; None where there is nothing."""
    table = model.weight("per_layer_token_embd.weight")
    if table is None:
        return None
    width = model.key("embedding_length_per_layer_input")
    split = lambda z: z.reshape(len(ids), model.n_layers, width).transpose(1, 0, 2)
    projected = split(x @ model.weight("per_layer_model_proj.weight").T) / math.sqrt(model.hidden_dim)
    projected = rms_norm(projected, model.weight("per_layer_proj_norm.weight"), model.eps)
    return (projected + split(table[ids]) * math.sqrt(width)) / math.sqrt(2)


def with_input(model, layer, x, given):
    p = f"blk.{layer}."
    y = geglu(x @ model.weight(p + "inp_gate.weight").T, given) @ model.weight(p + "proj.weight").T
    return x + rms_norm(y, model.weight(p + "post_norm.weight"), model.eps)


def forward(model, ids):
    """Logits [positions, vocabulary] and the router margin of each position, the least of its layers."""
    embedding = model.weight("token_embd.weight")
    x = embedding[ids] * model.embedding_scale
    inputs = layer_inputs(model, ids, x)
    margins = np.full(len(ids), np.inf)
    for layer in range(model.n_layers):
        p = f"blk.{layer}."
        y = attention(model, layer, rms_norm(x, model.weight(p + "attn_norm.weight"), model.eps))
        x = x + model.residual_scale * after(model, p + "post_attention_norm", y)
        h = rms_norm(x, model.weight(f"{p}{model.fixed.ffn_norm}.weight"), model.eps)
        if p + "ffn_gate_inp.weight" in model.gguf:
            y, margin = both(model, layer, x) if model.fixed.two_kinds else experts(model, layer, h, x)
            margins = np.minimum(margins, margin)
        else:
            y = dense(model, layer, h)
        x = x + model.residual_scale * after(model, p + "post_ffw_norm", y)
        if inputs is not None:
            x = with_input(model, layer, x, inputs[layer])
        scale = model.weight(p + "layer_output_scale.weight")
        x = x if scale is None else x * scale
    x = rms_norm(x, model.weight("output_norm.weight"), model.eps)
    output = model.weight("output.weight")
    logits = x @ (embedding if output is None else output).T / model.logit_divisor
    if model.logit_cap:
        logits = model.logit_cap * np.tanh(logits / model.logit_cap)
    return logits, margins
