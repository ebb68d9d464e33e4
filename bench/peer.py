"""llama.cpp's own llama-bench, as the peer that speed is compared with.

Inside node, llama.cpp's threads share the cores with node's and starve when there are as many threads as
cores. So llama-bench's one source file is compiled from the sources that npm's node-llama-cpp brings, and
linked with the very libraries that it brings: the same engine, without node. That takes ten seconds.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools" / "fidelity"))

import engines  # noqa: E402

MODULES = ROOT / "tools" / "fidelity" / "node_modules"


def run(*command, cwd=None):
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(str(w) for w in command)[:300]}\nexit code {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def llama_bench(folder):
    """The path of llama-bench in `folder`, made there on the first use."""
    program = folder / "llama-bench"
    if not program.exists():
        print("Building llama-bench ...", file=sys.stderr)
        sources = peer_sources(folder)
        bench = sources / "tools" / "llama-bench"
        compile_against_peer(folder, program, bench / "llama-bench.cpp", bench / "main.cpp")
    return program


def peer_text(folder):
    return peer_program(folder, "peer-text", "peer_text.cc")


def peer_program(folder, name, source):
    """The path of the program of bench/`source` in `folder`, made there when it is missing or older than its source."""
    program, source = folder / name, ROOT / "bench" / source
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        print(f"Building {name} ...", file=sys.stderr)
        compile_against_peer(folder, program, source)
    return program


def peer_sources(folder):
    """llama.cpp's sources of the release whose libraries the npm package brings."""
    engines.install_peer()
    sources = folder / "source"
    if not sources.exists():
        folder.mkdir(parents=True, exist_ok=True)
        run("git", "clone", "-q", MODULES / "node-llama-cpp" / "llama" / "gitRelease.bundle", sources)
    return sources


def compile_against_peer(folder, program, *files):
    sources = peer_sources(folder)
    # Its CPU libraries are looked for beside the program.
    libraries = sorted((MODULES / "@node-llama-cpp" / "linux-x64" / "bins" / "linux-x64").glob("*.so"))
    for library in libraries:
        link = folder / library.name
        link.unlink(missing_ok=True)
        link.symlink_to(library)
    linked = [folder / library.name for library in libraries if not library.name.startswith("libggml-cpu-")]
    includes = ["-I" + str(sources / name) for name in ("include", "ggml/include", "common", "vendor")]
    command = ["g++-12", "-std=c++17", "-O2", "-DNDEBUG", "-w", *files, *includes]
    run(*command, "-o", program, *linked, "-Wl,-rpath,$ORIGIN")


def measure(program, model, threads, words):
    """Rows of one run, as llama-bench and `plimsoll bench` both print them."""
    return json.loads(run(program, "-m", model, "-t", threads, "-o", "json", *words))
