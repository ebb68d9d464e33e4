#!/usr/bin/env python3
"""Trains the model on FOLDER's tokens, on a GPU where PyTorch finds one, else on the CPU.

Reads tokenizer.json, train.u16 and val.u16; keeps FOLDER/checkpoint.pt and goes on from it when it is
there. What a step sees depends on the seed and the step alone, so an interrupted run continues as if
it had not been.
"""

import argparse
import dataclasses
import math
import os
import pathlib
import time

import numpy as np
import torch
from torch.nn import functional as F

from model import Config, Model
from tokenizer import Tokenizer

BALANCE = 0.003  # weight of the loss that keeps experts evenly used


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--contexts", default="512:0.55,1024:1", metavar="TOKENS:UNTIL,...",
                        help="context lengths, each until a fraction of the steps")
    parser.add_argument("--learning-rate", type=float, default=3e-3, help="the peak")
    parser.add_argument("--warmup", type=int, default=150, help="steps")
    parser.add_argument("--answer-weight", type=float, default=6.0,
                        help="how much more than other tokens the loss counts answers")
    parser.add_argument("--locality", type=float, default=0.05,
                        help="weight of the routing-locality loss")
    parser.add_argument("--locality-from", type=float, default=0.8,
                        help="the fraction of the steps after which it counts")
    parser.add_argument("--save-every", type=int, default=500, help="steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="on the CPU")
    parser.add_argument("--config", default="", metavar="FIELD=N,...",
                        help="integer fields of model.Config to change, for experiments")
    return parser.parse_args()


def answer_mask(ids, tokenizer):
    """True where a token belongs to an assistant's message, its end marker included."""
    start, end = tokenizer.id_of["<|im_start|>"], tokenizer.id_of["<|im_end|>"]
    header = tokenizer.encode("<|im_start|>assistant\n")
    position = np.arange(len(ids))
    last_start = np.maximum.accumulate(np.where(ids == start, position, -1))
    last_end = np.maximum.accumulate(np.where(ids == end, position, -1))
    last_end = np.concatenate(([-1], last_end[:-1]))  # before this token
    opens_answer = np.zeros(len(ids) + 1, dtype=bool)  # the last entry stands for "no start yet"
    opens_answer[:-1] = np.all([np.roll(ids, -i) == token for i, token in enumerate(header)], axis=0)
    in_message = (last_start >= 0) & (last_end < last_start)
    return in_message & opens_answer[last_start] & (position >= last_start + len(header))


class Data:
    def __init__(self, path, tokenizer, answer_weight, device):
        ids = np.fromfile(path, dtype=np.uint16)
        mask = answer_mask(ids, tokenizer)
        self.ids = torch.from_numpy(ids.astype(np.int64)).to(device)
        weights = np.where(mask, answer_weight, 1.0).astype(np.float32)
        self.weights = torch.from_numpy(weights).to(device)

    def batch(self, n_rows, n_tokens, seed):
        """Inputs, targets and the targets' weights, each [n_rows, n_tokens]."""
        generator = torch.Generator().manual_seed(seed)
        first = torch.randint(len(self.ids) - n_tokens, (n_rows, 1), generator=generator)
        at = (first + torch.arange(n_tokens)).to(self.ids.device)
        return self.ids[at], self.ids[at + 1], self.weights[at + 1]


def weighted_loss(model, batch):
    inputs, targets, weights = batch
    loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), reduction="none")
    return (loss * weights.flatten()).sum() / weights.sum()


def learning_rate(args, step):
    """Linear warm-up, then a cosine down to a fiftieth of the peak."""
    cosine = 0.5 + 0.5 * math.cos(math.pi * step / args.steps)
    return args.learning_rate * min(1, (step + 1) / args.warmup) * (0.02 + 0.98 * cosine)


def context_at(args, step):
    stages = [stage.split(":") for stage in args.contexts.split(",")]
    return next(int(tokens) for tokens, until in stages if step < float(until) * args.steps)


def make_optimizer(model, rate):
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    norms = [p for p in model.parameters() if p.dim() < 2]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05},
                              {"params": norms, "weight_decay": 0.0}], lr=rate, betas=(0.9, 0.95))


def save(path, model, optimizer, step):
    """Replaces the checkpoint whole: an interrupted save leaves the old one."""
    part = path.with_suffix(".part")
    torch.save({"config": dataclasses.asdict(model.config), "model": model.state_dict(),
                "optimizer": optimizer.state_dict(), "step": step}, part)
    part.replace(path)


def main():
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    torch.set_float32_matmul_precision("high")
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = Tokenizer.load(args.folder / "tokenizer.json")
    changed = {name: int(n) for name, n in (x.split("=") for x in args.config.split(",") if x)}
    model = Model(Config(**{"vocab_size": len(tokenizer.tokens), **changed})).to(device)
    optimizer = make_optimizer(model, args.learning_rate)
    checkpoint, step = args.folder / "checkpoint.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        step = saved["step"]
    train, val = (Data(args.folder / f"{name}.u16", tokenizer, args.answer_weight, device)
                  for name in ("train", "val"))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(train.ids):,} tokens, "
          f"{device}, from step {step}", flush=True)

    started, seen = time.monotonic(), 0
    while step < args.steps:
        n_tokens = context_at(args, step)
        n_rows = max(1, args.batch_tokens // n_tokens)
        loss = weighted_loss(model, train.batch(n_rows, n_tokens, (args.seed << 32) + step))
        balance, locality = model.auxiliary_losses()
        local = args.locality if step >= args.locality_from * args.steps else 0.0
        optimizer.zero_grad(set_to_none=True)
        (loss + BALANCE * balance + local * locality).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(args, step)
        optimizer.step()
        step, seen = step + 1, seen + n_rows * n_tokens
        if step % 20 == 0:
            print(f"step {step} context {n_tokens} loss {loss:.4f} balance {balance:.3f} locality "
                  f"{locality:.3f} {seen / (time.monotonic() - started):.0f} tokens/s", flush=True)
        if step % args.save_every == 0 or step == args.steps:
            with torch.no_grad():
                print(f"step {step} validation {weighted_loss(model, val.batch(8, n_tokens, 0)):.4f}")
            save(checkpoint, model, optimizer, step)


if __name__ == "__main__":
    main()
