#!/usr/bin/env python3
"""Real npm clients against a real server: openai (two lines), ollama, @anthropic-ai/sdk, @ai-sdk/openai-compatible.

usage: conformance_test.py PLIMSOLL [FILE...]

The packages are pinned in package-lock.json and installed into node_modules (git-ignored) once. Without
Node.js 20 or newer, npm and a registry it is skipped: exit code 77. PLIMSOLL_NIGHT makes that a failure.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77
LEAST_NODE = 20


def skip(reason):
    print(f"skipped: {reason}", file=sys.stderr)
    sys.exit(1 if os.environ.get("PLIMSOLL_NIGHT") else SKIPPED)


def need_node():
    node = shutil.which("node")
    if node is None:
        skip("there is no node")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(re.match(r"v(\d+)", version).group(1)) < LEAST_NODE:
        skip(f"node {version} is older than {LEAST_NODE}")
    return node


def install():
    """The packages of package-lock.json, unless they are there."""
    marker = HERE / "node_modules" / ".installed"
    lock = (HERE / "package-lock.json").read_text()
    if marker.exists() and marker.read_text() == lock:
        return
    npm = shutil.which("npm")
    if npm is None:
        skip("there is no npm to install the clients with")
    words = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(words, cwd=HERE, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        skip(f"npm could not install the clients:\n{done.stderr.strip()}")
    marker.write_text(lock)


def main():
    plimsoll, *files = sys.argv[1:]
    node = need_node()
    install()
    tests = files or sorted(str(path) for path in HERE.glob("*.test.mjs"))
    environment = dict(os.environ, PLIMSOLL=str(pathlib.Path(plimsoll).resolve()), NO_COLOR="1")
    words = [node, "--test", "--test-reporter=spec", "--test-concurrency=2", *tests]
    return subprocess.run(words, cwd=HERE, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
