#!/usr/bin/env python3
"""What a process has in memory, looked at from outside every 10 ms, against its line and its plan.

usage: memory_budget_test.py PLIMSOLL RANDOM_MODEL [unittest arguments]

With PLIMSOLL_NIGHT in the environment the sizes are those of a night run. Prints figures.
"""

import concurrent.futures
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from confined import MemoryGroup, NotPermitted  # noqa: E402
from confined_server import BESIDE_LINE, FIXED, MIB, ConfinedServer, Sampler, environment, make_model  # noqa: E402
from load_client import NIGHT  # noqa: E402

PLIMSOLL, RANDOM_MODEL = (pathlib.Path(sys.argv.pop(1)).resolve() for _ in range(2))
COMMON = "--heads 8 --head-dim 64 --vocab 4096 --context 2048 --hidden 512 "
# Some 300 MB each.
MODELS = {
    "olmoe Q8_0": "--arch olmoe --type q8_0 --layers 8 --experts 32 --top-k 4 --expert-ff 768",
    "olmoe Q4_K": "--arch olmoe --type q4_k --layers 8 --experts 44 --top-k 4 --expert-ff 1024",
    "llama Q8_0": "--arch llama --type q8_0 --layers 8 --hidden 1024 --heads 16 --experts 0 --ff 8192",
    "qwen3next Q8_0": "--arch qwen3next --type q8_0 --layers 8 --experts 32 --top-k 4 --expert-ff 768 --full-attention-interval 4",
    "gpt-oss MXFP4": "--arch gpt-oss --type mxfp4 --layers 8 --experts 48 --top-k 4 --expert-ff 1024",
    "deepseek2 Q4_K": "--arch deepseek2 --type q4_k --layers 8 --experts 44 --top-k 4 --expert-ff 1024",
}
SMALL = {"qwen3next Q8_0": "--arch qwen3next --type q8_0 --layers 4 --experts 16 --top-k 2 --expert-ff 512 --full-attention-interval 2"}
SHARES = (0.10, 0.25, 0.50, 0.75, 1.30) if NIGHT else (0.60,)
N_CTX = 192 if NIGHT else 128
N_PARALLEL = 4


def plan(model, line, *more):
    words = [PLIMSOLL, "plan", "-m", model, "--memory", str(line), "-c", str(N_CTX), "-t", "2", "--json", *more]
    return json.loads(subprocess.run(words, capture_output=True, text=True, env=environment()).stdout)


class Budget(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(dir=pathlib.Path(__file__).parents[2] / "build")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    # Reliability row M1.
    def test_no_sample_is_above_the_line_and_its_constant(self):
        self.figures = []
        self.n_samples = 0
        for name, options in (MODELS if NIGHT else SMALL).items():
            model = make_model(RANDOM_MODEL, pathlib.Path(self.folder.name) / "model.gguf", COMMON + options)
            for mix in (self.long_answer, self.long_prompt, self.clients):
                self.under_every_line(name, model, mix)
            model.unlink()
        above = max(self.figures)
        over_plan = max(planned / used for _, _, planned, used in self.figures)
        print(f"{len(self.figures)} runs, {self.n_samples} samples: at most {above[0] / MIB:+.1f} MiB from the line "
              f"({above[1]}); planned at most {100 * (over_plan - 1):.1f} % above what was reserved")

    def under_every_line(self, name, model, mix):
        serve = ("--serve", "--parallel", str(N_PARALLEL)) if mix == self.clients else ()
        whole = model.stat().st_size
        least = plan(model, 1, *serve)["landmarks"]["least_bytes"]
        if serve:
            least = least * 16 // 15 + 16  # connections have a sixteenth of the line, or 32 MiB
        lines = [least // MIB * MIB + MIB, *(int(whole * share) for share in SHARES)]
        for line in (line for line in lines if line >= least):
            what = f"{name}, {mix.__name__}, {line / MIB:.0f} MiB of {whole / MIB:.0f}"
            try:
                with MemoryGroup(line + BESIDE_LINE) as group:
                    sampler, used = mix(group, model, line, what)
                    self.assertEqual(group.n_kills(), 0, what)
            except NotPermitted as reason:
                self.skipTest(str(reason))
            kept = min(32 * MIB, line // 16) if serve else 0
            planned = plan(model, line - kept, *serve)["total_bytes"]
            self.n_samples += sampler.n
            print(f"{what}: {sampler.peak / MIB:.1f} MiB from outside, {used / MIB:.1f} reserved, {planned / MIB:.1f} planned", flush=True)
            self.assertGreater(sampler.n, 0)
            self.assertLessEqual(sampler.peak, line + FIXED, what)
            self.assertLessEqual(planned + kept, line, what)
            # Prefixes of a server's prompts stay in what a plan leaves of the line.
            self.assertLessEqual(used, line - kept if serve else planned, what)
            self.figures.append((sampler.peak - line, what, planned, used))

    def generate(self, group, model, line, what, prompt, *more):
        words = ["run", "-m", model, "--raw", "-q", "--json", "--temp", "0", "--ignore-eos", "-c", N_CTX, "-t", "2",
                 "--memory", line, "-p", prompt]
        process = group.start(PLIMSOLL, *words, *more, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=environment())
        with Sampler(process.pid) as sampler:
            out, said = process.communicate(timeout=600)
        self.assertEqual(process.returncode, 0, f"{what}: {said}")
        return sampler, json.loads(out)["stats"]["memory"]["high_water_bytes"]

    def long_answer(self, group, model, line, what):
        return self.generate(group, model, line, what, "word", "-n", str(N_CTX))

    def long_prompt(self, group, model, line, what):
        return self.generate(group, model, line, what, " ".join(["word"] * (N_CTX // 4)), "-n", "4")

    def clients(self, group, model, line, what):
        with ConfinedServer(group, PLIMSOLL, "-m", model, "--memory", line, "-c", N_CTX, "-t", "2",
                            "--parallel", N_PARALLEL) as server:
            def ask(number):
                prompt = " ".join(["word", "and", str(number)] * (1 + number % 3 * (N_CTX // 24)))
                return server.complete(prompt, (8, 24)[number % 2])

            with concurrent.futures.ThreadPoolExecutor(2 * N_PARALLEL) as pool:
                list(pool.map(ask, range(4 * N_PARALLEL if NIGHT else 2 * N_PARALLEL)))
            memory = server.ask("/v1/engine/memory")["models"][0]["memory"]
            self.assertEqual(server.stop(), 0, what)
            return server.sampler, memory["high_water_bytes"]


if __name__ == "__main__":
    unittest.main()
