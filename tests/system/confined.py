"""Runs a command inside a control group with a memory limit, and says what it took.

Page cache counts towards the limit, as for a container. Versions 1 and 2 of control groups are known; where none may
be made, MemoryGroup raises NotPermitted with the reason, and who needs one skips.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# The shell moves itself, so that nothing of the command is ever charged elsewhere.
JOIN = 'echo $$ > "$0" && exec "$@"'


class NotPermitted(Exception):
    """There is no control group for memory here, or none may be made."""


@dataclass
class Usage:
    peak_resident_bytes: int  # VmHWM of the process: its own and file pages
    major_faults: int  # that waited for a disk
    minor_faults: int
    read_bytes: int  # from disks, by faults as well as by reads
    group_peak_bytes: int  # of everything charged to the group, page cache too
    seconds: float


@dataclass
class Finished:
    returncode: int  # negative: the signal
    stdout: str
    stderr: str
    usage: Usage
    out_of_memory: bool  # the kernel killed something in the group
    timed_out: bool


class _Version1:
    limit, peak, used = "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.usage_in_bytes"
    swap = "memory.memsw.limit_in_bytes"  # with memory

    @staticmethod
    def make(name, parent):
        folder = (parent or ROOT / "memory") / name
        folder.mkdir()
        return folder

    @staticmethod
    def kills(folder):
        return _field(folder / "memory.oom_control", "oom_kill")


class _Version2:
    limit, peak, used = "memory.max", "memory.peak", "memory.current"
    swap = None  # without

    @staticmethod
    def make(name, parent):
        # Beside this process's own group: a group with processes cannot have groups under it that divide memory.
        if parent is None:
            own = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
            parent = (ROOT / own.lstrip("/")).parent if own != "/" else ROOT
        if "memory" not in (parent / "cgroup.subtree_control").read_text().split():
            (parent / "cgroup.subtree_control").write_text("+memory")
        folder = parent / name
        folder.mkdir()
        return folder

    @staticmethod
    def kills(folder):
        return _field(folder / "memory.events", "oom_kill")


def _field(file, name):
    for line in file.read_text().splitlines():
        words = line.split()
        if words[0] == name:
            return int(words[1])
    return 0


def _text(file):
    file.seek(0)
    return file.read().decode(errors="replace")


class MemoryGroup:
    """A group of its own with a limit; several commands may run in it one after the other.

    with MemoryGroup(512 << 20) as group:
        finished = group.run("plimsoll", "run", "-p", "Hello", timeout=300)

    With a parent, which has no commands of its own then, it lies below that one's limit as well.
    """

    def __init__(self, limit_bytes, parent=None):
        self._kind = _Version1 if (ROOT / "memory" / "memory.limit_in_bytes").exists() else _Version2
        # Names are not used again: another run of this process may still be going away.
        name = f"plimsoll-{os.getpid()}-{time.monotonic_ns()}"
        self._folder = None
        try:
            self._folder = self._kind.make(name, parent and parent._folder)
            # Without this a limit is only a limit until there is swap.
            if (self._folder / "memory.swap.max").exists():
                (self._folder / "memory.swap.max").write_text("0")
            self.set_limit(limit_bytes)
        except (OSError, StopIteration) as error:
            if self._folder is not None:
                self._folder.rmdir()
            raise NotPermitted(f"no control group with a memory limit can be made: {error}") from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end_all()
        for _ in range(100):  # a process that has ended may leave its group a moment later
            try:
                self._folder.rmdir()
                return
            except OSError:
                time.sleep(0.05)

    def set_limit(self, limit_bytes):
        """Also while something runs; OSError where the kernel cannot make what is used fit it."""
        files = [self._folder / self._kind.limit]
        if self._kind.swap and (self._folder / self._kind.swap).exists():
            files.append(self._folder / self._kind.swap)  # at no moment the lower one
            if limit_bytes > int(files[0].read_text()):
                files.reverse()
        for file in files:
            file.write_text(str(limit_bytes))

    def used(self):
        """Of its limit, page cache included."""
        return int((self._folder / self._kind.used).read_text())

    def n_kills(self):
        """For want of memory."""
        return self._kind.kills(self._folder)

    def start(self, *command, **options):
        """A process in the group, for whoever waits for it; its options are those of Popen."""
        words = ["sh", "-c", JOIN, self._folder / "cgroup.procs", *command]
        return subprocess.Popen([str(word) for word in words], **options)

    def run(self, *command, timeout, env=None, cwd=None):
        kills_before = self.n_kills()
        # In files, not pipes: nobody has to read while the command runs.
        with contextlib.ExitStack() as stack:
            out, err, report = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
            words = ["sh", "-c", JOIN, self._folder / "cgroup.procs", *command]
            started = time.monotonic()
            # A process begins with the peak of the one that it was forked from: let that be a small one.
            meter = subprocess.Popen(
                [sys.executable, "-I", __file__, str(report.fileno()), *map(str, words)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, cwd=cwd, pass_fds=[report.fileno()])
            timed_out = False
            try:
                meter.wait(timeout)
            except subprocess.TimeoutExpired:
                timed_out = True
            while meter.poll() is None:  # until then the command may still be on its way into the group
                self._end_all()
                time.sleep(0.01)
            self._end_all()  # what it started and left behind
            seconds = time.monotonic() - started
            texts = [_text(file) for file in (out, err)]
            used = json.loads(_text(report))
        usage = Usage(
            peak_resident_bytes=used["maxrss"] * 1024,
            major_faults=used["majflt"],
            minor_faults=used["minflt"],
            read_bytes=used["inblock"] * 512,
            group_peak_bytes=self._peak(),
            seconds=seconds,
        )
        killed = self.n_kills() > kills_before
        return Finished(used["returncode"], *texts, usage, killed, timed_out)

    def _peak(self):
        file = self._folder / self._kind.peak
        return int(file.read_text()) if file.exists() else 0  # before Linux 5.19 version 2 has none

    def _end_all(self):
        """Only what was started in this group is in it."""
        for pid in (self._folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def drop_from_cache(path):
    """Makes the next read of a file come from the disk. Needs no rights; pages that someone has mapped stay."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())  # only clean pages can go
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _meter(report, *words):
    """Runs a command and writes what it took to the file descriptor `report`."""
    process = subprocess.Popen(words, close_fds=True)
    _, status, used = os.wait4(process.pid, 0)
    figures = {name: getattr(used, f"ru_{name}") for name in ("maxrss", "majflt", "minflt", "inblock")}
    with open(int(report), "w") as file:
        json.dump({"returncode": os.waitstatus_to_exitcode(status), **figures}, file)


if __name__ == "__main__":
    _meter(*sys.argv[1:])
