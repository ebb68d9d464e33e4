"""A program on a terminal of its own, driven as a person would."""

import os
import pty
import re
import select
import signal
import time

TIMEOUT_S = 60
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")


class Terminal:
    """Runs `command` with standard input and error on a pseudo-terminal.

    Standard output goes to the terminal too, or with `stdout_pipe` to a pipe whose content
    `stdout()` returns after the end.
    """

    def __init__(self, command, env, stdout_pipe=False):
        self.seen = b""
        self.shown = b""
        read_end, write_end = os.pipe() if stdout_pipe else (None, None)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            if stdout_pipe:
                os.dup2(write_end, 1)
            try:
                os.execve(command[0], command, env)
            finally:
                os._exit(127)
        self.stdout_fd = read_end
        if stdout_pipe:
            os.close(write_end)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self.fd)
        if self.stdout_fd is not None:
            os.close(self.stdout_fd)

    def send(self, text):
        os.write(self.fd, text.encode() if isinstance(text, str) else text)

    def _read(self, timeout):
        if not select.select([self.fd], [], [], timeout)[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # the other side is closed
            data = b""
        self.shown += data
        self.seen += ESCAPES.sub(b"", data)
        return bool(data)

    def expect(self, pattern):
        """Waits until `pattern` shows up behind what was expected before; returns the match."""
        deadline = time.monotonic() + TIMEOUT_S
        regex = re.compile(pattern.encode(), re.DOTALL)
        while True:
            match = regex.search(self.seen)
            if match:
                self.seen = self.seen[match.end():]
                return match.group(0).decode(errors="replace")
            left = deadline - time.monotonic()
            if left <= 0 or (not self._read(min(left, 1)) and self._ended()):
                match = regex.search(self.seen)
                if not match:
                    raise AssertionError(f"{pattern!r} did not show up in {self.seen!r}")

    def _ended(self):
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self):
        """The exit code, after reading the rest of what is shown."""
        deadline = time.monotonic() + TIMEOUT_S
        while not self._ended():
            if time.monotonic() > deadline:
                raise AssertionError(f"still running; shown last: {self.seen!r}")
            self._read(0.1)
        while self._read(0):
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def stdout(self):
        with os.fdopen(os.dup(self.stdout_fd), "rb") as pipe:
            return pipe.read().decode()
