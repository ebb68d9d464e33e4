#!/usr/bin/env python3
"""What `plimsoll plan` says of the bundled model, and `plimsoll bench` measures.

usage: plan_test.py PLIMSOLL [unittest arguments]
"""

import csv
import json
import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from program import FRANCE, MODEL, PLIMSOLL, run  # noqa: E402


class Plan(unittest.TestCase):
    def plan(self, *args):
        done = run("plan", "-c", "256", "-t", "1", "--json", *args)
        return done, json.loads(done.stdout)

    def test_lines_from_the_least_to_everything(self):
        done, whole = self.plan("--memory", "1G")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual((whole["schema_version"], whole["residence"]), (1, "all"))
        self.assertEqual(whole["decode"]["misses_per_token"], 0)
        at = whole["landmarks"]
        for name, line in at.items():
            done, plan = self.plan("--memory", str(line))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(sum(plan["accounts"].values()), plan["total_bytes"])
            self.assertLessEqual(plan["total_bytes"], line)
            self.assertEqual(plan["residence"], "all" if name.startswith("all") else "paged")
            self.assertGreater(plan["decode"]["bound_tokens_per_second"], 0)

    def test_bench_finds_what_was_planned(self):
        with tempfile.TemporaryDirectory() as folder:
            text = os.path.join(folder, "text")
            pathlib.Path(text).write_text(FRANCE * 20)
            line = 7 << 20
            env = {"XDG_CACHE_HOME": folder}
            done = run("bench", "--memory", str(line), "-c", "x", **env)
            self.assertEqual(done.returncode, 2)
            done = run("bench", "--memory", str(line), "-p", "0", "-n", "60", "-r", "2", "-t", "1",
                       "-f", text, "-o", "json", **env)
            self.assertEqual(done.returncode, 0, done.stderr)
            (row,) = json.loads(done.stdout)
            plan = json.loads(run("plan", "--memory", str(line), "-c", "60", "-t", "1", "--json",
                                  **env).stdout)
        self.assertEqual(row["n_expert_frames"], plan["frames"][0]["n_frames"])
        if b"__asan_init" not in pathlib.Path(PLIMSOLL).read_bytes():  # which takes memory of its own
            self.assertLessEqual(row["peak_memory_bytes"], line + (64 << 20))
        self.assertIn("% of the experts were in memory", row["why"])
        self.assertGreaterEqual(row["missing_over_belady"], 1)
        # The plan knows the run now. What it was when it began with nothing is a little more.
        self.assertEqual(plan["decode"]["misses_from"], "profile")
        self.assertAlmostEqual(plan["decode"]["miss_ratio"], 1 - row["expert_hit_rate"], delta=0.05)

    def test_what_does_not_fit_exits_with_4(self):
        least = self.plan()[1]["landmarks"]["least_bytes"]
        done, plan = self.plan("--memory", str(least - 1))
        self.assertEqual(done.returncode, 4)
        self.assertFalse(plan["fits"])
        self.assertRegex(done.stderr, r"^error: the model needs at least .*\n.*--memory \d+M")
        text = run("plan", "-c", "256", "-t", "1", "--memory", str(least - 1))
        self.assertEqual(text.returncode, 4)
        self.assertIn("It does not fit; the smallest line that works is --memory", text.stdout)

    def test_misses_of_a_recorded_trace(self):
        with tempfile.TemporaryDirectory() as folder:
            trace = os.path.join(folder, "trace")
            self.assertEqual(run("trace", "record", "-p", FRANCE, "-n", "20", trace).returncode, 0)
            line = self.plan()[1]["landmarks"]["cycle_bytes"]
            plan = self.plan("--memory", str(line), "--trace", trace)[1]
        self.assertEqual(plan["decode"]["misses_from"], "trace")
        self.assertGreater(plan["decode"]["miss_ratio"], 0)

    def test_a_probe_learns_how_the_model_routes(self):
        with tempfile.TemporaryDirectory() as folder:
            env = {"XDG_CACHE_HOME": folder, "TMPDIR": folder}
            words = ("plan", "--memory", str(7 << 20), "-t", "1", "--json")
            before = json.loads(run(*words, "-c", "256", **env).stdout)["decode"]
            done = run(*words, "-c", "256", "--probe", **env)
            self.assertEqual(done.returncode, 0, done.stderr)
            probed = json.loads(done.stdout)["decode"]
            later = json.loads(run(*words, "-c", "256", **env).stdout)["decode"]
            self.assertEqual(list(pathlib.Path(folder).glob("*.trace")), [])
            short = run(*words, "-c", "64", "--probe", **env)
            both = run(*words, "--probe", "--trace", "x", **env)
        self.assertEqual(before["misses_from"], "typical")
        self.assertEqual(probed["misses_from"], "profile")
        self.assertNotEqual(probed["miss_ratio"], before["miss_ratio"])
        # Cached with fewer digits than it was worked out with.
        self.assertAlmostEqual(later["miss_ratio"], probed["miss_ratio"], places=4)
        self.assertEqual(short.returncode, 2)
        self.assertIn("too short to learn how the model routes", short.stderr)
        self.assertEqual(both.returncode, 2)


