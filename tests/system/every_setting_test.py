#!/usr/bin/env python3
"""A model of several gigabytes says the same, to the bit, under every line, policy, look-ahead, file and way of reading.

usage: every_setting_test.py PLIMSOLL INFLATE [unittest arguments]

Takes minutes and 8 GB of disk: for the night. PLIMSOLL_INFLATED names a model that is there already (OLMoE's shape in Q4_0),
with its packed file or without.
"""

import hashlib
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from program import PLIMSOLL, environment  # noqa: E402

INFLATE = pathlib.Path(sys.argv.pop(1)).resolve()
PROMPT = "The capital of France is"
IDS = ",".join(str(100 + 37 * i) for i in range(33))
LINES = ("130%", "60%", "40%", "25%", "least")
POLICIES = ("forecast", "lfu-layer", "lfu", "lru-layer", "lru", "s3-fifo")


def settings():
    """Each as the words behind a line."""
    for policy, prefetch in itertools.product(POLICIES, ("router", "pairs", "off")):
        yield ("--policy", policy, "--prefetch", prefetch)
    for way, file in itertools.product(("io_uring", "threads", "buffered"), ((), ("--no-packed",))):
        yield ("--io", way, *file)
    yield ("-t", "1")
    yield ("--prefill-chunk", "3")


class EverySetting(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(dir=pathlib.Path(PLIMSOLL).parent)
        model = os.environ.get("PLIMSOLL_INFLATED")
        if not model:
            model = os.path.join(cls.folder.name, "inflated.gguf")
            subprocess.run([INFLATE, model, "--shape", "olmoe-1b-7b", "--type", "q4_0"], check=True, stdout=subprocess.DEVNULL)
        cls.model = model
        cls.env = environment(XDG_CACHE_HOME=cls.folder.name)
        if not os.path.exists(model + ".plimsoll"):
            cls.plimsoll("pack", model)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def plimsoll(cls, *words):
        return subprocess.run([PLIMSOLL, *words], check=True, capture_output=True, text=True, env=cls.env, timeout=600).stdout

    def least(self):
        command = [PLIMSOLL, "plan", "-m", self.model, "--memory", "1M", "-c", "1024"]
        refused = subprocess.run(command, capture_output=True, text=True, env=self.env)
        self.assertEqual(refused.returncode, 4, refused.stderr)
        return re.search(r"raise the line with --memory (\d+M)", refused.stderr).group(1)

    def said(self, line, words):
        """The digest of all logits of 33 tokens, and 24 tokens of text."""
        threads = () if "-t" in words else ("-t", "2")
        common = ("-m", self.model, "-q", "-c", "1024", "--memory", line, *threads, *words)
        logits = self.plimsoll("eval", "logits", "--ids", IDS, "--full", *common)
        answer = self.plimsoll("run", "--raw", "--json", "--temp", "0", "--ignore-eos", "-n", "24", "-p", PROMPT, *common)
        return hashlib.sha256(logits.encode()).hexdigest(), json.loads(answer)["text"]

    def test_says_the_same(self):
        least = self.least()
        expected = self.said("130%", ())
        self.assertIn("Paris", expected[1])
        n = 0
        for line, words in itertools.product(LINES, settings()):
            with self.subTest(line=line, words=words):
                self.assertEqual(self.said(least if line == "least" else line, words), expected)
            n += 1
        print(f"{n} settings, least line {least}, logits {expected[0][:16]}, text {expected[1]!r}", file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
