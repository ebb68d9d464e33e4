#!/usr/bin/env python3
"""plimsoll run --session: a chat that goes on in another run, with the bundled model.

usage: session_test.py PLIMSOLL [unittest arguments]
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PLIMSOLL = None


def run(*args, code=0):
    env = {k: v for k, v in os.environ.items() if not k.startswith("PLIMSOLL_")}
    done = subprocess.run([PLIMSOLL, "run", "-t", "1", "-n", "24", "--temp", "0", *args], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, env={**env, "PLIMSOLL_CONFIG": "/dev/null"}, timeout=300)
    assert done.returncode == code, (done.returncode, done.stderr)
    return done


QUESTIONS = ["What is the capital of France, and why do so many people want to go there?", "And of Italy?", "Thank you. And who are you?"]


class Session(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.file = pathlib.Path(holder.name) / "chat"

    def ask(self, i, *args):
        done = run("--session", str(self.file), "-p", QUESTIONS[i], "--json", *args)
        answer = json.loads(done.stdout)
        return answer["text"], answer["stats"], done.stderr

    def test_it_goes_on_where_it_was(self):
        first, stats, said = self.ask(0)
        self.assertEqual(said, "")
        self.assertEqual(stats["prompt_tokens_reused"], 0)
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o600)
        begun = self.file.read_bytes()
        second, stats, said = self.ask(1)
        self.assertGreaterEqual(stats["prompt_tokens_reused"], 32)
        self.assertIn("1 answer, ", said)
        # The same from the same file; other kernels; and with keys and values that are damaged.
        for args in ([], ["--kernels", "ref"], ["-q"]):
            self.file.write_bytes(begun)
            self.assertEqual(self.ask(1, *args)[0], second)
        damaged = bytearray(begun)
        damaged[4096 + 100] ^= 4
        self.file.write_bytes(damaged)
        text, stats, said = self.ask(1, "-q")
        self.assertEqual(text, second)
        self.assertIn("block 0 is damaged", said)
        self.assertEqual(stats["prompt_tokens_reused"], 0)
        third, stats, said = self.ask(2)
        self.assertIn("2 answers, ", said)
        self.assertGreater(stats["prompt_tokens_reused"], 32)

    def test_what_cannot_be_believed_is_refused(self):
        self.ask(0)
        sound = self.file.read_bytes()
        for at, said in [(0, "is no session file"), (8, "version"), (200, "checksum is wrong")]:
            damaged = bytearray(sound)
            damaged[at] ^= 2
            self.file.write_bytes(damaged)
            done = run("--session", str(self.file), "-p", "Hi", code=3)
            self.assertIn(said, done.stderr)
            self.assertIn("nothing of it can be used", done.stderr)
            self.assertEqual(self.file.read_bytes(), bytes(damaged))

    def test_it_is_a_chat(self):
        self.assertIn("--raw", run("--session", str(self.file), "--raw", "-p", "Hi", code=2).stderr)
        window = ("--kv-policy", "window", "--kv-budget", "50%")
        self.assertIn("--kv-policy", run("--session", str(self.file), "-p", "Hi", *window, code=2).stderr)
        self.assertIn("there is no folder", run("--session", str(self.file / "below" / "chat"), "-p", "Hi", code=5).stderr)
        run("--session", str(self.file), "-p", "Hi", "-sys", "Be brief.")
        self.assertIn("another system message", run("--session", str(self.file), "-p", "Hi", "-sys", "Be long.", code=2).stderr)
        run("--session", str(self.file), "-p", "Hi")


if __name__ == "__main__":
    PLIMSOLL = sys.argv.pop(1)
    unittest.main()
