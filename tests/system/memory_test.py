#!/usr/bin/env python3
"""The process stays below its line, whatever the model's size, and within a control group a little above it.

usage: memory_test.py PLIMSOLL RANDOM_MODEL [unittest arguments]
"""

import concurrent.futures
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from confined import MemoryGroup, NotPermitted, drop_from_cache  # noqa: E402

MIB = 1 << 20
FIXED = 64 * MIB  # by which a process may pass its line
BESIDE_LINE = 96 * MIB
PLIMSOLL, RANDOM_MODEL = (pathlib.Path(sys.argv.pop(1)).resolve() for _ in range(2))
# 64 experts a layer of 1.3 MiB each: 640 MiB, and 30 MiB beside them.
SHAPE = "--arch olmoe --type q8_0 --layers 8 --hidden 512 --heads 8 --kv-heads 8 --head-dim 64 --experts 64"
SHAPE += " --top-k 4 --expert-ff 832 --vocab 8192 --context 2048"
# 290 MiB without experts.
DENSE_SHAPE = "--arch llama --type q8_0 --layers 8 --hidden 1024 --heads 8 --kv-heads 8 --head-dim 128 --experts 0"
DENSE_SHAPE += " --ff 8192 --vocab 8192 --context 2048"
PROMPT = " ".join(["word"] * 120)


