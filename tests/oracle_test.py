#!/usr/bin/python3
"""Compares `plimsoll eval logits` with the double-precision oracle on small random models.

Every architecture and variant in F32 and Q8_0, and every weight type on one architecture. Positions
at which a router nearly tied are left out, as in tools/fidelity; the bounds are about twice what is
measured, which is the rounding of keys and values to F16 and of activations to 8 bits.
"""

import argparse
import concurrent.futures
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools" / "fidelity"))

import numpy as np  # noqa: E402

import cases  # noqa: E402
import engines  # noqa: E402
from metrics import ROUTER_MARGIN, kl_divergence, relative_difference  # noqa: E402

N_TOKENS = 24
DIMENSIONS = (
    "--layers 2 --hidden 256 --heads 4 --kv-heads 2 --head-dim 64 --ff 512 --experts 0 --top-k 2 "
    "--expert-ff 256 --shared-ff 256 --vocab 512 --branch-gain 0.3 --router-std 0.3"
).split()

# A head's rows of attn_kv_b are no whole groups of sixteen here, so the matrix has to keep its order.
ODD_HEADS = cases.Case("joined keys and values, heads of 40", "--arch deepseek2 --experts 8 --joined-kv --head-dim 40 --heads 8")

# Largest |difference| / |logit|, and largest KL divergence of a position.
FLOAT_BOUNDS = (3e-4, 3e-7)
BLOCK_32_BOUNDS = (2e-2, 1e-3)
BLOCK_256_BOUNDS = (3e-2, 3e-3)


def bounds_of(dtype):
    if dtype in ("F32", "F16", "BF16"):
        return FLOAT_BOUNDS
    of_256 = dtype.endswith("_K") or dtype.startswith(("IQ", "TQ")) and dtype != "IQ4_NL"
    return BLOCK_256_BOUNDS if of_256 else BLOCK_32_BOUNDS


def check(build, case, dtype):
    """A line about the case, and whether it is within its bounds."""
    ids = np.random.default_rng(7).integers(0, 500, N_TOKENS).tolist()
    with tempfile.TemporaryDirectory(prefix="oracle-test-") as folder:
        model = Path(folder) / "model.gguf"
        engines.make_random_model(build, model, [*DIMENSIONS, *case.options.split(), "--type", dtype])
        truth, margins = engines.run_oracle(str(model), ids)
        logits = engines.run_plimsoll(build, model, ids)
    steady = margins >= ROUTER_MARGIN
    if logits.shape != truth.shape or steady.sum() < N_TOKENS // 3:
        return f"{case.name} {dtype}: shapes {logits.shape} and {truth.shape}, {steady.sum()} positions compared", False
    difference = relative_difference(truth[steady], logits[steady])
    kl = float(kl_divergence(truth[steady], logits[steady]).max())
    difference_max, kl_max = bounds_of(dtype)
    good = difference <= difference_max and kl <= kl_max
    return f"{case.name} {dtype}: difference {difference:.1e} (at most {difference_max}), KL {kl:.1e} ({kl_max})", good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, required=True, help="build folder")
    build = parser.parse_args().build
    every_type = next(c for c in cases.ARCHITECTURES if c.name == "qwen3moe")
    todo = [(case, dtype) for case in cases.ARCHITECTURES + cases.VARIANTS for dtype in cases.VARIANT_TYPES]
    todo += [(every_type, dtype) for dtype in cases.TYPES if dtype not in cases.VARIANT_TYPES]
    todo += [(ODD_HEADS, dtype) for dtype in cases.VARIANT_TYPES]
    n_bad = 0
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        for line, good in pool.map(check, [build] * len(todo), *zip(*todo)):
            n_bad += not good
            print(("ok   " if good else "FAIL ") + line, flush=True)
    print(f"{len(todo) - n_bad} of {len(todo)} within their bounds")
    sys.exit(1 if n_bad else 0)


if __name__ == "__main__":
    main()
