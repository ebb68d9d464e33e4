#!/usr/bin/env python3
"""plimsoll serve, as programs, operators and unfriendly clients meet it, with the bundled model.

usage: serve_test.py PLIMSOLL [unittest arguments]
"""

import http.client
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

PLIMSOLL = None
NIGHT = "PLIMSOLL_NIGHT" in os.environ


def environment(**changes):
    env = {k: v for k, v in os.environ.items() if not k.startswith("PLIMSOLL_")}
    env.update({"PLIMSOLL_CONFIG": "/dev/null"}, **changes)
    return env


class Server:
    """A running server on a port of its own; ends with it when it is left."""

    def __init__(self, *args, **env):
        self.process = subprocess.Popen(
            [PLIMSOLL, "serve", "--port", "0", "-c", "256", "-t", "1", *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env=environment(**env))
        self.lines = []
        self.ready = threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if not self.ready.wait(300):
            self.process.kill()
            raise AssertionError("not ready: " + "".join(self.lines))
        found = re.search(r"http://127\.0\.0\.1:(\d+)", "".join(self.lines))
        self.port = int(found.group(1)) if found else 0

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line)
            if line.startswith("serving "):
                self.ready.set()
        self.ready.set()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(300)
        self.reader.join(10)
        self.process.stderr.close()

    def post(self, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def get(self, path, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def wait(self):
        code = self.process.wait(300)
        self.reader.join(10)
        return code, "".join(self.lines)


class Serve(unittest.TestCase):
    def test_it_says_where_it_is_answers_and_ends(self):
        with Server() as server:
            self.assertRegex("".join(server.lines),
                             r"(?m)^serving .+ within \S+ \S+ on http://127\.0\.0\.1:\d+$")
            for path in ("/livez", "/readyz", "/health"):
                self.assertEqual(server.get(path), (200, '{"status":"ok"}'))
            status, body = server.get("/nothing/here")
            self.assertEqual(status, 404)
            self.assertEqual(set(json.loads(body)["error"]), {"message", "type", "param", "code"})
            status, body = server.get("/api/nothing")
            self.assertEqual((status, set(json.loads(body))), (404, {"error"}))
            status, body = server.get("/v1/engine/memory")
            (model,) = json.loads(body)["models"]
            self.assertIn("bound", model)
            server.process.send_signal(signal.SIGTERM)
            code, said = server.wait()
        self.assertEqual(code, 0)
        logged = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        self.assertEqual([line["path"] for line in logged], ["/livez", "/readyz", "/health", "-", "-", "/v1/engine/memory"])
        self.assertNotIn("nothing", said)

    def test_requests_say_which_of_their_keys_and_values_stay(self):
        text = " ".join(f"The code of the red lamp is {n}." for n in range(1000, 1030))
        plain = {"prompt": text, "max_tokens": 100, "temperature": 0, "ignore_eos": True}
        window = {**plain, "kv_policy": "window", "kv_budget": "50%"}
        reference = {**window, "kv_reference": "prompt"}

        def ask(server, body):
            status, answer = server.post("/v1/completions", body)
            self.assertEqual(status, 200, answer)
            return answer["choices"][0]["text"], answer["usage"]

        with Server("-c", "512", "--parallel", "2") as server:
            full, usage = ask(server, plain)
            self.assertNotIn("plimsoll", usage)
            some, usage = ask(server, window)
            self.assertEqual(usage["plimsoll"], {"kv_policy": "window 50%"})
            self.assertNotEqual(some, full)
            again, usage = ask(server, plain)  # still shared
            self.assertEqual(again, full)
            self.assertGreater(usage["prompt_tokens_details"]["cached_tokens"], 100)
            scored = {kind: ask(server, {**window, "kv_policy": kind}) for kind in ("block", "snap", "episode")}
            for kind, (_, usage) in scored.items():
                self.assertEqual(usage["plimsoll"], {"kv_policy": f"{kind} 50%"})
            status, answer = server.post("/v1/completions", reference)
            self.assertEqual((status, answer["error"]["param"]), (400, "kv_reference"))
            counted = re.findall(r'requests_by_kv_policy_total\{.*policy="(\w+)"\} (\d+)',
                                 server.get("/metrics")[1])
            self.assertEqual(dict(counted), {"full": "2", "window": "1", "block": "1", "snap": "1", "arkv": "0", "episode": "1"})
        with Server("-c", "512", "--kv-policy", "window", "--kv-budget", "50%",
                    "--parallel", "2") as server:
            self.assertEqual(ask(server, plain)[0], some)
            self.assertEqual(ask(server, {**plain, "kv_policy": "full"})[0], full)
            arkv = {**window, "kv_policy": "arkv"}
            status, answer = server.post("/v1/completions", arkv)  # nothing is quantized here
            self.assertEqual((status, answer["error"]["param"]), (400, "kv_policy"))
            self.assertIn("has to be q8 or q4", answer["error"]["message"])
        for kind in ("snap", "episode"):
            with Server("-c", "512", "--kv-policy", kind, "--kv-budget", "50%") as server:
                self.assertEqual(ask(server, plain)[0], scored[kind][0])
        with Server("-c", "512", "--kv-type", "q8") as server:
            some, usage = ask(server, arkv)
            self.assertEqual(usage["plimsoll"], {"kv_type": "q8", "kv_policy": "arkv 50%"})
            self.assertRegex(server.get("/metrics")[1], r'requests_by_kv_policy_total\{.*policy="arkv"\} 1\b')
        with Server("-c", "512", "--kv-type", "q8", "--kv-policy", "arkv", "--kv-budget", "50%") as server:
            self.assertEqual(ask(server, plain)[0], some)
            (model,) = json.loads(server.get("/v1/engine/memory")[1])["models"]
            self.assertEqual(model["kv_policy"], "arkv 50%")
        done = subprocess.run([PLIMSOLL, "run", "--raw", "-p", text, "-c", "512", "--kv-policy", "window",
                               "--kv-budget", "50%", "--kv-reference", "prompt"], capture_output=True,
                              stdin=subprocess.DEVNULL, text=True, env=environment(), timeout=300)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("--kv-reference can't be a prompt of", done.stderr)

    def test_a_port_in_use_exits_with_6_and_names_it(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            done = subprocess.run([PLIMSOLL, "serve", "--port", str(port)], capture_output=True,
                                  stdin=subprocess.DEVNULL, text=True, env=environment(), timeout=300)
        self.assertEqual(done.returncode, 6, done.stderr)
        self.assertIn(f"port {port}", done.stderr)
        self.assertIn("--port", done.stderr)

    def test_wrong_usage_exits_with_2_and_says_what_to_do(self):
        for args, hint in ((["--host", "0.0.0.0"], "--api-key-file"),
                           (["--cors-origin", "chat"], "https://"),
                           (["--log-format", "xml"], "json"), (["--max-body-bytes", "9T"], "256 MiB"),
                           (["--ssl-cert-file", "x"], "--ssl-key-file"),
                           (["--drain-seconds", "-1"], "86400")):
            done = subprocess.run([PLIMSOLL, "serve", "--port", "0", *args], capture_output=True,
                                  stdin=subprocess.DEVNULL, text=True, env=environment(), timeout=300)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(hint, done.stderr)

    def test_keys_come_from_a_file_that_is_nobody_elses(self):
        with tempfile.TemporaryDirectory() as folder:
            keys = pathlib.Path(folder) / "keys"
            keys.write_text("sk-test\n")
            keys.chmod(0o644)
            done = subprocess.run([PLIMSOLL, "serve", "--port", "0", "--api-key-file", keys],
                                  capture_output=True, stdin=subprocess.DEVNULL, text=True,
                                  env=environment(), timeout=300)
            self.assertEqual(done.returncode, 6)
            self.assertIn("chmod 600", done.stderr)
            keys.chmod(0o600)
            with Server("--api-key-file", str(keys)) as server:
                self.assertEqual(server.get("/livez")[0], 200)
                self.assertEqual(server.get("/health")[0], 401)
                self.assertEqual(server.get("/health", {"Authorization": "Bearer sk-test"})[0], 200)
                self.assertEqual(server.get("/health", {"x-api-key": "sk-tes"})[0], 401)
                server.process.terminate()
                self.assertNotIn("sk-te", server.wait()[1])

    def test_sighup_moves_the_line(self):
        with tempfile.TemporaryDirectory() as folder:
            settings = pathlib.Path(folder) / "config.toml"
            settings.write_text('[serve]\nmemory = "1G"\n')
            with Server(PLIMSOLL_CONFIG=str(settings)) as server:
                settings.write_text('[serve]\nmemory = "512M"\n')
                server.process.send_signal(signal.SIGHUP)
                end = time.monotonic() + 20
                while time.monotonic() < end and "SIGHUP" not in "".join(server.lines):
                    time.sleep(0.05)
                self.assertIn("SIGHUP: the line moved from 1.00 GiB to 512 MiB",
                              "".join(server.lines))

    def test_sighup_again_and_again_under_load(self):
        n_moves = 1000 if NIGHT else 12
        lines = ["512M", "400M", "1G", "2M", "nonsense", "300M"]
        with tempfile.TemporaryDirectory() as folder:
            settings = pathlib.Path(folder) / "config.toml"
            settings.write_text('[serve]\nmemory = "1G"\n')
            with Server("-np", "4", "--log-format", "none", PLIMSOLL_CONFIG=str(settings)) as server:
                over = threading.Event()
                texts = []

                def ask():
                    while not over.is_set():
                        client = stream(server, max_tokens=40)
                        texts.append(re.findall(rb'"content":("[^"]*")', read_to_end(client, b"data: [DONE]")))

                clients = [threading.Thread(target=ask) for _ in range(4)]
                for client in clients:
                    client.start()
                missed = 0
                for i in range(n_moves):
                    settings.write_text(f'[serve]\nmemory = "{lines[i % len(lines)]}"\n')
                    n_said = len(server.lines)
                    server.process.send_signal(signal.SIGHUP)
                    end = time.monotonic() + 20
                    while len(server.lines) == n_said and time.monotonic() < end:
                        time.sleep(0.001)
                    missed += len(server.lines) == n_said
                over.set()
                for client in clients:
                    client.join()
                status, memory = server.get("/v1/engine/memory")
                said = "".join(server.lines)
        self.assertEqual(missed, 0, said[-1000:])
        self.assertEqual(status, 200)
        self.assertGreater(len(texts), 4)
        self.assertEqual(len({tuple(text) for text in texts}), 1)
        self.assertIn("SIGHUP: the line moved from 1.00 GiB to 512 MiB", said)
        print(f"{n_moves} SIGHUPs beside {len(texts)} answers of one text")

    def test_a_second_start_on_the_same_port_right_after_the_end(self):
        with Server() as server:
            port = server.port
            kept = socket.create_connection(("127.0.0.1", port))
            kept.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertTrue(kept.recv(1))
            server.process.terminate()
            self.assertEqual(server.wait()[0], 0)
            kept.close()
        with Server("--port", str(port)) as again:
            self.assertEqual(again.get("/livez")[0], 200)


def stream(server, max_tokens=200, receive_buffer=None):
    """A stream of which something has come."""
    body = json.dumps({"messages": [{"role": "user", "content": "Hello"}], "stream": True, "temperature": 0,
                       "ignore_eos": True, "max_tokens": max_tokens}).encode()
    client = socket.create_connection(("127.0.0.1", server.port), timeout=300)
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                   b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    if not client.recv(1):
        raise AssertionError("no answer")
    return client


def read_to_end(client, mark=None):
    """To the end of the connection, or to the mark."""
    data = b""
    try:
        while not (mark and mark in data) and (part := client.recv(65536)):
            data += part
    except ConnectionResetError:
        data += b"(reset)"
    client.close()
    return data


class End(unittest.TestCase):
    def test_a_stream_may_end_before_the_server_does(self):
        with Server() as server:
            client = stream(server)
            server.process.terminate()
            data = read_to_end(client)
            self.assertTrue(data.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"), data[-200:])
            self.assertEqual(server.wait()[0], 0)

    def test_what_does_not_end_in_time_is_ended(self):
        for again in (False, True):
            with Server("--drain-seconds", "300" if again else "0.2", "-np", "16",
                        "-c", "2048") as server:
                clients = [stream(server, receive_buffer=4096) for _ in range(16)]
                began = time.monotonic()
                server.process.terminate()
                if again:
                    time.sleep(0.1)
                    server.process.terminate()
                self.assertEqual(server.wait()[0], 0)
                self.assertLess(time.monotonic() - began, 120)
                for client in clients:
                    client.close()

    # Reliability row L11.
    def test_it_ends_under_load_again_and_again(self):
        draw = random.Random(11)
        port, outcomes, slowest_start, slowest_refusal = "0", {"whole": 0, "error": 0}, 0, 0
        n_ends = 50 if NIGHT else 3
        for _ in range(n_ends):
            began = time.monotonic()
            drain = draw.choice((0.05, 0.5, 300))
            with Server("--port", port, "--drain-seconds", str(drain), "-np", "8", "-c", "1024", "--log-format",
                        "none") as server:
                slowest_start = max(slowest_start, time.monotonic() - began)
                port = str(server.port)
                clients = [stream(server, max_tokens=600) for _ in range(8)]
                time.sleep(draw.random() * 0.1)
                server.process.terminate()
                time.sleep(0.1)
                began = time.monotonic()
                while True:
                    try:
                        late = socket.create_connection(("127.0.0.1", server.port), timeout=60)
                        late.close()
                        self.assertLess(time.monotonic() - began, 60)
                        time.sleep(0.01)
                    except OSError:
                        break
                slowest_refusal = max(slowest_refusal, 0.1 + time.monotonic() - began)
                for client in clients:
                    data = read_to_end(client)
                    if data.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"):
                        outcomes["whole"] += 1
                    else:
                        self.assertIn(b'"code":"server_stopping"', data)
                        self.assertNotIn(b"[DONE]", data)
                        outcomes["error"] += 1
                self.assertEqual(server.wait()[0], 0)
        self.assertEqual(sum(outcomes.values()), 8 * n_ends)
        print(f"{n_ends} ends under load: {outcomes}; slowest start {slowest_start:.2f} s, connections refused after "
              f"{slowest_refusal:.2f} s at most")


if __name__ == "__main__":
    PLIMSOLL = sys.argv.pop(1)
    unittest.main()
