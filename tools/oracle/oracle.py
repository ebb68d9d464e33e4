#!/usr/bin/python3
"""Evaluates a GGUF model in double precision: the truth that engines are measured against.

Prints a JSON line per position, as `plimsoll eval logits --full` does, with the position's router
margin beside the logits (null for dense models):
  {"pos":0,"logits":[...],"router_margin":0.03}
"""

import argparse
import json
import math
import os
import sys

# BLAS threads are for others: this machine's cores are shared, and one order of sums is enough.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from forward import Model, forward  # noqa: E402
from gguf_file import GgufFile  # noqa: E402


def evaluate(path, ids):
    """Logits [positions, vocabulary] and router margins of a model file."""
    return forward(Model(GgufFile(path)), ids)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--ids", required=True, help="token ids, separated by commas")
    options = parser.parse_args()
    logits, margins = evaluate(options.model, [int(i) for i in options.ids.split(",")])
    for pos, (row, margin) in enumerate(zip(logits, margins)):
        line = {"pos": pos, "logits": row.tolist(), "router_margin": float(margin) if math.isfinite(margin) else None}
        print(json.dumps(line, separators=(",", ":")))


if __name__ == "__main__":
    main()
