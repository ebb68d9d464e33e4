"""The built program as a test runs it: its path is the first argument of the test."""

import os
import pathlib
import subprocess
import sys

PLIMSOLL = str(pathlib.Path(sys.argv.pop(1)).resolve())
MODEL = pathlib.Path(__file__).resolve().parents[2] / "models" / "plimsoll-lab-q8_0.gguf"
FRANCE = "What is the capital of France?"
ENDLESS = ["--ignore-eos", "--temp", "0"]


def environment(**changes):
    env = {k: v for k, v in os.environ.items()
           if not k.startswith("PLIMSOLL_") and k not in ("NO_COLOR", "CLICOLOR_FORCE")}
    # Not the settings of whoever runs this.
    env.update({"TERM": "xterm", "LC_ALL": "C.UTF-8", "PLIMSOLL_CONFIG": "/dev/null"}, **changes)
    return env


def run(*args, stdin=None, **env):
    """The finished process; without `stdin` there is none to read."""
    source = {"input": stdin.encode()} if stdin is not None else {"stdin": subprocess.DEVNULL}
    done = subprocess.run([PLIMSOLL, *args], capture_output=True, timeout=300,
                          env=environment(**env), **source)
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    return done
