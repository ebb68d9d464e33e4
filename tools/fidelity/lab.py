"""The trained lab model in four weight types: against its trainer's logits, and what rounding costs."""

import json
import sys
from dataclasses import dataclass, field

import numpy as np

import engines
from metrics import kl_divergence, relative_difference

TYPES = ["f32", "f16", "q8_0", "q4_0"]


@dataclass
class LabRow:
    """Mean KL divergences in nats over all prompts' positions, and differences from the reference."""

    dtype: str
    rounding_kl: float = 0  # F32's exact logits || this file's: what the weights' rounding costs
    ours_kl: float = None  # this file's exact logits || Plimsoll's: what the arithmetic costs
    theirs_kl: float = None
    ours_total_kl: float = None  # F32's exact logits || Plimsoll's on this file
    ours_difference: float = None  # largest |difference| / |reference| at the prompts' last tokens
    exact_difference: float = 0  # the same of the oracle on this file
    greedy: list = field(default_factory=lambda: [0, 0])  # agreeing greedy tokens, of all


def sequences_of(reference):
    """Each prompt with its greedy continuation, the last token left off: it predicts nothing."""
    return [r["ids"] + r["greedy_ids"][:-1] for r in reference]


def mean_kl(truths, others):
    return float(np.concatenate([kl_divergence(t, o) for t, o in zip(truths, others)]).mean())


def last_difference(reference, logits):
    """Largest relative difference at the prompts' last tokens."""
    pairs = [(np.array(r["last_logits"]), x[len(r["ids"]) - 1]) for r, x in zip(reference, logits)]
    return max(relative_difference(a, b) for a, b in pairs)


def greedy_agreement(reference, logits):
    agree = total = 0
    for r, x in zip(reference, logits):
        best = x[len(r["ids"]) - 1 :].argmax(axis=-1)
        agree += int((best == np.array(r["greedy_ids"])).sum())
        total += len(r["greedy_ids"])
    return [agree, total]


def measure(build, with_plimsoll):
    """A row per weight type; None where the lab model is not at hand."""
    folder = engines.shared_folder()
    if folder is None:
        print("The lab model is not at hand (PLIMSOLL_SHARED): its rows are left out.", file=sys.stderr)
        return None
    reference = [json.loads(line) for line in open(folder / "reference.jsonl")]
    sequences = sequences_of(reference)
    rows, f32 = [], None
    for dtype in TYPES:
        model = folder / f"lab-moe-{dtype}.gguf"
        exact = [engines.run_oracle(str(model), ids)[0] for ids in sequences]
        f32 = f32 or exact
        row = LabRow(dtype.upper(), rounding_kl=mean_kl(f32, exact), exact_difference=last_difference(reference, exact))
        row.theirs_kl = mean_kl(exact, engines.run_peer(model, sequences))
        if with_plimsoll:
            ours = [engines.run_plimsoll(build, model, ids) for ids in sequences]
            row.ours_kl, row.ours_total_kl = mean_kl(exact, ours), mean_kl(f32, ours)
            row.ours_difference = last_difference(reference, ours)
            row.greedy = greedy_agreement(reference, ours)
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    return rows
