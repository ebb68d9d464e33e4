#!/usr/bin/env python3
"""plimsoll serve's prefix cache as clients meet it, with the bundled model.

usage: prefix_cache_test.py PLIMSOLL [unittest arguments]
"""

import http.client
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

import serve_test
from serve_test import Server


def ask(server, messages, key=None, **more):
    """The usage, the text, and the seconds until the first token."""
    body = {"messages": messages, "temperature": 0, "max_tokens": 8, "stream": True, "ignore_eos": True,
            "stream_options": {"include_usage": True}, **more}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    begin = time.monotonic()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Authorization": f"Bearer {key}"} if key else {})
    response = connection.getresponse()
    assert response.status == 200, response.read()
    text, usage, first = "", None, None
    for line in response:
        if line.startswith(b"data: {"):
            event = json.loads(line[6:])
            usage = event.get("usage") or usage
            for choice in event.get("choices", []):
                if choice["delta"].get("content"):
                    first = first or time.monotonic() - begin
                    text += choice["delta"]["content"]
    connection.close()
    return usage, text, first


def cached(server, messages, **more):
    return ask(server, messages, **more)[0]["prompt_tokens_details"]["cached_tokens"]


def metric(server, name):
    for line in server.get("/metrics")[1].splitlines():
        if line.startswith(f"plimsoll_{name}{{"):
            return float(line.split()[-1])
    raise AssertionError(f"no metric {name}")


def system_prompt(n_sentences, first=0):
    return {"role": "system", "content": " ".join(f"Rule {i}: be a very patient teacher." for i in range(first, first + n_sentences))}


HELLO = [{"role": "user", "content": "Hello, who are you and what is the capital of France? " * 4}]


class PrefixCache(unittest.TestCase):
    def test_the_second_turn_begins_at_once(self):
        ratios = []
        with Server("-c", "4096") as server:
            for i in range(3):
                messages = [system_prompt(100, 1000 * i), {"role": "user", "content": "Hello"}]
                usage, text, first = ask(server, messages)
                self.assertGreater(usage["prompt_tokens"], 1000)
                self.assertLess(usage["prompt_tokens_details"]["cached_tokens"], 100)
                messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "And who am I?"}]
                usage, _, second = ask(server, messages)
                self.assertGreater(usage["prompt_tokens_details"]["cached_tokens"], 1000)
                ratios.append(second / first)
        self.assertLessEqual(sorted(ratios)[1], 0.2, ratios)

    def test_keys_share_nothing_unless_they_should(self):
        with tempfile.TemporaryDirectory() as folder:
            keys = pathlib.Path(folder) / "keys"
            keys.write_text("alpha\nbeta\n")
            keys.chmod(0o600)
            with Server("--api-key-file", str(keys)) as server:
                self.assertEqual(cached(server, HELLO, key="alpha"), 0)
                self.assertEqual(cached(server, HELLO, key="beta"), 0)
                self.assertGreater(cached(server, HELLO, key="alpha"), 50)
                self.assertEqual(cached(server, HELLO, key="alpha", cache_salt="mine"), 0)
                self.assertGreater(cached(server, HELLO, key="alpha", cache_salt="mine"), 50)
            with Server("--api-key-file", str(keys), "--share-prefixes") as server:
                self.assertEqual(cached(server, HELLO, key="alpha"), 0)
                self.assertGreater(cached(server, HELLO, key="beta"), 50)

    def test_it_can_be_switched_off_and_says_the_same(self):
        with Server() as server:
            first, again = ask(server, HELLO), ask(server, HELLO)
            self.assertEqual(first[1], again[1])
            self.assertEqual(metric(server, "prefix_cache_lookups_total"), 2)
            self.assertEqual(metric(server, "prefix_cache_hits_total"), 1)
            self.assertGreater(metric(server, "prefix_cache_bytes"), 0)
        for option in ("--no-prefix-cache", "--no-cache-prompt"):
            with Server(option) as server:
                for _ in range(2):
                    usage, text, _ = ask(server, HELLO)
                    self.assertEqual(usage["prompt_tokens_details"]["cached_tokens"], 0)
                    self.assertEqual(text, first[1])
                self.assertEqual(metric(server, "prefix_cache_bytes"), 0)

    def test_it_can_evict_by_recency(self):
        def number(i):
            return [{"role": "user", "content": f"Number {i}: " + "tell me a story about a fox. " * 20}]
        with Server("--prefix-eviction", "recency", "--memory", "24M") as server:
            n = 0
            while metric(server, "prefix_cache_evictions_total") <= 20:
                ask(server, number(n))
                n += 1
                self.assertLess(n, 60)
            self.assertGreater(cached(server, number(n - 1)), 100)
            self.assertLess(cached(server, number(0)), 100)
        for words, said in [(["--prefix-eviction", "age"], "neither price nor recency"),
                            (["--prefix-eviction", "recency", "--prefix-log", "log"], "--prefix-log has prices")]:
            refused = subprocess.run([serve_test.PLIMSOLL, "serve", "--port", "0", *words], capture_output=True, text=True, timeout=300)
            self.assertEqual(refused.returncode, 2)
            self.assertIn(said, refused.stderr)

    def test_its_decisions_can_be_checked(self):
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder) / "log"
            with Server("--prefix-log", str(log), "--memory", "24M") as server:
                for i in range(60):
                    ask(server, [{"role": "user", "content": f"Number {i}: " + "tell me a story about a fox. " * 20}])
                    if metric(server, "prefix_cache_evictions_total") > 20:
                        break
                n_evicted = int(metric(server, "prefix_cache_evictions_total"))
            self.assertGreater(n_evicted, 20)
            said = subprocess.run([serve_test.PLIMSOLL, "trace", "check", str(log)], capture_output=True, text=True, timeout=300)
            self.assertEqual(said.returncode, 0, said.stderr)
            self.assertTrue(said.stdout.startswith(f"{n_evicted} evictions"), said.stdout)
            lines = log.read_text().splitlines()
            at = max(i for i, line in enumerate(lines) if line.startswith("evict "))
            lines.insert(at + 1, lines[at])
            log.write_text("\n".join(lines) + "\n")
            said = subprocess.run([serve_test.PLIMSOLL, "trace", "check", str(log)], capture_output=True, text=True, timeout=300)
            self.assertEqual(said.returncode, 1)
            self.assertIn(f"line {at + 2}: there is no node", said.stderr)


if __name__ == "__main__":
    serve_test.PLIMSOLL = sys.argv.pop(1)
    unittest.main()
