"""A server for a measurement, and requests to it."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import subprocess
import time
from typing import NamedTuple


class Server(NamedTuple):
    port: int
    pid: int

    def processor_seconds(self):
        """That it has used; on a machine that does other things too, a clock that stands still meanwhile."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def served(plimsoll, *options):
    """A `plimsoll serve` with these options, beside those that let a burst wait."""
    command = [plimsoll, "serve", "--port", "0", "--max-queue", "4096", "--max-connection-memory", "8M",
               "--max-queue-seconds", "86400", *options]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in server.stderr:
            if match := re.match(r"serving .* on http://127\.0\.0\.1:(\d+)", line):
                break
        else:
            raise SystemExit("the server did not start")
        yield Server(int(match[1]), server.pid)
    finally:
        server.terminate()
        server.stderr.close()
        server.wait()


def ask(port, prompt, n_output, clock=time.monotonic):
    """The seconds it took by the clock, and the reply; exactly n_output tokens, greedily."""
    body = json.dumps({"prompt": prompt, "max_tokens": n_output, "ignore_eos": True, "temperature": 0})
    started = clock()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3600)
    connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    reply = json.loads(connection.getresponse().read())
    connection.close()
    if "error" in reply:
        raise SystemExit(reply["error"]["message"])
    return clock() - started, reply


def first_token(port, messages):
    """The seconds until an answer's first token, and the usage."""
    body = json.dumps({"messages": messages, "temperature": 0, "max_tokens": 2, "stream": True, "ignore_eos": True,
                       "stream_options": {"include_usage": True}})  # fmt: skip
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3600)
    started = time.monotonic()
    connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        raise SystemExit(response.read().decode())
    first, usage = None, None
    for line in response:
        if line.startswith(b"data: {"):
            event = json.loads(line[6:])
            usage = event.get("usage") or usage
            if any(choice["delta"].get("content") for choice in event.get("choices", [])):
                first = first or time.monotonic() - started
    connection.close()
    return first, usage


def burst(port, requests, clock=time.monotonic):
    """All at once, each a prompt and the number of tokens of its answer: ask()'s results in order."""
    with concurrent.futures.ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(lambda request: ask(port, *request, clock), requests))
