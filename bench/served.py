"""A server for a measurement, and requests to it."""

import concurrent.futures
import contextlib
import http.client
import json
import re
import subprocess
import time


@contextlib.contextmanager
def served(plimsoll, *options):
    """The port of `plimsoll serve` with these options, beside those that let a burst wait."""
    command = [plimsoll, "serve", "--port", "0", "--max-queue", "4096", "--max-connection-memory", "8M",
               "--max-queue-seconds", "86400", *options]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in server.stderr:
            if match := re.match(r"serving .* on http://127\.0\.0\.1:(\d+)", line):
                break
        else:
            raise SystemExit("the server did not start")
        yield int(match[1])
    finally:
        server.terminate()
        server.stderr.close()
        server.wait()


def ask(port, prompt, n_output):
    """The seconds it took, and the reply; exactly n_output tokens, greedily."""
    body = json.dumps({"prompt": prompt, "max_tokens": n_output, "ignore_eos": True, "temperature": 0})
    started = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3600)
    connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    reply = json.loads(connection.getresponse().read())
    connection.close()
    if "error" in reply:
        raise SystemExit(reply["error"]["message"])
    return time.monotonic() - started, reply


def burst(port, requests):
    """All at once, each a prompt and the number of tokens of its answer: ask()'s results in order."""
    with concurrent.futures.ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(lambda request: ask(port, *request), requests))
