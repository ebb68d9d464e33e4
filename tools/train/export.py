#!/usr/bin/env python3
"""Writes a checkpoint as GGUF: matrices in the type asked for, norms and routers in F32."""

import argparse
import pathlib
import struct

import numpy as np
import torch

from tokenizer import Tokenizer

ARCHITECTURE = "qwen3moe"
ALIGNMENT = 32
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")

# GGUF's numbers: value types, tensor types, file types, kinds of token.
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
TENSOR_TYPE = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8}
FILE_TYPE = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 7}
NORMAL, CONTROL, UNUSED = 1, 3, 5


def blocks_with_scale(scale, quants):
    """[n] scales and [n, bytes] quants as GGUF's blocks: an F16, then the quants."""
    return np.hstack([scale.astype("<f2")[:, None].view(np.uint8), quants.view(np.uint8)]).tobytes()


def reciprocal(x):
    return np.divide(1, x, out=np.zeros_like(x), where=x != 0)


def to_q8_0(x):
    rows = x.reshape(-1, 32)
    scale = np.abs(rows).max(1) / 127
    return blocks_with_scale(scale, np.rint(rows * reciprocal(scale)[:, None]).astype(np.int8))


def to_q4_0(x):
    rows = x.reshape(-1, 32)
    largest = np.take_along_axis(rows, np.abs(rows).argmax(1)[:, None], 1)[:, 0]
    scale = largest / -8  # the largest in magnitude becomes -8, which has no counterpart above
    q = np.clip(np.floor(rows * reciprocal(scale)[:, None] + 8.5), 0, 15).astype(np.uint8)
    return blocks_with_scale(scale, q[:, :16] | q[:, 16:] << 4)


ENCODERS = {"f32": lambda x: x.astype("<f4").tobytes(), "f16": lambda x: x.astype("<f2").tobytes(),
            "q8_0": to_q8_0, "q4_0": to_q4_0}


def hyper_parameters(config):
    values = {
        "vocab_size": config["vocab_size"], "context_length": 4096,
        "embedding_length": config["hidden_dim"], "block_count": config["n_layers"],
        "feed_forward_length": config["expert_dim"],
        "expert_feed_forward_length": config["expert_dim"],
        "expert_count": config["n_experts"], "expert_used_count": config["n_experts_active"],
        "attention.head_count": config["n_heads"],
        "attention.head_count_kv": config["n_kv_heads"],
        "attention.key_length": config["head_dim"], "attention.value_length": config["head_dim"],
        "attention.layer_norm_rms_epsilon": config["rms_eps"],
        "rope.dimension_count": config["head_dim"], "rope.freq_base": config["rope_theta"],
    }
    return [(f"{ARCHITECTURE}.{key}", F32 if isinstance(value, float) else U32, value)
            for key, value in values.items()]


def vocabulary(tokenizer):
    def kind(token):
        if token.startswith("<|unused"):
            return UNUSED
        return CONTROL if token.startswith("<|") else NORMAL

    return [
        ("tokenizer.ggml.model", STRING, "gpt2"), ("tokenizer.ggml.pre", STRING, "qwen2"),
        ("tokenizer.ggml.tokens", (ARRAY, STRING), tokenizer.tokens),
        ("tokenizer.ggml.token_type", (ARRAY, I32), [kind(t) for t in tokenizer.tokens]),
        ("tokenizer.ggml.merges", (ARRAY, STRING), [" ".join(p) for p in tokenizer.merges]),
        ("tokenizer.ggml.bos_token_id", U32, tokenizer.id_of["<|endoftext|>"]),
        ("tokenizer.ggml.eos_token_id", U32, tokenizer.id_of["<|im_end|>"]),
        ("tokenizer.ggml.padding_token_id", U32, tokenizer.id_of["<|endoftext|>"]),
        ("tokenizer.ggml.add_bos_token", BOOL, False),
        ("tokenizer.chat_template", STRING, CHAT_TEMPLATE)]


def string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def scalar(kind, value):
    if kind == STRING:
        return string(value)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], value)


def key_value(key, kind, value):
    if isinstance(kind, tuple):
        element = kind[1]
        return (string(key) + struct.pack("<IIQ", ARRAY, element, len(value)) +
                b"".join(scalar(element, item) for item in value))
    return string(key) + struct.pack("<I", kind) + scalar(kind, value)


def padding(n):
    return bytes(-n % ALIGNMENT)


def write_gguf(path, metadata, tensors):
    """`tensors`: (name, shape as GGUF writes it, type name, bytes)."""
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    head += [key_value(*entry) for entry in metadata]
    offset = 0
    for name, shape, dtype, raw in tensors:
        head += [string(name), struct.pack("<I", len(shape)),
                 struct.pack(f"<{len(shape)}Q", *shape),
                 struct.pack("<IQ", TENSOR_TYPE[dtype], offset)]
        offset += len(raw) + len(padding(len(raw)))
    header = b"".join(head)
    with open(path, "wb") as out:
        out.write(header + padding(len(header)))
        for _, _, _, raw in tensors:
            out.write(raw + padding(len(raw)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="has checkpoint.pt and tokenizer.json")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--type", choices=TENSOR_TYPE, default="q8_0")
    parser.add_argument("--name", default="Plimsoll lab MoE", help="general.name")
    args = parser.parse_args()

    saved = torch.load(args.folder / "checkpoint.pt", map_location="cpu")
    tokenizer = Tokenizer.load(args.folder / "tokenizer.json")
    metadata = [("general.architecture", STRING, ARCHITECTURE), ("general.name", STRING, args.name),
                ("general.alignment", U32, ALIGNMENT),
                ("general.file_type", U32, FILE_TYPE[args.type]),
                ("general.quantization_version", U32, 2),
                *hyper_parameters(saved["config"]), *vocabulary(tokenizer)]
    tensors = []
    for name, parameter in saved["model"].items():
        values = parameter.float().numpy()
        is_small = values.ndim == 1 or "ffn_gate_inp" in name
        dtype = "f32" if is_small else args.type
        tensors.append((name, values.shape[::-1], dtype, ENCODERS[dtype](values)))
    write_gguf(args.out, metadata, tensors)
    print(f"{args.out}: {len(tensors)} tensors, {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