class Bench(unittest.TestCase):
    QUICK = ["bench", "-t", "1", "-r", "2"]

    def test_json_has_llama_benchs_fields_and_ours(self):
        done = run(*self.QUICK, "-o", "json", "-p", "32", "-n", "4", "-d", "0,40")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        rows = json.loads(done.stdout)
        self.assertEqual([(row["n_prompt"], row["n_gen"], row["n_depth"]) for row in rows],
                         [(32, 0, 0), (0, 4, 0), (32, 0, 40), (0, 4, 40)])
        for row in rows:
            self.assertEqual((row["n_threads"], len(row["samples_ns"])), (1, 2))
            n = row["n_prompt"] + row["n_gen"]
            for ns, tokens_per_s in zip(row["samples_ns"], row["samples_ts"]):
                self.assertAlmostEqual(tokens_per_s, n * 1e9 / ns, delta=1e-6 * tokens_per_s)
            self.assertAlmostEqual(row["avg_ts"], sum(row["samples_ts"]) / 2,
                                   delta=1e-6 * row["avg_ts"])
            # The weights are part of it, the 256 MiB of measuring the machine are not.
            self.assertGreater(row["peak_memory_bytes"], row["model_size"])
            self.assertLess(row["peak_memory_bytes"], 256 << 20)
            for share in ("bandwidth_share", "arithmetic_share"):
                # Of what was timed: 1 and more on a busy machine.
                self.assertGreater(row[share], 0, share)
        self.assertGreater(rows[3]["read_bytes"], rows[1]["read_bytes"])

    def test_csv_and_the_table_have_a_row_for_each_test(self):
        done = run(*self.QUICK, "-o", "csv", "-p", "8", "-n", "2", "--no-warmup")
        self.assertEqual(done.returncode, 0)
        rows = list(csv.DictReader(done.stdout.splitlines()))
        self.assertEqual([(row["n_prompt"], row["n_gen"]) for row in rows],
                         [("8", "0"), ("0", "2")])
        self.assertGreater(float(rows[0]["avg_ts"]), 0)
        done = run(*self.QUICK, "-p", "8", "-n", "0", "-pg", "4,2")
        self.assertRegex(done.stdout, r"(?m)^\| model .* \| peak memory \|$")
        self.assertRegex(done.stdout, r"(?m)^\|.* pp8 \| +[\d.]+ ± [\d.]+ \|")
        self.assertRegex(done.stdout, r"(?m)^\|.* pp4\+tg2 \|")
        self.assertRegex(done.stdout, r"(?m)^peak of \w+ with 1 thread: [\d.]+ GB/s read")

    def test_models_come_one_after_the_other_and_errors_keep_their_codes(self):
        good = ["-m", str(MODEL), "-m", str(MODEL)]
        with tempfile.NamedTemporaryFile(suffix=".gguf") as broken:
            broken.write(b"GGUF and nothing else")
            broken.flush()
            done = run(*self.QUICK, "-o", "json", "-p", "4", "-n", "0", *good, "-m", broken.name)
            self.assertEqual(done.returncode, 3)
            self.assertEqual(len(json.loads(done.stdout)), 2)
            self.assertIn(pathlib.Path(broken.name).name, done.stderr)
        # One that is not there is found out before anything is measured.
        done = run(*self.QUICK, "-o", "json", "-p", "4", "-n", "0", *good, "-m", "/nonexistent")
        self.assertEqual((done.returncode, done.stdout), (5, ""))
        self.assertIn("/nonexistent", done.stderr)
        done = run(*self.QUICK, "-p", "4", "-n", "0", "--memory", "1M")
        self.assertEqual((done.returncode, done.stdout), (4, ""))
        self.assertRegex(done.stderr, r"--memory \d+M")
        self.assertEqual(run(*self.QUICK, "-p", "4-1").returncode, 2)

    def test_every_kernel_set_can_be_measured(self):
        done = run(*self.QUICK, "-o", "jsonl", "-p", "4", "-n", "0", "--kernels", "ref",
                   PLIMSOLL_THREADS="2")
        self.assertEqual(done.returncode, 0)
        row = json.loads(done.stdout)
        self.assertEqual((row["kernels"], row["n_threads"]), ("ref", 1))


if __name__ == "__main__":
    unittest.main()
