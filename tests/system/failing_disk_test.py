#!/usr/bin/env python3
"""A server whose disk fails, is slow, or does not answer: what its clients and those who watch it are told.

usage: failing_disk_test.py PLIMSOLL RANDOM_MODEL FAILING_READS [unittest arguments]

With PLIMSOLL_NIGHT in the environment the sizes are those of a night run.
"""

import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from confined_server import MIB, environment, make_model  # noqa: E402
from load_client import NIGHT  # noqa: E402

PLIMSOLL, RANDOM_MODEL, FAILING_READS = (pathlib.Path(sys.argv.pop(1)).resolve() for _ in range(3))
MODEL = ("--arch olmoe --type q8_0 --layers 4 --experts 16 --top-k 2 --expert-ff 512 --heads 8 --head-dim 64 "
         "--vocab 4096 --context 2048 --hidden 512")
SETTINGS = ["-c", "128", "-t", "2", "--parallel", "2"]
PROMPTS = ["word and word", "another one", "the third of them", "and the last"]
TROUBLE_SECONDS = 60 if NIGHT else 1
NOTICED_WITHIN = 5  # seconds, of a dead disk and of one that is sound again
SIGN_OF_LIFE_WITHIN = 10


class FailingDisk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(dir=pathlib.Path(__file__).parents[2] / "build")
        cls.model = make_model(RANDOM_MODEL, pathlib.Path(cls.folder.name) / "model.gguf", MODEL)
        words = [PLIMSOLL, "plan", "-m", cls.model, "--memory", "1", "--serve", "--json", *SETTINGS]
        planned = subprocess.run(words, capture_output=True, text=True, env=environment())
        least = json.loads(planned.stdout)["landmarks"]["least_bytes"]
        cls.line = least * 16 // 15 + 2 * MIB  # connections have a sixteenth

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def setUp(self):
        self.control = pathlib.Path(self.folder.name) / "disk"
        self.disk_is()
        self.server = subprocess.Popen(
            [PLIMSOLL, "serve", "--port", "0", "--log-format", "none", "-m", self.model, "--io", "threads",
             "--memory", str(self.line), "--no-prefix-cache", *SETTINGS],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env=environment(LD_PRELOAD=str(FAILING_READS), FAILING_READS=str(self.control)))
        self.port = int(re.search(r"http://127\.0\.0\.1:(\d+)", self.server.stderr.readline())[1])
        self.expected = [self.ask(prompt) for prompt in PROMPTS]
        self.assertEqual(self.status("/readyz"), 200)

    def tearDown(self):
        self.disk_is()
        self.server.terminate()
        self.assertEqual(self.server.wait(60), 0)
        self.server.stderr.close()

    def disk_is(self, failing=0.0, slow=0.0, slow_ms=0):
        new = self.control.with_suffix(".new")
        new.write_text(f"{failing} {slow} {slow_ms}\n")
        new.replace(self.control)

    def open(self, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body and json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        return urllib.request.urlopen(request, timeout=120)

    def status(self, path):
        try:
            with self.open(path) as reply:
                return reply.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    @staticmethod
    def body(prompt, **more):
        return {"prompt": prompt, "max_tokens": 6, "temperature": 0, "ignore_eos": True, **more}

    def ask(self, prompt):
        """The text; None when the disk could not be read, and the client was told."""
        try:
            with self.open("/v1/completions", self.body(prompt)) as reply:
                return json.loads(reply.read())["choices"][0]["text"]
        except urllib.error.HTTPError as error:
            with error:
                said = json.loads(error.read())["error"]
            self.assertEqual((error.code, said["code"]), (500, "io_error"))
            self.assertIn("model.gguf", said["message"])
            return None

    def until(self, path, status, within):
        deadline = time.monotonic() + within
        while self.status(path) != status:
            self.assertLess(time.monotonic(), deadline, f"{path} is not {status} within {within} s")
            time.sleep(0.05)

    # Reliability row S3.
    def test_requests_fail_one_by_one_and_readyz_says_while_it_lasts(self):
        for share in (0.01, 0.1, 1.0):
            self.disk_is(failing=share)
            end = time.monotonic() + TROUBLE_SECONDS
            n_failed = n_right = 0
            while time.monotonic() < end or (share == 1 and n_failed == 0):
                for prompt, expected in zip(PROMPTS, self.expected):
                    begin = time.monotonic()
                    text = self.ask(prompt)
                    if text is None:
                        n_failed += 1
                        self.assertLess(time.monotonic() - begin, 2)
                        if share == 1:
                            self.assertEqual(self.status("/readyz"), 503)
                    else:
                        n_right += 1
                        self.assertEqual(text, expected)
                    self.assertEqual(self.status("/livez"), 200)
            if share == 1:
                with self.assertRaises(urllib.error.HTTPError) as refused:
                    self.open("/readyz")
                with refused.exception as error:
                    self.assertEqual(json.loads(error.read())["error"]["code"], "disk")
            self.disk_is()
            begin = time.monotonic()
            self.until("/readyz", 200, NOTICED_WITHIN)
            print(f"{share:.0%} of the reads failed: {n_failed} requests failed, {n_right} were right; "
                  f"ready again after {time.monotonic() - begin:.2f} s", flush=True)
            self.assertEqual([self.ask(prompt) for prompt in PROMPTS], self.expected)

    # Reliability row S3, a disk that does not answer at all.
    def test_a_disk_that_does_not_answer_is_noticed_while_a_request_waits(self):
        self.disk_is(slow=1.0, slow_ms=NOTICED_WITHIN * 1000)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            begin = time.monotonic()
            answer = pool.submit(self.ask, PROMPTS[0])
            self.until("/readyz", 503, NOTICED_WITHIN)
            self.assertEqual(self.status("/livez"), 200)
            self.disk_is()  # what is under way still takes its time
            self.assertEqual(answer.result(120), self.expected[0])
            print(f"the answer came after {time.monotonic() - begin:.1f} s")
        self.until("/readyz", 200, NOTICED_WITHIN)

    # Reliability row S5.
    def test_a_model_that_was_cut_short_is_named(self):
        try:
            with open(self.model, "r+b") as model:
                model.truncate(MIB)
            with self.assertRaises(urllib.error.HTTPError) as refused:
                self.open("/v1/completions", self.body(PROMPTS[0]))
            with refused.exception as error:
                self.assertEqual(json.loads(error.read())["error"]["code"], "model_changed")
            self.assertEqual(self.status("/livez"), 200)
            time.sleep(1)  # the place is looked at again
            self.assertEqual(self.status("/readyz"), 503)
        finally:
            make_model(RANDOM_MODEL, self.model, MODEL)

    # Reliability row S4.
    def test_a_stream_shows_signs_of_life_while_the_disk_is_slow(self):
        # By night a token takes longer than a stream may be silent.
        self.disk_is(**({"slow": 1.0, "slow_ms": 2000} if NIGHT else {"slow": 0.02, "slow_ms": 1000}))
        longest, n_pings, text, last = 0.0, 0, "", time.monotonic()
        with self.open("/v1/completions", self.body(PROMPTS[0], stream=True)) as reply:
            for line in reply:
                now = time.monotonic()
                longest, last = max(longest, now - last), now
                n_pings += line.startswith(b":")
                if line.startswith(b"data: {"):
                    text += json.loads(line[6:])["choices"][0]["text"]
        print(f"{n_pings} signs of life; never silent for more than {longest:.1f} s", flush=True)
        self.assertEqual(text, self.expected[0])
        self.assertLess(longest, SIGN_OF_LIFE_WITHIN + 2)
        if NIGHT:
            self.assertGreater(n_pings, 2)


if __name__ == "__main__":
    unittest.main()
