"""The Markdown of docs/fidelity.md, and which rows are outside their bounds."""

import cases
from metrics import ROUTER_MARGIN, TOP1_MARGIN

RATIO_MAX = 1.25
F32_DIFFERENCE_MAX = 1e-3  # of the lab model's F32 file from its trainer's logits
F32_KL_MAX = 1e-6  # of variants that llama.cpp does not have

HEAD = """# Fidelity: how close the logits are to exact arithmetic

Made by `tools/fidelity/run`; do not edit. Peer: {peer}, one thread, on the CPU, otherwise its
defaults.

For every architecture and weight type, random models (`tools/random_model`: 3 layers, or 4 or 6 where kinds of layers take turns; width 512, 8
experts with 2 active; seeds 1 to {n_seeds}, and on to {n_models_max} where the ratio of a quantized type is then above {ratio_max}, for an expert that is turned where a router is close changes what all later positions see) read {n_tokens} random tokens each. The truth is the forward pass in double
precision over the dequantized file (`tools/oracle`), which shares no code with the engine. **KL** is the
mean over positions of the Kullback-Leibler divergence, oracle to engine, in nats. Positions where some
layer's router puts its last chosen expert less than {router_margin} in probability above the next are
left out of it (column *close*): there the last bit of rounding may choose another expert. **Top-1**
counts positions at which the engine's best token is not the oracle's, of those where the oracle's best
two tokens are more than {top1_margin} in probability apart.

The bound is that Plimsoll's KL is at most {ratio_max} times llama.cpp's, and no top-1 miss. Each model is also evaluated under
a line of 40 % of its file, or of the least that runs where that is more: the bits must be the same. A dash is a pair that
llama.cpp does not run: it ends with a failed assertion. There, and in variants that it does not have, the bound is {ratio_max} times the
largest KL that llama.cpp has with the type (F32: {f32_kl_max:g}).
"""


def number(x):
    return "–" if x is None else f"{x:.1e}"


def ratio_of(ours, theirs):
    return ours.mean_kl / theirs.mean_kl if ours and theirs else None


def progress(case, dtype, ours, theirs):
    kl = [f"{name} {s.mean_kl:.2e} (misses {s.n_misses}/{s.n_clear})" for name, s in (("plimsoll", ours), ("llama.cpp", theirs)) if s]
    ratio = ratio_of(ours, theirs)
    return f"{case.name:28} {dtype:7} {'  '.join(kl)}" + (f"  ratio {ratio:.2f}" if ratio else "")


