#!/usr/bin/env python3
"""plimsoll batch as users run it, killed again and again: every line is answered exactly once, and as in a run that nobody disturbed.

usage: batch_test.py PLIMSOLL      PLIMSOLL_NIGHT=1: 2,000 requests and 20 kills
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PLIMSOLL = os.path.abspath(sys.argv.pop(1))
NIGHT = "PLIMSOLL_NIGHT" in os.environ
SYSTEMS = ["You are a poet of the sea.", "You answer in one word.", "You tell stories to children.", "You know all capitals."]


def request(i):
    messages = [{"role": "system", "content": SYSTEMS[i % len(SYSTEMS)]}, {"role": "user", "content": f"Tell me of number {i}."}]
    return {"custom_id": f"line-{i}", "method": "POST", "url": "/v1/chat/completions",
            "body": {"messages": messages, "max_tokens": 8 + i % 40, "temperature": i % 2, "ignore_eos": True}}


class Batch(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.input = os.path.join(self.folder.name, "in.jsonl")
        self.n = 2000 if NIGHT else 150
        with open(self.input, "w") as file:
            for i in range(self.n):
                file.write(json.dumps(request(i)) + "\n")

    def tearDown(self):
        self.folder.cleanup()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def start(self, output, *more):
        return subprocess.Popen([PLIMSOLL, "batch", "-i", self.input, "-o", output, "-c", "512", *more],
                                stderr=subprocess.PIPE, text=True)

    def answers(self, output):
        with open(output) as file:
            lines = [json.loads(line) for line in file]
        answers = {line["custom_id"]: (line["response"]["status_code"], line["response"]["body"]["choices"][0]["message"]["content"])
                   for line in lines}
        self.assertEqual(len(answers), len(lines), "a line was answered twice")
        return answers

    def test_killed_it_goes_on(self):
        whole = self.path("whole.jsonl")
        process = self.start(whole)
        started = time.monotonic()
        said = process.communicate()[1]
        seconds = time.monotonic() - started
        self.assertEqual(process.returncode, 0, said)
        self.assertRegex(said, rf"answered {self.n} requests in ")
        expected = self.answers(whole)
        self.assertEqual(len(expected), self.n)
        self.assertEqual({status for status, _ in expected.values()}, {200})

        rng = random.Random(4)
        parts = self.path("parts.jsonl")
        n_kills = 0
        wanted = 20 if NIGHT else 4
        while n_kills < wanted:
            process = self.start(parts)
            try:
                said = process.communicate(timeout=0.1 + rng.random() * 1.6 * seconds / wanted)[1]
                self.assertEqual(process.returncode, 0, said)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                n_kills += 1
        said = (process := self.start(parts)).communicate()[1]
        self.assertEqual(process.returncode, 0, said)
        self.assertEqual(self.answers(parts), expected)
        print(f"{self.n} requests, {seconds:.1f} s undisturbed, {n_kills} kills", file=sys.stderr)
        self.assertGreater(n_kills, 1)

    def test_ctrl_c_ends_it_cleanly(self):
        output = self.path("out.jsonl")
        process = self.start(output)
        while not os.path.exists(output) or os.path.getsize(output) == 0:
            self.assertIsNone(process.poll())
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 130, said)
        self.assertIn("goes on from here", said)
        with open(output) as file:
            self.assertTrue(all(line.endswith("\n") for line in file))

    def test_mistakes_are_named(self):
        def run(*words):
            return subprocess.run([PLIMSOLL, "batch", *words], capture_output=True, text=True)
        self.assertEqual(run("-i", self.input).returncode, 2)
        self.assertEqual(run("-i", self.path("nothing"), "-o", self.path("o")).returncode, 5)
        bad = self.path("bad.jsonl")
        with open(bad, "w") as file:
            file.write(json.dumps(request(1)) + "\n{}\n")
        refused = run("-i", bad, "-o", self.path("o"))
        self.assertEqual(refused.returncode, 2)
        self.assertIn("bad.jsonl:2:", refused.stderr)
        self.assertFalse(os.path.exists(self.path("o")))


if __name__ == "__main__":
    unittest.main()
