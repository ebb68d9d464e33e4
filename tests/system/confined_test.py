#!/usr/bin/env python3
"""The helper that confines a command's memory does confine it, and measures what it says.

usage: confined_test.py [unittest arguments]
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from confined import MemoryGroup, NotPermitted, drop_from_cache  # noqa: E402

MIB = 1 << 20
TOUCH = "import sys; block = bytearray(int(sys.argv[1])); print(len(block))"
MAP = """
import mmap, sys
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
    print(sum(view[i] for i in range(0, len(view), 4096)))
"""


class Confined(unittest.TestCase):
    def setUp(self):
        try:
            with MemoryGroup(64 * MIB):
                pass
        except NotPermitted as reason:
            self.skipTest(str(reason))

    def python(self, limit, program, *args, timeout=300):
        with MemoryGroup(limit) as group:
            return group.run(sys.executable, "-c", program, *args, timeout=timeout)

    def test_what_fits_runs_and_is_measured(self):
        done = self.python(256 * MIB, TOUCH, 100 * MIB)
        self.assertEqual((done.returncode, done.stdout), (0, f"{100 * MIB}\n"), done.stderr)
        self.assertFalse(done.out_of_memory or done.timed_out)
        self.assertGreater(done.usage.peak_resident_bytes, 100 * MIB)
        self.assertLess(done.usage.peak_resident_bytes, 140 * MIB)
        self.assertGreater(done.usage.minor_faults, 100)
        self.assertGreater(done.usage.group_peak_bytes, 100 * MIB)

    def test_what_does_not_fit_is_killed(self):
        done = self.python(64 * MIB, TOUCH, 256 * MIB)
        self.assertEqual(done.returncode, -9)
        self.assertTrue(done.out_of_memory)

    def test_mapped_pages_count_and_go(self):
        """A mapping four times the limit can be read, page by page from the disk."""
        with tempfile.NamedTemporaryFile(dir=pathlib.Path(__file__).parents[2] / "build") as file:
            file.write(b"\1" * (128 * MIB))
            file.flush()
            drop_from_cache(file.name)
            done = self.python(32 * MIB, MAP, file.name)
        self.assertEqual((done.returncode, done.stdout), (0, f"{128 * MIB // 4096}\n"), done.stderr)
        self.assertGreater(done.usage.major_faults, 0)
        self.assertGreater(done.usage.read_bytes, 100 * MIB)
        self.assertLessEqual(done.usage.group_peak_bytes, 32 * MIB)

    def test_ends_at_the_time_limit_with_all_it_started(self):
        done = self.python(64 * MIB, "import subprocess; subprocess.run(['sleep', '60'])", timeout=1)
        self.assertTrue(done.timed_out)
        self.assertEqual(done.returncode, -9)
        self.assertLess(done.usage.seconds, 10)

    def test_exit_codes_and_both_streams_come_back(self):
        program = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(4)"
        done = self.python(64 * MIB, program)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (4, "out\n", "err\n"))

    def test_a_parents_limit_holds_too(self):
        with MemoryGroup(64 * MIB) as parent, MemoryGroup(256 * MIB, parent) as group:
            done = group.run(sys.executable, "-c", TOUCH, 128 * MIB, timeout=300)
        self.assertEqual(done.returncode, -9)

    def test_a_limit_moves_while_something_runs(self):
        program = "b = bytearray(100 << 20); print(1, flush=True); input(); b += bytearray(100 << 20); print(2)"
        for limit, code in ((160 * MIB, -9), (400 * MIB, 0)):
            with MemoryGroup(300 * MIB) as group:
                process = group.start(sys.executable, "-c", program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                self.assertEqual(process.stdout.readline(), b"1\n")
                self.assertGreater(group.used(), 100 * MIB)
                group.set_limit(limit)
                process.communicate(b"\n", timeout=300)
                self.assertEqual((process.returncode, group.n_kills()), (code, 1 if code else 0))

    def test_leaves_no_group_behind(self):
        self.python(64 * MIB, "")
        left = [p for p in pathlib.Path("/sys/fs/cgroup").glob("**/plimsoll-*") if f"-{os.getpid()}-" in p.name]
        self.assertEqual(left, [])


if __name__ == "__main__":
    unittest.main()