class Memory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(dir=pathlib.Path(__file__).parents[2] / "build")
        cls.model = pathlib.Path(cls.folder.name) / "experts.gguf"
        subprocess.run([RANDOM_MODEL, cls.model, *SHAPE.split()], check=True, stdout=subprocess.DEVNULL)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def command(self, line, *more, model=None):
        words = ["run", "-m", model or self.model, "--raw", "-q", "--json", "--temp", "0", "--ignore-eos", "-n", "12"]
        return [PLIMSOLL, *words, "-c", "512", "-t", "2", "-p", PROMPT, "--memory", str(line), *more]

    def least(self, model=None):
        plan = subprocess.run([PLIMSOLL, "plan", "-m", model or self.model, "--memory", "1M", "-c", "512"], capture_output=True, text=True)
        self.assertEqual(plan.returncode, 4, plan.stderr)
        return int(re.search(r"--memory (\d+)M", plan.stderr).group(1)) * MIB

    def confined(self, line, *more, model=None):
        try:
            with MemoryGroup(line + BESIDE_LINE) as group:
                return group.run(*self.command(line, *more, model=model), timeout=300)
        except NotPermitted as reason:
            self.skipTest(str(reason))

    def test_it_stays_below_every_line(self):
        whole = self.model.stat().st_size
        texts = set()
        for line in (self.least(), whole // 4, whole // 2, whole * 13 // 10):
            done = self.confined(line)
            self.assertEqual(done.returncode, 0, f"{line}: {done.stderr}")
            self.assertFalse(done.out_of_memory, line)
            self.assertLessEqual(done.usage.peak_resident_bytes, line + FIXED, line)
            result = json.loads(done.stdout)
            self.assertLessEqual(result["stats"]["memory"]["high_water_bytes"], line)
            self.assertEqual("paging" in result["stats"], line < whole)
            texts.add(result["text"])
        self.assertEqual(len(texts), 1, "the same text under every line")

    def test_a_dense_model_runs_below_its_size(self):
        model = pathlib.Path(self.folder.name) / "dense.gguf"
        subprocess.run([RANDOM_MODEL, model, *DENSE_SHAPE.split()], check=True, stdout=subprocess.DEVNULL)
        whole = model.stat().st_size
        texts = set()
        for line in (self.least(model), whole // 3, whole * 13 // 10):
            done = self.confined(line, model=model)
            self.assertEqual(done.returncode, 0, f"{line}: {done.stderr}")
            self.assertFalse(done.out_of_memory, line)
            self.assertLessEqual(done.usage.peak_resident_bytes, line + FIXED, line)
            stats = json.loads(done.stdout)["stats"]
            self.assertLessEqual(stats["memory"]["high_water_bytes"], line)
            self.assertEqual("streaming" in stats, line < whole)
            texts.add(json.loads(done.stdout)["text"])
        model.unlink()
        self.assertEqual(len(texts), 1, "the same text under every line")

    def test_the_sums_of_an_importance_matrix_are_below_the_line(self):
        text = pathlib.Path(self.folder.name) / "text.txt"
        text.write_text(" ".join(["word"] * 600))
        output = pathlib.Path(self.folder.name) / "imatrix.gguf"

        def command(line):
            return [PLIMSOLL, "eval", "imatrix", "-m", self.model, "-f", text, "-o", output, "-c", "128", "--chunks", "2",
                    "-q", "-t", "2", "--memory", str(line)]
        refused = subprocess.run(command(MIB), capture_output=True, text=True)
        self.assertEqual(refused.returncode, 4, refused.stderr)
        # Eight bytes for each of 512 channels of gate and up and 832 of down, of 64 experts in 8 layers: 5.25 MiB.
        sums = float(re.search(r"sums of the importance matrix ([\d.]+) MiB", refused.stderr).group(1))
        self.assertGreater(sums, 5.25)
        self.assertLess(sums, 6)
        least = int(re.search(r"--memory (\d+)M", refused.stderr).group(1)) * MIB
        files = set()
        for line in (least, self.model.stat().st_size * 13 // 10):
            try:
                with MemoryGroup(line + BESIDE_LINE) as group:
                    done = group.run(*command(line), timeout=300)
            except NotPermitted as reason:
                self.skipTest(str(reason))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertFalse(done.out_of_memory, line)
            self.assertLessEqual(done.usage.peak_resident_bytes, line + FIXED, line)
            files.add(output.read_bytes())
            output.unlink()
        self.assertEqual(len(files), 1, "the same sums under every line")

    def test_a_packed_file_changes_neither_text_nor_memory(self):
        line = self.model.stat().st_size // 3
        plain = self.confined(line)
        packed = subprocess.run([PLIMSOLL, "pack", self.model], capture_output=True, text=True)
        self.assertEqual(packed.returncode, 0, packed.stderr)
        try:
            done = self.confined(line)
            without = self.confined(line, "--no-packed")
        finally:
            pathlib.Path(f"{self.model}.plimsoll").unlink()
        for run in (plain, done, without):
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertLessEqual(run.usage.peak_resident_bytes, line + FIXED)
        self.assertEqual(json.loads(plain.stdout)["text"], json.loads(done.stdout)["text"])
        self.assertEqual(json.loads(plain.stdout)["text"], json.loads(without.stdout)["text"])

    def test_a_damaged_record_is_named_and_no_token_comes_of_it(self):
        subprocess.run([PLIMSOLL, "pack", self.model], check=True, capture_output=True)
        packed = pathlib.Path(f"{self.model}.plimsoll")
        try:
            with open(packed, "r+b") as file:  # one byte in every record
                for at in range(2 * MIB, packed.stat().st_size, 256 * 1024):
                    file.seek(at)
                    byte = file.read(1)
                    file.seek(at)
                    file.write(bytes([byte[0] ^ 1]))
            done = subprocess.run(self.command(self.model.stat().st_size // 3), capture_output=True, text=True, timeout=300)
        finally:
            packed.unlink()
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, r"layer \d+, expert \d+: the \w+ matrix is damaged")

    def generate(self, *more, between=None, **env):
        """The finished process, and the lines that it wrote; `between` is called when the first text is there."""
        words = [word for word in self.command(0)[:-2] if word not in ("--json", "-q")]
        words[words.index("-n") + 1] = "200"
        process = subprocess.Popen([*words, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env={**os.environ, "PLIMSOLL_CONFIG": "/dev/null", **env})
        text = process.stdout.read(1)
        if between is not None:
            between(process)
        rest, said = process.communicate(timeout=300)
        self.assertEqual(process.returncode, 0, said)
        return text + rest, said.decode()

    def test_a_hangup_moves_the_line_while_it_generates(self):
        whole = self.model.stat().st_size
        config = pathlib.Path(self.folder.name) / "config.toml"
        expected, _ = self.generate("--memory", str(whole // 2))

        def move(process):
            for setting, outcome in ((f'memory = "{whole // 4}"', "moved from"), ('memory = "1M"', "cannot leave memory"),
                                     ("memory = ", "config.toml:1:"), ('memory = "45%"', "moved from")):
                config.write_text(setting)
                process.send_signal(signal.SIGHUP)
                said = process.stderr.readline().decode()
                while said and not said.startswith("SIGHUP: the line "):  # how far loading is
                    said = process.stderr.readline().decode()
                self.assertIn(outcome, said)

        config.write_text(f'memory = "{whole // 2}"')
        text, said = self.generate(between=move, PLIMSOLL_CONFIG=str(config))
        self.assertEqual(text, expected)
        self.assertRegex(said, rf"memory .* of {whole * 45 // 100 // MIB} MiB")
        hang_up = lambda process: process.send_signal(signal.SIGHUP)  # noqa: E731
        text, said = self.generate("--memory", str(whole // 2), between=hang_up, PLIMSOLL_CONFIG=str(config))
        self.assertEqual(text, expected)
        self.assertIn("--memory on the command line beats the settings file", said)

    def test_it_yields_while_the_machine_is_short_of_memory(self):
        stalls = pathlib.Path("/proc/pressure/memory")
        if not stalls.exists():
            self.skipTest("the kernel does not count stalls for memory")
        whole = self.model.stat().st_size
        expected, _ = self.generate("--memory", str(whole // 2))
        # A process that goes round through a file in a group too small for it: it waits for memory all the time.
        circle = "import sys, mmap\nm = mmap.mmap(open(sys.argv[1], 'rb').fileno(), 0, access=mmap.ACCESS_READ)\n"
        circle += "while True:\n  for i in range(0, 100 << 20, 4096): m[i]"
        try:
            group = MemoryGroup(24 * MIB)
        except NotPermitted as reason:
            self.skipTest(str(reason))
        drop_from_cache(self.model)  # what is there is charged to someone else
        with group, concurrent.futures.ThreadPoolExecutor() as pool:
            thrashing = pool.submit(group.run, sys.executable, "-c", circle, str(self.model), timeout=8)
            before = int(re.search(r"some .*total=(\d+)", stalls.read_text()).group(1))
            time.sleep(1.5)
            stalled = int(re.search(r"some .*total=(\d+)", stalls.read_text()).group(1)) - before
            text, said = self.generate("--memory", str(whole // 2), "--memory-floor", "25%")
            thrashing.result()
        self.assertEqual(text, expected)
        if stalled < 400_000:
            self.skipTest(f"no lasting stalls could be caused here: {stalled} us of 1.5 s")
        self.assertIn("memory is short", said)

    def test_below_the_least_it_says_what_would_do(self):
        done = subprocess.run(self.command(self.least() - MIB), capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertIn(f"--memory {self.least() // MIB}M", done.stderr)


if __name__ == "__main__":
    unittest.main()