def ratio_matrix(rows, names, dtypes):
    """One look: types down, architectures across."""
    lines = ["## Plimsoll's KL divergence over llama.cpp's", "", "| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for dtype in dtypes:
        ratios = [ratio_of(*rows[name, dtype]) if (name, dtype) in rows else None for name in names]
        lines.append(f"| {dtype} | " + " | ".join("–" if r is None else f"{r:.2f}" for r in ratios) + " |")
    return lines


def table(rows, name, dtypes, first_column="type"):
    lines = [f"| {first_column} | KL Plimsoll | KL llama.cpp | ratio | top-1 misses, Plimsoll | llama.cpp | close |", "|---|---:|---:|---:|---:|---:|---:|"]
    for label, key in dtypes:
        lines.append(table_row(label, *rows[key]))
    return ([f"### {name}", ""] if name else []) + lines + [""]


def table_row(label, ours, theirs):
    ratio = ratio_of(ours, theirs)
    misses = ["–" if s is None else f"{s.n_misses} of {s.n_clear}" for s in (ours, theirs)]
    some = ours or theirs
    n_close = len(some.kl_close)
    cells = [label, number(ours and ours.mean_kl), number(theirs and theirs.mean_kl), "–" if ratio is None else f"{ratio:.2f}", *misses, str(n_close)]
    return "| " + " | ".join(cells) + " |"


def log_margin_note(rows):
    pairs = [pair for pair in rows.values() if all(pair)]
    ours, theirs = (sum(p[i].n_log_misses for p in pairs) for i in (0, 1))
    positions = sum(len(p[0].kl) for p in pairs)
    return f"With the top-1 margin of {TOP1_MARGIN} taken between logits, which asks more of 8-bit activations, the misses over all {positions} positions above are {ours} for Plimsoll and {theirs} for llama.cpp.\n"


def lab_section(lab_rows):
    lines = [
        "## The lab model",
        "",
        "Eighteen prompts with their greedy continuations, against the trainer's own float32 logits (*reference*).",
        "Is a file's distance from the F32 model explained by the rounding of its weights? *Rounding* is the KL",
        "divergence between exact evaluations of the F32 file and of this one: what the rounding alone costs, with no",
        "engine involved. *Arithmetic* is that between the exact evaluation of this file and the engine on it.",
        "*Total* is Plimsoll on this file against the exact F32 model: about the sum of the two. With 64 experts some",
        "router is close at nearly every position, so none is left out here, and a turned choice shows in either engine.",
        "",
        "| file | difference from the reference, Plimsoll | exact | greedy tokens | rounding | arithmetic, Plimsoll | llama.cpp | total, Plimsoll |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for r in lab_rows:
        cells = [r.dtype, number(r.ours_difference), number(r.exact_difference), "{} of {}".format(*r.greedy)]
        cells += [number(x) for x in (r.rounding_kl, r.ours_kl, r.theirs_kl, r.ours_total_kl)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines + [""]


def most_without_peer(rows, dtype):
    """What Plimsoll's KL may be where llama.cpp does not run: 1.25 times llama.cpp's largest with the type."""
    of_peer = [theirs.mean_kl for (_, other), (_, theirs) in rows.items() if theirs and other == dtype]
    return F32_KL_MAX if dtype == "F32" else RATIO_MAX * max(of_peer, default=float("inf"))


def failures_of(rows, lab_rows):
    for (name, dtype), (ours, theirs) in rows.items():
        if ours is None:
            continue
        ratio = ratio_of(ours, theirs)
        if ratio is not None and ratio > RATIO_MAX:
            yield f"{name} {dtype}: KL {ours.mean_kl:.2e}, {ratio:.2f} times llama.cpp's"
        if theirs is None and ours.mean_kl > (most := most_without_peer(rows, dtype)):
            yield f"{name} {dtype}: KL {ours.mean_kl:.2e}, above {most:.2e}"
        if not ours.same_under_line:
            yield f"{name} {dtype}: other bits under a line"
        if ours.n_misses:
            yield f"{name} {dtype}: {ours.n_misses} of {ours.n_clear} clear positions have another best token"
    for row in lab_rows or []:
        if row.ours_difference is None:
            continue
        if row.dtype == "F32" and row.ours_difference > F32_DIFFERENCE_MAX:
            yield f"lab model F32: {row.ours_difference:.2e} from the reference"
        if row.dtype == "F32" and row.greedy[0] != row.greedy[1]:
            yield "lab model F32: {} of {} greedy tokens".format(*row.greedy)
        if row.ours_total_kl > 2 * (row.rounding_kl + row.ours_kl):
            yield f"lab model {row.dtype}: KL {row.ours_total_kl:.2e} to F32, more than its rounding explains"


def write(rows, lab_rows, n_seeds, n_models_max, n_tokens, peer):
    """The text, and a list of what is outside the bounds."""
    head = HEAD.format(peer=peer, n_seeds=n_seeds, n_models_max=n_models_max, n_tokens=n_tokens, router_margin=ROUTER_MARGIN, top1_margin=TOP1_MARGIN, ratio_max=RATIO_MAX, f32_kl_max=F32_KL_MAX)
    names = [c.name for c in cases.ARCHITECTURES if any(name == c.name for name, _ in rows)]
    dtypes = [t for t in cases.TYPES if any(dtype == t for _, dtype in rows)]
    lines = ratio_matrix(rows, names, dtypes) + [""]
    lines += lab_section(lab_rows) if lab_rows else []
    lines += ["## Every architecture and weight type", ""]
    for name in names:
        lines += table(rows, name, [(t, (name, t)) for t in dtypes if (name, t) in rows])
    variants = [(f"{c.name}, {t}", (c.name, t)) for c in cases.VARIANTS for t in cases.VARIANT_TYPES if (c.name, t) in rows]
    if variants:
        lines += ["## Variants", "", "A dash: llama.cpp does not have it in that architecture; Plimsoll is held to the oracle alone.", ""]
        lines += table(rows, None, variants, "variant")
    lines.append(log_margin_note(rows))
    return head + "\n" + "\n".join(lines), list(failures_of(rows, lab_rows))
