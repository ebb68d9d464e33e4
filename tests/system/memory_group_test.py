#!/usr/bin/env python3
"""Control groups whose limit is lower than the line, or becomes so: refused with the numbers, or followed; never killed.

usage: memory_group_test.py PLIMSOLL RANDOM_MODEL [unittest arguments]

With PLIMSOLL_NIGHT in the environment the sizes are those of a night run. Prints figures.
"""

import collections
import contextlib
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from confined import MemoryGroup, NotPermitted  # noqa: E402
from confined_server import BESIDE_LINE, MIB, ConfinedServer, environment, make_model  # noqa: E402
from load_client import NIGHT  # noqa: E402

PLIMSOLL, RANDOM_MODEL = (pathlib.Path(sys.argv.pop(1)).resolve() for _ in range(2))
# 32 experts a layer of 1.3 MiB each: 250 MiB, or 160.
SHAPE = "--arch olmoe --type q8_0 --hidden 512 --heads 8 --kv-heads 8 --head-dim 64 --experts 32 --top-k 4"
SHAPE += f" --expert-ff 832 --vocab 4096 --context 2048 --layers {6 if NIGHT else 4}"
STEP = 24 * MIB  # less than the 32 MiB of the reserve that nothing in these tests uses
PROMPT = " ".join(["word"] * 40)
HOLD = "import sys; block = bytearray(int(sys.argv[1])); print(1, flush=True); sys.stdin.read()"


