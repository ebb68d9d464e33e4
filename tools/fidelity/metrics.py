"""How far an engine's logits stand from the oracle's."""

from dataclasses import dataclass, field

import numpy as np

ROUTER_MARGIN = 1e-3  # below it, rounding may turn the router's choice: counted apart
TOP1_MARGIN = 0.05


def log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def kl_divergence(truth, other):
    """Per position, in nats: sum of p log(p / q) with p the truth's probabilities."""
    p, q = log_softmax(truth), log_softmax(other)
    return (np.exp(p) * (p - q)).sum(axis=-1)


def relative_difference(truth, other):
    return float(np.abs(truth - other).max() / np.abs(truth).max())


def top1_margin(truth):
    """Per position, the gap between the two largest probabilities."""
    ranked = np.sort(np.exp(log_softmax(truth)), axis=-1)
    return ranked[:, -1] - ranked[:, -2]


def top1_log_margin(truth):
    ranked = np.sort(truth, axis=-1)
    return ranked[:, -1] - ranked[:, -2]


@dataclass
class Score:
    """One engine on one case, over all seeds, less the positions with a close router."""

    kl: list = field(default_factory=list)
    n_clear: int = 0  # positions whose two best tokens are further apart than TOP1_MARGIN
    n_misses: int = 0  # of these, where the engine's best token is another
    n_log_misses: int = 0  # the same with the margin taken between logits
    kl_close: list = field(default_factory=list)  # at positions with a close router
    same_under_line: bool = True  # the same bits with the model partly on the disk

    def add(self, truth, margins, other):
        if other.shape != truth.shape or not np.isfinite(other).all():
            raise ValueError(f"logits of shape {other.shape}, expected {truth.shape}, all finite")
        kl = kl_divergence(truth, other)
        steady = margins >= ROUTER_MARGIN
        self.kl += kl[steady].tolist()
        self.kl_close += kl[~steady].tolist()
        wrong = truth.argmax(axis=-1) != other.argmax(axis=-1)
        clear = steady & (top1_margin(truth) > TOP1_MARGIN)
        self.n_clear += int(clear.sum())
        self.n_misses += int((clear & wrong).sum())
        self.n_log_misses += int((steady & (top1_log_margin(truth) > TOP1_MARGIN) & wrong).sum())

    @property
    def mean_kl(self):
        return float(np.mean(self.kl))
