#!/usr/bin/env python3
"""Keys and values that a server keeps on a disk, over restarts and kills, with the bundled model.

usage: kv_disk_test.py PLIMSOLL [unittest arguments]
"""

import json
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import serve_test
from prefix_cache_test import ask, metric
from serve_test import Server

NIGHT = "PLIMSOLL_NIGHT" in os.environ


def question(i, n_sentences=12):
    return [{"role": "user", "content": f"Story {i}: " + " ".join(
        f"The fox number {i * 31 + j} went to the river and asked the fish." for j in range(n_sentences))}]


def committed(folder):
    """Rows of the catalogue as a process that was killed left it."""
    n = 0
    for path in pathlib.Path(folder).glob("*/catalogue.db"):
        with sqlite3.connect(path) as database:
            n += database.execute("SELECT count(*) FROM block").fetchone()[0]
        database.close()
    return n


def blocks_there(server):
    """What the server has when it begins; its first step says so."""
    for _ in range(1000):
        (model,) = json.loads(server.get("/v1/engine/memory")[1])["models"]
        if "kv_disk" in model:
            return model["kv_disk"]["blocks"]
        time.sleep(0.01)
    raise AssertionError("the server says nothing of its disk")


class KvDisk(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = holder.name

    def server(self, *args, size="64M"):
        return Server("-c", "1024", "--kv-disk", size, "--kv-disk-dir", self.folder, *args)

    def test_a_conversation_goes_on_after_a_restart(self):
        with Server("-c", "1024") as server:
            expected = [ask(server, question(i))[1] for i in range(3)]
        with self.server() as server:
            for i in range(3):
                usage, text, _ = ask(server, question(i))
                self.assertEqual(text, expected[i])
                self.assertLess(usage["prompt_tokens_details"]["cached_tokens"], 64)
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait()[0], 0)
        with self.server() as server:
            for i in range(3):
                usage, text, _ = ask(server, question(i))
                self.assertEqual(text, expected[i])
                self.assertGreaterEqual(usage["prompt_tokens_details"]["cached_tokens"], usage["prompt_tokens"] // 32 * 32 - 32)
            self.assertGreater(metric(server, "kv_disk_restored_tokens_total"), 300)
            self.assertGreater(metric(server, "kv_disk_bytes"), 0)
            self.assertEqual(metric(server, "kv_disk_failed_blocks_total"), 0)
            (model,) = json.loads(server.get("/v1/engine/memory")[1])["models"]
            self.assertGreater(model["kv_disk"]["bytes_restored"], 0)
            self.assertGreater(model["memory"]["accounts"]["index"], 0)
        for path in pathlib.Path(self.folder).rglob("*"):
            self.assertEqual(path.stat().st_mode & 0o077, 0, path)

    def test_keys_do_not_meet_on_the_disk(self):
        with tempfile.TemporaryDirectory() as folder:
            keys = pathlib.Path(folder) / "keys"
            keys.write_text("alpha\nbeta\n")
            keys.chmod(0o600)
            cached = lambda server, **more: ask(server, question(1), **more)[0]["prompt_tokens_details"]["cached_tokens"]
            with self.server("--api-key-file", str(keys)) as server:
                cached(server, key="alpha")
            with self.server("--api-key-file", str(keys)) as server:
                self.assertEqual(cached(server, key="beta"), 0)
                self.assertEqual(cached(server, key="alpha", cache_salt="mine"), 0)
                self.assertGreater(cached(server, key="alpha"), 64)
        everything = b"".join(path.read_bytes() for path in pathlib.Path(self.folder).rglob("*") if path.is_file())
        for secret in (b"alpha", b"mine", b"fox"):
            self.assertNotIn(secret, everything)

    def test_under_a_window_it_serves_those_who_keep_everything(self):
        for run in range(2):
            with self.server("--kv-policy", "window", "--kv-budget", "50%") as server:
                for policy, is_there in [({}, False), ({"kv_policy": "full"}, run == 1)]:
                    usage, _, _ = ask(server, question(1), **policy)
                    self.assertEqual(usage["prompt_tokens_details"]["cached_tokens"] > 64, is_there, policy)
                server.process.send_signal(signal.SIGTERM)
                self.assertEqual(server.wait()[0], 0)

    def test_what_is_wrong_with_the_options_is_said(self):
        for args, said in [(["--kv-disk-dir", self.folder], "needs --kv-disk"),
                           (["--kv-disk", "10%", "--kv-disk-dir", self.folder], "not a share"),
                           (["--kv-disk", "1M", "--no-prefix-cache"], "--no-prefix-cache"),
                           (["--kv-disk", "4K", "--kv-disk-dir", self.folder], "blocks of keys and values"),
                           (["--kv-disk", "1M", "--kv-disk-dir", "/proc/nowhere"], "cannot make the folder")]:
            done = subprocess.run([serve_test.PLIMSOLL, "serve", "--port", "0", *args], capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, env=serve_test.environment(), timeout=300)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(said, done.stderr)
        with self.server():
            done = subprocess.run([serve_test.PLIMSOLL, "serve", "--port", "0", "--kv-disk", "64M", "--kv-disk-dir", self.folder],
                                  capture_output=True, text=True, stdin=subprocess.DEVNULL,
                                  env=serve_test.environment(), timeout=300)
            self.assertIn("another process", done.stderr)

    def test_killed_while_it_saves_it_says_the_same_and_has_what_was_committed(self):
        draws = random.Random(7)
        expected = {}
        n_found = 0
        with Server("-c", "1024") as server:
            for i in range(6):
                expected[i] = ask(server, question(i))[1]
        for kill in range(200 if NIGHT else 10):
            with self.server() as server:
                asked = []

                def work():
                    try:
                        for i in draws.sample(range(6), 6):
                            usage, text, _ = ask(server, question(i))
                            if usage:  # else it broke off
                                asked.append((i, text))
                    except OSError:
                        pass  # it was killed
                    except Exception as error:  # a stream that broke off
                        if server.process.poll() is None:
                            raise error

                client = threading.Thread(target=work)
                client.start()
                time.sleep(draws.random() * (0.6 if kill % 2 else 0.2))
                server.process.kill()
                server.process.wait(300)
                client.join(60)
                for i, text in asked:
                    self.assertEqual(text, expected[i])
            n_committed = committed(self.folder)
            with self.server() as server:
                self.assertEqual(blocks_there(server), n_committed)
                for i in range(6):
                    usage, text, _ = ask(server, question(i))
                    self.assertEqual(text, expected[i], f"kill {kill}")
                    n_found += usage["prompt_tokens_details"]["cached_tokens"]
                self.assertEqual(metric(server, "kv_disk_failed_blocks_total"), 0)
                if kill % 3 == 2:  # begin with less
                    server.process.kill()
                    server.process.wait(300)
            if kill % 3 == 2:
                for path in pathlib.Path(self.folder).glob("*/*"):
                    path.unlink()
        self.assertGreater(n_found, 0)

    def test_a_flipped_bit_changes_no_word(self):
        with self.server() as server:
            expected = [ask(server, question(i))[1] for i in range(4)]
        (blocks,) = pathlib.Path(self.folder).glob("*/blocks")
        draws = random.Random(3)
        n_failed = 0
        for _ in range(30 if NIGHT else 3):
            data = bytearray(blocks.read_bytes())
            for _ in range(4):
                data[draws.randrange(len(data))] ^= 1 << draws.randrange(8)
            blocks.write_bytes(data)
            with self.server() as server:
                for i in range(4):
                    self.assertEqual(ask(server, question(i))[1], expected[i])
                n_failed += metric(server, "kv_disk_failed_blocks_total")
        self.assertGreater(n_failed, 0)


if __name__ == "__main__":
    serve_test.PLIMSOLL = sys.argv.pop(1)
    unittest.main()