class GroupLimits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            with MemoryGroup(64 * MIB) as parent, MemoryGroup(64 * MIB, parent):
                pass
        except NotPermitted as reason:
            raise unittest.SkipTest(str(reason)) from reason
        cls.folder = tempfile.TemporaryDirectory(dir=pathlib.Path(__file__).parents[2] / "build")
        cls.model = make_model(RANDOM_MODEL, pathlib.Path(cls.folder.name) / "experts.gguf", SHAPE)
        cls.whole = cls.model.stat().st_size
        plan = subprocess.run([PLIMSOLL, "plan", "-m", cls.model, "--memory", "1M", "-c", "256"], capture_output=True, text=True)
        cls.least = int(re.search(r"--memory (\d+)M", plan.stderr).group(1)) * MIB

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def start(self, group, *memory):
        """The exit code, the text and what was said of one run, which nothing may kill."""
        words = ["run", "-m", self.model, "--raw", "-q", "--json", "--temp", "0", "--ignore-eos", "-n", "6", "-c", "256"]
        process = group.start(PLIMSOLL, *words, "-t", "2", "-p", PROMPT, *memory, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        out, said = process.communicate(timeout=300)
        self.n_starts += 1
        self.assertEqual(group.n_kills(), 0, said)
        self.assertIn(process.returncode, (0, 4), said)
        if process.returncode == 4:
            return 4, "", said
        result = json.loads(out)
        self.assertLessEqual(result["stats"]["memory"]["high_water_bytes"], result["stats"]["memory"]["budget_bytes"])
        return 0, result["text"], said

    def refused(self, group, limit, line, most):
        """A line above `most`, which the limit leaves room for: said so, and what is proposed runs if anything does."""
        code, _, said = self.start(group, "--memory", str(line))
        self.assertEqual(code, 4, said)
        numbers = re.search(r"a line of ([\d.]+) MiB is too high: the control group has a limit of ([\d.]+) MiB, of which "
                            r"([\d.]+) MiB are kept .*\n(?:lower it with --memory (\d+)M, or )?raise the limit", said)
        self.assertIsNotNone(numbers, said)
        for number, size in ((numbers[1], line), (numbers[2], limit)):
            self.assertAlmostEqual(float(number), size / MIB, delta=0.51)
        proposed = int(numbers[4] or 0) * MIB
        self.assertLessEqual(proposed, most)
        if proposed >= self.least:
            code, text, problem = self.start(group, "--memory", str(proposed))
            self.assertEqual(code, 0, problem)
            self.texts.add(text)
        return said

    # Reliability row M2.
    def test_no_start_is_killed(self):
        draw = random.Random(5)
        self.n_starts, self.texts, kinds = 0, set(), collections.Counter()
        while self.n_starts < (500 if NIGHT else 10):
            kind = ("alone", "nested", "default", "crowded")[sum(kinds.values()) % 4]
            kinds[kind] += 1
            line = draw.randrange(max(self.least, self.whole // 4), self.whole * 13 // 10)
            with contextlib.ExitStack() as stack:
                getattr(self, kind)(stack, draw, line)
        print(f"{self.n_starts} starts: {dict(kinds)}")
        self.assertEqual(len(self.texts), 1, "one text under every line")

    def alone(self, stack, draw, line):
        limit = line * draw.randrange(25, 100) // 100
        group = stack.enter_context(MemoryGroup(limit))
        self.refused(group, limit, line, max(0, limit - BESIDE_LINE))

    def nested(self, stack, draw, line):
        limit = line * draw.randrange(25, 100) // 100
        outer, inner = (limit, 2 * line) if draw.randrange(2) else (2 * line, limit)
        parent = stack.enter_context(MemoryGroup(outer))
        group = stack.enter_context(MemoryGroup(inner, parent))
        self.refused(group, limit, line, max(0, limit - BESIDE_LINE))
        self.assertEqual(parent.n_kills(), 0)

    def default(self, stack, draw, line):
        group = stack.enter_context(MemoryGroup(line + BESIDE_LINE))
        code, text, said = self.start(group)
        if line > self.least + 16 * MIB:
            self.assertEqual(code, 0, said)
        if code == 0:
            self.texts.add(text)

    def crowded(self, stack, draw, line):
        """Somebody else in the parent's limit has what the line would take."""
        held = draw.randrange(64, 256) * MIB
        limit = line + BESIDE_LINE + 8 * MIB
        parent = stack.enter_context(MemoryGroup(limit))
        beside = stack.enter_context(MemoryGroup(limit, parent))
        group = stack.enter_context(MemoryGroup(limit, parent))
        if held + 32 * MIB > limit:
            return
        other = beside.start(sys.executable, "-c", HOLD, held, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        other.stdout.readline()
        self.assertIn("in use by others", self.refused(group, limit, line, limit - held))
        self.assertIn(self.start(group)[0], (0, 4))
        other.communicate()
        self.assertEqual((other.returncode, parent.n_kills(), beside.n_kills()), (0, 0, 0))

    def followed(self, server, group, limit, expected):
        self.assertLessEqual(server.line() + BESIDE_LINE, limit)
        self.assertEqual(server.complete(PROMPT, 24), expected)
        self.assertEqual(group.n_kills(), 0)

    def serve(self, group, *options, **env):
        return ConfinedServer(group, PLIMSOLL, "-m", self.model, "-c", "256", "-t", "2", "--parallel", "1", *options, env=env)

    def steps(self, server, limit):
        """Lower and lower limits, that a process below its line does not reach yet, as long as there is a lower line."""
        least = server.ask("/v1/engine/memory")["least_line_bytes"]
        for _ in range(1000 if NIGHT else 2):
            limit = min(limit, server.line() + BESIDE_LINE) // MIB * MIB - STEP
            if limit - BESIDE_LINE < least + 16 * MIB:
                break
            yield limit

    def test_a_hangup_takes_the_line_below_a_lowered_limit(self):
        config = pathlib.Path(self.folder.name) / "config.toml"
        config.write_text("")
        limit = self.whole + BESIDE_LINE
        with MemoryGroup(2 * limit) as parent, MemoryGroup(limit, parent) as group, \
                self.serve(group, PLIMSOLL_CONFIG=str(config)) as server:
            expected = server.complete(PROMPT, 24)
            for n, limit in enumerate(self.steps(server, limit), 1):
                (parent if n % 2 else group).set_limit(limit)  # that of either counts
                self.assertIn("moved from", server.hang_up())
                self.followed(server, group, limit, expected)
            before = server.line()
            limit = (before + BESIDE_LINE) // MIB * MIB - STEP
            group.set_limit(limit)
            config.write_text(f'memory = "{before // MIB - 1}M"')  # lower than it is, and not low enough
            self.assertRegex(server.hang_up(), rf"line stays at .* a line of {before // MIB - 1}(\.0)? MiB is too high: "
                             rf"the control group has a limit of {limit // MIB}(\.0)? MiB")
            self.assertEqual(server.line(), before)
            self.assertEqual(server.stop(), 0)
            self.assertEqual(group.n_kills() + parent.n_kills(), 0)
        print(f"{n} lowered limits followed on a hangup")

    def test_with_a_floor_it_follows_by_itself(self):
        limit = self.whole + BESIDE_LINE
        with MemoryGroup(limit) as group, \
                self.serve(group, "--memory", self.whole, "--memory-floor", "1M") as server:
            expected = server.complete(PROMPT, 24)
            for n, limit in enumerate(self.steps(server, limit), 1):
                group.set_limit(limit)
                while server.line() + BESIDE_LINE > limit:
                    self.assertIn("the control group has room for", server.said("^the line "))
                self.followed(server, group, limit, expected)
            with self.assertRaisesRegex(OSError, "409"):
                server.ask("/v1/engine/line", {"memory": f"{self.whole // MIB}M"}, "PUT")
            self.assertEqual(server.stop(), 0)
            self.assertEqual(group.n_kills(), 0)
        print(f"{n} lowered limits followed with a floor")


if __name__ == "__main__":
    unittest.main()
