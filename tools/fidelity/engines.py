"""Runs the three that are compared, each giving logits as [positions, vocabulary]."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tools" / "fidelity"
sys.path.insert(0, str(ROOT / "tools" / "oracle"))

import numpy as np  # noqa: E402
from oracle import evaluate as run_oracle  # noqa: E402,F401

PEER_TIMEOUT_S = 300
NOT_ENOUGH_MEMORY = 4  # plan's exit code for a line that nothing runs under


class EngineError(Exception):
    """A program failed; the message has its name and what it said."""


def command_output(command, exit_codes=(0,)):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=PEER_TIMEOUT_S)
    if done.returncode not in exit_codes:
        raise EngineError(f"{shlex.join(str(w) for w in command)[:200]}\n  exit code {done.returncode}: {done.stderr.strip()[-600:]}")
    return done.stdout


def logits_of(lines):
    return np.array([json.loads(line)["logits"] for line in lines], np.float64)


def joined(ids):
    return ",".join(str(i) for i in ids)


def make_random_model(build, path, words):
    command_output([build / "tools" / "random_model" / "random-model", path, *words])


def run_plimsoll(build, model, ids, line_bytes=None):
    """The logits with all of the model in memory, or under a line."""
    command = [build / "plimsoll", "eval", "logits", "-m", model, "--ids", joined(ids), "-c", len(ids), "--full"]
    if line_bytes:
        command += ["--memory", line_bytes, "--no-profile"]
    return logits_of(command_output(command).splitlines())


def tight_line(build, model, n_ctx):
    """The bytes of 40 % of the file, or of the least that runs where that is more."""
    command = [build / "plimsoll", "plan", "-m", model, "-c", n_ctx, "--memory", "40%", "--json"]
    plan = json.loads(command_output(command, exit_codes=(0, NOT_ENOUGH_MEMORY)))
    return max(plan["line_bytes"], plan["landmarks"]["least_bytes"])


def run_peer(model, sequences):
    """llama.cpp on several token sequences with one load; a list of arrays."""
    command = ["node", HERE / "peer_logits.mjs", "--model", model]
    for ids in sequences:
        command += ["--ids", joined(ids)]
    lines = command_output(command).splitlines()
    starts = np.cumsum([0] + [len(ids) for ids in sequences])
    return [logits_of(lines[a:b]) for a, b in zip(starts, starts[1:])]


def install_peer():
    """The npm package, once, into the git-ignored node_modules."""
    if (HERE / "node_modules" / "node-llama-cpp").exists():
        return
    print("Installing node-llama-cpp (npm) into tools/fidelity/node_modules ...", file=sys.stderr)
    subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=HERE, check=True, stdout=sys.stderr)


def peer_version():
    package = HERE / "node_modules" / "node-llama-cpp"
    release = json.loads((package / "llama" / "binariesGithubRelease.json").read_text())["release"]
    return f"node-llama-cpp {json.loads((package / 'package.json').read_text())['version']} (llama.cpp {release})"


def shared_folder():
    """Where the lab model and its reference logits lie, if they are there."""
    folder = Path(os.environ.get("PLIMSOLL_SHARED", ROOT.parent / "shared")) / "models"
    return folder if (folder / "reference.jsonl").exists() else None
