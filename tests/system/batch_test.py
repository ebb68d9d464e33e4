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

    def test_a_line_may_name_a_policy_of_its_own(self):
        text = "The code of the red lamp is 4711. " + "Ada walked to the river. " * 60 + "The code of the red lamp is"
        ways = [{}, {"kv_policy": "window", "kv_budget": "25%"}, {"kv_policy": "snap", "kv_budget": "40%"},
                {"kv_policy": "episode", "kv_budget": "40%"}, {"kv_policy": "full"}]
        input = self.path("policies.jsonl")
        with open(input, "w") as file:
            for i, way in enumerate(ways):
                body = {"prompt": text, "max_tokens": 40, "temperature": 0, "ignore_eos": True, **way}
                file.write(json.dumps({"custom_id": f"way-{i}", "method": "POST", "url": "/v1/completions", "body": body}) + "\n")
        output = self.path("policies-out.jsonl")
        done = subprocess.run([PLIMSOLL, "batch", "-i", input, "-o", output, "-c", "1024"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(output) as file:
            answers = {line["custom_id"]: line["response"] for line in map(json.loads, file)}
        self.assertEqual({answer["status_code"] for answer in answers.values()}, {200})
        told = [answers[f"way-{i}"]["body"]["usage"].get("plimsoll", {}).get("kv_policy") for i in range(len(ways))]
        self.assertEqual(told, [None, "window 25%", "snap 40%", "episode 40%", None])
        said = [answers[f"way-{i}"]["body"]["choices"][0]["text"] for i in range(len(ways))]
        self.assertEqual(said[0], said[4])
        self.assertNotEqual(said[0], said[1])
        # A line whose policy can't be is refused by itself; which member, it says.
        with open(input, "w") as file:
            for i, way in enumerate([{"kv_policy": "window"}, {"kv_policy": "arkv", "kv_budget": "50%"}, {}]):
                body = {"prompt": text, "max_tokens": 4, **way}
                file.write(json.dumps({"custom_id": f"way-{i}", "method": "POST", "url": "/v1/completions", "body": body}) + "\n")
        output = self.path("refused-out.jsonl")
        done = subprocess.run([PLIMSOLL, "batch", "-i", input, "-o", output, "-c", "1024"], capture_output=True, text=True)
        with open(output) as file:
            answers = {line["custom_id"]: line["response"] for line in map(json.loads, file)}
        self.assertEqual([answers[f"way-{i}"]["status_code"] for i in range(3)], [400, 400, 200], done.stderr)
        self.assertEqual(answers["way-0"]["body"]["error"]["param"], "kv_budget")
        self.assertEqual(answers["way-1"]["body"]["error"]["param"], "kv_policy")

    def test_ctrl_c_ends_it_cleanly(self):
        output = self.path("out.jsonl")
        process = self.start(output)
        while not os.path.exists(output) or os.path.getsize(output) == 0:
            self.assertIsNone(process.poll())
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=300)[1]
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
