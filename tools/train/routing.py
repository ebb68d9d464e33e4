#!/usr/bin/env python3
"""Says how kind a model's routing is to a cache of experts, layer by layer, on held-out text.

Per layer: how many of a token's experts the token before it had too, and the hit rates of an LRU cache
and of the best possible one (Belady) with slots for 25, 50 and 75 % of the experts.
"""

import argparse
import pathlib

import torch

import corpus
import model as models
from tokenizer import Tokenizer


def hit_rate(groups, n_slots, best_possible):
    """`groups`: the experts of token after token. Evicts the least recently used, or the one whose
    next use is farthest away."""
    uses = {}
    for at, group in enumerate(groups):
        for expert in group:
            uses.setdefault(expert, []).append(at)
    cache, hits = set(), 0
    last, upcoming = {}, {expert: list(reversed(at)) for expert, at in uses.items()}
    for at, group in enumerate(groups):
        hits += len(cache & set(group))
        cache |= set(group)
        for expert in group:
            last[expert] = at
            upcoming[expert].pop()
        while len(cache) > n_slots:
            if best_possible:
                cache.remove(max(cache, key=lambda e: (upcoming[e] or [len(groups)])[-1]))
            else:
                cache.remove(min(cache, key=last.get))
    return hits / sum(map(len, groups))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=pathlib.Path, help="has checkpoint.pt and tokenizer.json")
    parser.add_argument("--documents", type=int, default=12)
    args = parser.parse_args()

    model = models.load(args.folder / "checkpoint.pt")
    tokenizer = Tokenizer.load(args.folder / "tokenizer.json")
    n_experts, n_active = model.config.n_experts, model.config.n_experts_active
    chosen = [[] for _ in model.blk]
    for layer, block in enumerate(model.blk):
        block.ffn_gate_inp.register_forward_hook(
            lambda _, __, logits, layer=layer: chosen[layer].extend(
                logits[0].topk(n_active).indices.tolist()))
    held_out = corpus.Corpus(77)
    with torch.no_grad():
        for _ in range(args.documents):
            model(torch.tensor([tokenizer.encode(held_out.document())[:1000]]))
    for layer, groups in enumerate(chosen):
        shared = sum(len(set(a) & set(b)) for a, b in zip(groups, groups[1:]))
        rates = [f"{percent} %: {hit_rate(groups, n_experts * percent // 100, False):.2f} "
                 f"({hit_rate(groups, n_experts * percent // 100, True):.2f})"
                 for percent in (25, 50, 75)]
        print(f"layer {layer}: overlap {shared / (len(groups) - 1) / n_active:.2f}, "
              f"LRU (best) with {', '.join(rates)}")


if __name__ == "__main__":
    main()
