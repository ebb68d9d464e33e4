#!/usr/bin/env python3
"""The curl examples of docs/api.md, run against a server with the bundled model.

usage: api_examples_test.py PLIMSOLL

A block of commands may be followed by what the last of them answers: JSON whose members the reply has
too, with values of the same types (of an array, its first item counts); or lines of a stream, each of
which the reply has likewise.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "api.md"
ADDRESS = "http://127.0.0.1:8642"
PLIMSOLL = sys.argv.pop(1)


def examples():
    """(commands, kind of the answer or None, answer) of the page."""
    blocks = re.findall(r"^```(sh|json|text)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    for i, (kind, text) in enumerate(blocks):
        if kind == "sh":
            # A command goes on as long as its quotation.
            commands = re.findall(r"^curl (?:[^'\n]|'[^']*')*$", text, re.MULTILINE)
            shown = blocks[i + 1] if i + 1 < len(blocks) and blocks[i + 1][0] != "sh" else (None, "")
            yield commands, *shown


def differences(shown, real, place="$"):
    """Where the reply lacks what is shown."""
    if isinstance(shown, dict) and isinstance(real, dict):
        for key, value in shown.items():
            if key not in real:
                yield f"{place}.{key} is missing"
            else:
                yield from differences(value, real[key], f"{place}.{key}")
    elif isinstance(shown, list) and isinstance(real, list):
        if shown and not real:
            yield f"{place} is empty"
        elif shown:
            yield from differences(shown[0], real[0], f"{place}[0]")
    elif isinstance(shown, (int, float)) and isinstance(real, (int, float)):
        if isinstance(shown, bool) != isinstance(real, bool):
            yield f"{place} is {real!r}"
    elif type(shown) is not type(real):
        yield f"{place} is {real!r}"


def as_json(line):
    try:
        return json.loads(line.removeprefix("data: "))
    except json.JSONDecodeError:
        return None


def has_line(shown, lines):
    value = as_json(shown)
    if value is None:
        return any(line.startswith(shown) for line in lines)
    real = filter(None, map(as_json, lines))
    return any(not list(differences(value, other)) for other in real)


class Examples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        words = [PLIMSOLL, "serve", "--port", "0", "--log-format", "none"]
        cls.server = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        said = ""
        for line in cls.server.stderr:
            said += line
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                cls.address = found.group(0)
                break
        else:
            raise RuntimeError(f"the server did not start: {said}")

    @classmethod
    def tearDownClass(cls):
        cls.server.terminate()
        cls.server.communicate(timeout=300)

    def run_command(self, command):
        command = command.replace(ADDRESS, self.address)
        done = subprocess.run(["bash", "-c", f"{command} --max-time 60 -w '\n%{{http_code}}'"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        reply, status = done.stdout.rsplit("\n", 1)
        return reply, int(status)

    def test_every_example(self):
        n_commands = 0
        for commands, kind, shown in examples():
            self.assertTrue(commands, shown)
            for command in commands:
                with self.subTest(command=command):
                    n_commands += 1
                    reply, status = self.run_command(command)
                    answer = shown if command is commands[-1] else ""
                    self.assertEqual(status >= 400, '{"error"' in answer, reply)
                    if kind == "json" and answer:
                        self.assertEqual(list(differences(json.loads(answer), json.loads(reply))), [], reply)
                    for line in answer.splitlines() if kind == "text" else ():
                        self.assertTrue(has_line(line, reply.splitlines()), f"{line}\nis not in\n{reply}")
        self.assertGreater(n_commands, 25)


if __name__ == "__main__":
    if shutil.which("curl") is None:
        sys.exit("this test needs curl")
    unittest.main()
