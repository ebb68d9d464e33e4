#!/usr/bin/env python3
"""Writes what the trainer's own float32 forward pass says to some prompts, one JSON object a line.

Each has the prompt and its ids, the logits after its last token, per position the five best
log-probabilities, and the greedy continuation. An engine is checked against these.
"""

import argparse
import json
import pathlib

import torch

import corpus
import model as models
from tokenizer import Tokenizer

QUESTIONS = ("What is the capital of France?", "What is 7 + 5?",
             "Tell me a story about a fox called Ada.", "Hello, my name is Leo.")
ANSWER = "<|im_start|>assistant\n"
PROMPT_TOKENS_MAX = 900
NEW_TOKENS_MAX = 48


def prompts(n_documents, seed):
    """The fixed questions, and documents that the model was not trained on up to the first answer."""
    texts = [f"<|im_start|>user\n{question}<|im_end|>\n{ANSWER}" for question in QUESTIONS]
    held_out = corpus.Corpus(seed)
    for _ in range(n_documents):
        question, mark, _ = held_out.document().partition(ANSWER)
        texts.append(question + mark)
    return texts


def continue_greedily(model, ids, ends):
    ids, n_prompt = list(ids), len(ids)
    while len(ids) < n_prompt + NEW_TOKENS_MAX:
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
        if ids[-1] in ends:
            break
    return ids[n_prompt:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=pathlib.Path, help="has checkpoint.pt and tokenizer.json")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--documents", type=int, default=14)
    parser.add_argument("--seed", type=int, default=10_000)
    args = parser.parse_args()

    model = models.load(args.folder / "checkpoint.pt")
    tokenizer = Tokenizer.load(args.folder / "tokenizer.json")
    ends = {tokenizer.id_of["<|im_end|>"], tokenizer.id_of["<|endoftext|>"]}
    with open(args.out, "w", encoding="utf-8") as out, torch.no_grad():
        for prompt in prompts(args.documents, args.seed):
            ids = tokenizer.encode(prompt)[:PROMPT_TOKENS_MAX]
            logits = model(torch.tensor([ids]))[0]
            best = logits.double().log_softmax(-1).topk(5)
            new = continue_greedily(model, ids, ends)
            out.write(json.dumps({
                "prompt": prompt, "ids": ids,
                "last_logits": [round(x, 5) for x in logits[-1].tolist()],
                "top5": [[[i, round(p, 5)] for i, p in zip(*row)]
                         for row in zip(best.indices.tolist(), best.values.tolist())],
                "greedy_ids": new, "greedy_text": tokenizer.decode(new)}) + "\n")


if __name__ == "__main__":
    main()
