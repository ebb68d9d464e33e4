"""The bundled model's architecture in PyTorch: a `qwen3moe` decoder.

Parameters carry GGUF's tensor names and GGUF's shapes (reversed: GGUF writes the fastest dimension
first), so a state dict is exported as it stands.
"""

import dataclasses
import math

import torch
from torch import nn
from torch.nn import functional as F

LOCALITY_WINDOW = 16  # tokens


@dataclasses.dataclass(frozen=True)
class Config:
    vocab_size: int = 2048
    n_layers: int = 8
    hidden_dim: int = 128
    n_heads: int = 2
    n_kv_heads: int = 1
    head_dim: int = 64
    n_experts: int = 64
    n_experts_active: int = 8
    expert_dim: int = 32
    rope_theta: float = 10000.0
    rms_eps: float = 1e-6


class RmsNorm(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class Experts(nn.Module):
    """One projection of all experts: weight [n_experts, out, in]."""

    def __init__(self, n_experts, n_in, n_out, std):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_experts, n_out, n_in) * std)


def linear(n_in, n_out, std=0.02):
    layer = nn.Linear(n_in, n_out, bias=False)
    nn.init.normal_(layer.weight, std=std)
    return layer


def rope_tables(config, n_tokens, device):
    """cos and sin of every position and frequency: [n_tokens, head_dim / 2] each."""
    half = config.head_dim // 2
    frequency = config.rope_theta ** (-torch.arange(half, device=device) / half)
    angle = torch.arange(n_tokens, device=device)[:, None] * frequency
    return angle.cos(), angle.sin()


def rotate(x, tables):
    """NeoX pairs: element i of a head turns with element i + head_dim / 2."""
    cos, sin = tables
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


def causal_attention(q, k, v):
    """q, k, v: [batch, heads, tokens, head_dim]."""
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    n = q.shape[2]
    hidden = torch.ones(n, n, dtype=torch.bool, device=q.device).triu(1)
    scores = (q @ k.transpose(-1, -2)) / math.sqrt(q.shape[-1])
    return scores.masked_fill(hidden, -math.inf).softmax(-1) @ v


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        c = self.config = config
        std_out = 0.02 / math.sqrt(2 * c.n_layers)  # projections into the residual stream
        self.attn_norm = RmsNorm(c.hidden_dim, c.rms_eps)
        self.attn_q = linear(c.hidden_dim, c.n_heads * c.head_dim)
        self.attn_k = linear(c.hidden_dim, c.n_kv_heads * c.head_dim)
        self.attn_v = linear(c.hidden_dim, c.n_kv_heads * c.head_dim)
        self.attn_output = linear(c.n_heads * c.head_dim, c.hidden_dim, std_out)
        self.attn_q_norm = RmsNorm(c.head_dim, c.rms_eps)
        self.attn_k_norm = RmsNorm(c.head_dim, c.rms_eps)
        self.ffn_norm = RmsNorm(c.hidden_dim, c.rms_eps)
        self.ffn_gate_inp = linear(c.hidden_dim, c.n_experts)
        self.ffn_gate_exps = Experts(c.n_experts, c.hidden_dim, c.expert_dim, 0.02)
        self.ffn_up_exps = Experts(c.n_experts, c.hidden_dim, c.expert_dim, 0.02)
        self.ffn_down_exps = Experts(c.n_experts, c.expert_dim, c.hidden_dim, std_out)
        self.balance_loss = self.locality_loss = torch.zeros(())

    def forward(self, x, tables):
        x = x + self.attend(self.attn_norm(x), tables)
        return x + self.mix(self.ffn_norm(x))

    def attend(self, x, tables):
        c = self.config
        q, k, v = (f(x).unflatten(-1, (-1, c.head_dim)).transpose(1, 2)
                   for f in (self.attn_q, self.attn_k, self.attn_v))
        q, k = rotate(self.attn_q_norm(q), tables), rotate(self.attn_k_norm(k), tables)
        group = c.n_heads // c.n_kv_heads
        y = causal_attention(q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1))
        return self.attn_output(y.transpose(1, 2).flatten(2))

    def mix(self, x):
        """The mixture of experts; leaves this batch's auxiliary losses in the block."""
        c, flat = self.config, x.flatten(0, 1)
        probability = self.ffn_gate_inp(x).softmax(-1)
        weight, expert = probability.flatten(0, 1).topk(c.n_experts_active, dim=-1)
        weight = weight / weight.sum(-1, keepdim=True)

        by_expert = expert.flatten().argsort()
        token = by_expert // c.n_experts_active
        n_of_expert = torch.bincount(expert.flatten(), minlength=c.n_experts)
        inputs = flat[token].split(n_of_expert.tolist())
        outputs = [F.linear(F.silu(F.linear(rows, gate)) * F.linear(rows, up), down)
                   for rows, gate, up, down in zip(inputs, self.ffn_gate_exps.weight,
                                                   self.ffn_up_exps.weight,
                                                   self.ffn_down_exps.weight)]
        weighted = torch.cat(outputs) * weight.flatten()[by_expert, None]

        load = n_of_expert / expert.numel()
        self.balance_loss = c.n_experts * (load * probability.mean((0, 1))).sum()
        self.locality_loss = locality_loss(probability)
        return torch.zeros_like(flat).index_add(0, token, weighted).view_as(x)


def locality_loss(probability):
    """Cross-entropy of each token's routing against the mean routing of the tokens just before it.

    Routers of published models choose much the same experts for neighbouring tokens, which is what a
    cache of experts lives on; a small model trained without this term routes almost at random.
    `probability` is [batch, tokens, n_experts]; the past is a fixed target.
    """
    total = probability.detach().cumsum(1)
    past = (total - F.pad(total, (0, 0, LOCALITY_WINDOW, 0))[:, :total.shape[1]])[:, :-1]
    past = past / past.sum(-1, keepdim=True)
    return -(past * (probability[:, 1:] + 1e-9).log()).sum(-1).mean()


class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.token_embd = nn.Embedding(config.vocab_size, config.hidden_dim)
        nn.init.normal_(self.token_embd.weight, std=0.02)
        self.blk = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.output_norm = RmsNorm(config.hidden_dim, config.rms_eps)
        self.output = linear(config.hidden_dim, config.vocab_size)

    def forward(self, ids):
        """ids [batch, tokens] to logits [batch, tokens, vocab_size]."""
        tables = rope_tables(self.config, ids.shape[1], ids.device)
        x = self.token_embd(ids)
        for block in self.blk:
            x = block(x, tables)
        return self.output(self.output_norm(x))

    def auxiliary_losses(self):
        """Means over the layers of the last batch's balance and locality losses."""
        return (sum(block.balance_loss for block in self.blk) / len(self.blk),
                sum(block.locality_loss for block in self.blk) / len(self.blk))


def load(path, device="cpu"):
    """The model of a checkpoint, ready to evaluate."""
    saved = torch.load(path, map_location=device)
    model = Model(Config(**saved["config"])).to(device)
    model.load_state_dict(saved["model"])
    return model.eval()
