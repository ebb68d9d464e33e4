"""A built server in a control group, and random models to serve. Not a test."""

import json
import os
import queue
import re
import signal
import subprocess
import threading
import urllib.request
from pathlib import Path

MIB = 1 << 20
FIXED = 64 * MIB  # by which a process may pass its line
BESIDE_LINE = 96 * MIB  # of a control group's limit


def make_model(random_model, path, options):
    subprocess.run([random_model, path, *options.split()], check=True, stdout=subprocess.DEVNULL)
    return path


def environment(**changes):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLIMSOLL_")}
    return {**kept, "PLIMSOLL_CONFIG": "/dev/null", **changes}


def memory_of(pid):
    """What a process has in memory that is no page of a file, and of that what is locked or pinned; None when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = dict(re.findall(r"^(\w+):\s+(\d+) kB", status, re.MULTILINE))
    if "RssAnon" not in found:  # it is on its way out
        return None
    kib = {name: int(value) for name, value in found.items()}
    return max(kib["RssAnon"] + kib["RssShmem"], kib["VmLck"], kib["VmPin"]) * 1024


class Sampler:
    """Looks every 10 ms from outside how much memory a process has.

    with Sampler(process.pid) as sampler: ...
    """

    def __init__(self, pid):
        self.pid, self.peak, self.n = pid, 0, 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)

    def look(self):
        while not self.over.is_set() and (now := memory_of(self.pid)) is not None:
            self.peak = max(self.peak, now)
            self.n += 1
            self.over.wait(0.01)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(60)


class ConfinedServer:
    """plimsoll serve in a group, on a port of its own, with a sampler on it. What it says comes line by line."""

    def __init__(self, group, program, *options, env=None):
        self.process = group.start(program, "serve", "--port", "0", "--log-format", "none", *options, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   env=environment(**(env or {})))
        self.sampler = Sampler(self.process.pid).__enter__()
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.port = int(re.search(r"http://127\.0\.0\.1:(\d+)", self.said(r"^serving "))[1])

    def read(self):
        for line in self.process.stderr:
            self.lines.put(line)
        self.lines.put(None)

    def said(self, pattern):
        """The next line with it; what is said before is gone."""
        before = ""
        while (line := self.lines.get(timeout=300)) is not None:
            if re.search(pattern, line):
                return line
            before += line
        raise AssertionError(f"the server ended with {self.process.wait(300)} and said: {before}")

    def hang_up(self):
        self.process.send_signal(signal.SIGHUP)
        return self.said("^SIGHUP: ")

    def ask(self, path, body=None, method=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body and json.dumps(body).encode(),
                                         {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=300) as reply:
            return json.loads(reply.read())

    def complete(self, prompt, n_tokens):
        body = {"prompt": prompt, "max_tokens": n_tokens, "temperature": 0, "ignore_eos": True}
        return self.ask("/v1/completions", body)["choices"][0]["text"]

    def line(self):
        return self.ask("/v1/engine/memory")["line_bytes"]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(300)
        self.sampler.__exit__()
        self.reader.join(10)
        self.process.stderr.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
