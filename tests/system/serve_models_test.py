#!/usr/bin/python3
"""Serves several models with the built program: by name, loaded on first use, under one line.

usage: serve_models_test.py PLIMSOLL
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

PLIMSOLL = ""
BUNDLED = pathlib.Path(__file__).parents[2] / "models" / "plimsoll-lab-q8_0.gguf"
QUESTION = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0,
            "max_tokens": 8}
MIB = 1 << 20


class Server:
    def __init__(self, *options):
        env = {**os.environ, "PLIMSOLL_CONFIG": "/dev/null"}
        self.process = subprocess.Popen(
            [PLIMSOLL, "serve", "--port", "0", "-c", "256", "--log-format", "none", *options],
            stderr=subprocess.PIPE, text=True, env=env)
        self.said = ""
        while (match := re.search(r"http://127\.0\.0\.1:(\d+)", self.said)) is None:
            line = self.process.stderr.readline()
            if not line:
                raise AssertionError(f"the server said: {self.said}")
            self.said += line
        self.port = int(match[1])

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data,
                                         {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=300) as reply:
                return reply.status, json.loads(reply.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def text(self, model):
        status, reply = self.ask("/v1/chat/completions", {**QUESTION, "model": model})
        if status != 200:
            raise AssertionError(reply)
        return reply["model"], reply["choices"][0]["message"]["content"]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=300)
        return self.process.returncode


class ServeModels(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        for name in ("first", "second"):
            shutil.copy(BUNDLED, self.folder / f"{name}.gguf")

    def serve(self, *options):
        server = Server(*options)
        self.addCleanup(server.process.stderr.close)
        self.addCleanup(server.process.kill)
        return server

    def test_each_by_its_name(self):
        server = self.serve("-m", str(self.folder / "first.gguf"), "-m", str(self.folder / "second.gguf"), "-a", "one",
                            "--memory", "512M")
        status, models = server.ask("/v1/models")
        self.assertEqual((status, [model["id"] for model in models["data"]]), (200, ["one", "second"]))
        answers = {name: server.text(name) for name in ("one", "second", "first")}
        self.assertEqual(len({text for _, text in answers.values()}), 1, answers)
        self.assertEqual(answers["second"][0], "second")
        status, refused = server.ask("/v1/chat/completions", {**QUESTION, "model": "third"})
        self.assertEqual((status, refused["error"]["code"]), (404, "model_not_found"))
        self.assertEqual(server.stop(), 0)

    def test_a_folder_is_loaded_on_demand_within_the_line(self):
        shutil.copy(BUNDLED, self.folder / "broken-00001-of-00002.gguf")
        # One of them takes most of this.
        size = BUNDLED.stat().st_size // MIB
        line = size + max(24, size // 4)
        server = self.serve("--models-dir", str(self.folder), "--memory", f"{line}M")
        self.assertIn("broken-00001-of-00002.gguf is not served", server.said)
        texts = [server.text(name)[1] for name in ("first", "second", "first")]
        self.assertEqual(len(set(texts)), 1, texts)
        status, memory = server.ask("/v1/engine/memory")
        self.assertEqual(status, 200, memory)
        self.assertEqual(server.stop(), 0)

    def test_two_of_one_name_are_refused(self):
        other = self.folder / "other"
        other.mkdir()
        shutil.copy(BUNDLED, other / "first.gguf")
        done = subprocess.run([PLIMSOLL, "serve", "--port", "0", "-m", str(self.folder / "first.gguf"), "-m",
                               str(other / "first.gguf")], capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("two models are called first", done.stderr)

    def test_a_line_too_low_is_refused_with_what_would_do(self):
        done = subprocess.run([PLIMSOLL, "serve", "--port", "0", "--memory", "3M"], capture_output=True, text=True,
                              timeout=300)
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertRegex(done.stderr, r"--memory \d+M")

    def test_connections_that_take_all_of_the_line_are_refused_by_name(self):
        done = subprocess.run([PLIMSOLL, "serve", "--port", "0", "--memory", "3M", "--max-connection-memory", "24M"],
                              capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertIn("connections may take 24.0 MiB (--max-connection-memory) and the line is 3.00 MiB", done.stderr)


if __name__ == "__main__":
    PLIMSOLL = sys.argv.pop(1)
    unittest.main()
