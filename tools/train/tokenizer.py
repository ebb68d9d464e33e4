#!/usr/bin/env python3
"""Byte-level BPE as GPT-2 does it, over the pre-tokenizer of Qwen2: learning, encoding, decoding.

tokenizer.py FOLDER [--vocab-size N] learns from FOLDER/train.txt and writes FOLDER/tokenizer.json
(tokens in order of id, merges in order of rank), and both texts as 16-bit ids: train.u16, val.u16.
"""

import argparse
import collections
import heapq
import json
import pathlib
import re

import numpy as np

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
SPECIAL_SPLIT = re.compile("(" + "|".join(map(re.escape, SPECIAL)) + ")")
# Qwen2's pattern restricted to ASCII, which is all that the corpus has: there a letter is A-Za-z and
# a number is 0-9. The exported file names the full pattern (`tokenizer.ggml.pre` = qwen2).
PRE_TOKEN = re.compile(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]|"
                       r" ?[^\sA-Za-z0-9]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def printable_bytes():
    """GPT-2's stand-in character for each byte: itself where printable, else one from 256 up."""
    printable = set(range(0x21, 0x7F)) | set(range(0xA1, 0xAD)) | set(range(0xAE, 0x100))
    rest = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(rest)) for byte in range(256)]


CHAR_OF = printable_bytes()
BYTE_OF = {char: byte for byte, char in enumerate(CHAR_OF)}


def pre_tokens(text):
    """The pieces inside which merges happen, as strings of stand-in characters."""
    if not text.isascii():
        raise ValueError("this tokenizer's pre-tokenizer is for ASCII text")
    return ["".join(CHAR_OF[ord(c)] for c in piece) for piece in PRE_TOKEN.findall(text)]


class Learner:
    """Counts of adjacent pairs, kept up to date as pairs are merged.

    `words` are distinct pre-tokens as lists of symbols; only those that hold a merged pair change.
    """

    def __init__(self, counts):
        self.words = [(list(word), n) for word, n in sorted(counts.items())]
        self.pairs = collections.Counter()
        self.holders = collections.defaultdict(set)
        for i in range(len(self.words)):
            self.count(i, 1)
        self.queue = [(-n, pair) for pair, n in self.pairs.items()]
        heapq.heapify(self.queue)

    def count(self, i, sign):
        symbols, n = self.words[i]
        for pair in zip(symbols, symbols[1:]):
            self.pairs[pair] += sign * n
            self.holders[pair].add(i)

    def best(self):
        """The most frequent pair, ties to the alphabetically first; None when all is merged."""
        while self.queue:
            n, pair = heapq.heappop(self.queue)
            if self.pairs[pair] == -n and n < 0:
                return pair
        return None

    def merge(self, pair):
        touched = set()
        for i in self.holders.pop(pair):
            symbols, n = self.words[i]
            self.count(i, -1)
            touched.update(zip(symbols, symbols[1:]))
            self.words[i] = (merged(symbols, pair), n)
            self.count(i, 1)
            touched.update(zip(self.words[i][0], self.words[i][0][1:]))
        for changed in touched:
            heapq.heappush(self.queue, (-self.pairs[changed], changed))


def merged(symbols, pair):
    out, i = [], 0
    while i < len(symbols):
        if tuple(symbols[i:i + 2]) == pair:
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def learn(text, vocab_size):
    counts = collections.Counter()
    for part in SPECIAL_SPLIT.split(text):
        if part not in SPECIAL:
            counts.update(pre_tokens(part))
    learner, tokens, merges = Learner(counts), list(CHAR_OF), []
    n_ordinary = vocab_size - len(SPECIAL)
    while len(tokens) < n_ordinary and (pair := learner.best()):
        learner.merge(pair)
        merges.append(pair)
        tokens.append("".join(pair))
    tokens += [f"<|unused{i}|>" for i in range(len(tokens), n_ordinary)]
    return {"tokens": [*tokens, *SPECIAL], "merges": [list(pair) for pair in merges]}


class Tokenizer:
    def __init__(self, learned):
        self.tokens = learned["tokens"]
        self.merges = [tuple(pair) for pair in learned["merges"]]
        self.id_of = {token: i for i, token in enumerate(self.tokens)}
        self.rank = {pair: i for i, pair in enumerate(self.merges)}
        self.known = {}

    @classmethod
    def load(cls, path):
        return cls(json.loads(pathlib.Path(path).read_text(encoding="utf-8")))

    def encode_word(self, word):
        if word not in self.known:
            symbols = list(word)
            while len(symbols) > 1:
                pair = min(zip(symbols, symbols[1:]),
                           key=lambda p: self.rank.get(p, len(self.rank)))
                if pair not in self.rank:
                    break
                symbols = merged(symbols, pair)
            self.known[word] = [self.id_of[symbol] for symbol in symbols]
        return self.known[word]

    def encode(self, text):
        """Ids; special tokens written in the text become those tokens."""
        ids = []
        for part in SPECIAL_SPLIT.split(text):
            if part in SPECIAL:
                ids.append(self.id_of[part])
            else:
                for word in pre_tokens(part):
                    ids += self.encode_word(word)
        return ids

    def decode(self, ids):
        raw = b"".join(token.encode() if token.startswith("<|") and token.endswith("|>")
                       else bytes(BYTE_OF[char] for char in token)
                       for token in (self.tokens[i] for i in ids))
        return raw.decode(errors="replace")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--vocab-size", type=int, default=2048)
    parser.add_argument("--learn-megabytes", type=float, default=8, help="of train.txt, to learn from")
    args = parser.parse_args()

    # The line break after the end marker is for readers of the file.
    texts = {name: (args.folder / f"{name}.txt").read_text(encoding="ascii")
             .replace(SPECIAL[0] + "\n", SPECIAL[0]) for name in ("train", "val")}
    learned = learn(texts["train"][:int(args.learn_megabytes * 1e6)], args.vocab_size)
    (args.folder / "tokenizer.json").write_text(json.dumps(learned), encoding="utf-8")
    tokenizer = Tokenizer(learned)
    for name, text in texts.items():
        ids = np.array(tokenizer.encode(text), dtype=np.uint16)
        ids.tofile(args.folder / f"{name}.u16")
        print(f"{name}: {len(text)} characters, {len(ids)} tokens")


if __name__ == "__main__":
    main()
