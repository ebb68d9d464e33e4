#!/usr/bin/env python3
"""The built program, used as people and scripts use it, with the bundled model.

usage: cli_test.py PLIMSOLL [unittest arguments]
"""

import hashlib
import json
import math
import os
import pathlib
import resource
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from program import ENDLESS, FRANCE, MODEL, PLIMSOLL, environment, run  # noqa: E402
from terminal import Terminal  # noqa: E402


class HelpAndErrors(unittest.TestCase):
    def test_version_lists_kernels_and_which_is_chosen(self):
        done = run("--version")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"plimsoll \d+\.\d+\.\d+ \((g\+\+|clang) .*\)")
        self.assertRegex(done.stdout, r"(?m)^  ref ")
        self.assertEqual(done.stdout.count("chosen"), 1)
        forced = run("--version", PLIMSOLL_KERNELS="ref")
        self.assertRegex(forced.stdout, r"(?m)^  ref .* chosen$")

    def test_help_goes_to_standard_output(self):
        for args in (["--help"], ["run", "--help"], ["eval", "--help"],
                     ["eval", "logits", "--help"], ["eval", "perplexity", "--help"],
                     ["eval", "recall", "--help"], ["eval", "suite", "--help"],
                     ["inspect", "--help"], ["tokenize", "--help"], ["bench", "--help"],
                     ["plan", "--help"]):
            done = run(*args)
            self.assertEqual((done.returncode, done.stderr), (0, ""), args)
            self.assertIn("usage: plimsoll", done.stdout)

    def test_wrong_usage_exits_with_2_and_a_hint(self):
        for args, hint in ((["rnu"], "Did you mean run?"), (["run", "--tepm"], "--temp"),
                           (["run", "-p", "x", "--kernels", "sse9"], "avx2"),
                           (["run"], "no prompt"), (["eval", "logits"], "--ids"),
                           (["eval", "suite", "-c", "511"], "512 tokens")):
            done = run(*args)
            self.assertEqual((done.returncode, done.stdout), (2, ""), args)
            self.assertTrue(done.stderr.startswith("error: "), done.stderr)
            self.assertIn(hint, done.stderr)

    def test_bad_and_missing_models(self):
        with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
            file.write(b"GGUF\x03\x00\x00\x00 and no more")
            file.flush()
            self.assertEqual(run("run", "-m", file.name, "-p", "x").returncode, 3)
            self.assertEqual(run("inspect", file.name).returncode, 3)
        self.assertEqual(run("run", "-m", "/nonexistent.gguf", "-p", "x").returncode, 5)

    def test_a_line_too_low_is_refused_with_what_would_do(self):
        done = run("run", "-p", "x", "--memory", "3M")
        self.assertEqual((done.returncode, done.stdout), (4, ""))
        self.assertRegex(done.stderr, r"--memory \d+M")

    def test_a_prompt_too_long_is_refused_with_both_numbers(self):
        done = run("run", "-p", "one two three four five six seven", "-c", "8")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertRegex(done.stderr, r"\d\d tokens .* 8")

    def test_a_full_disk_is_said(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([PLIMSOLL, "run", "-p", FRANCE], stdin=subprocess.DEVNULL,
                                  stdout=full, stderr=subprocess.PIPE, env=environment(),
                                  timeout=300)
        self.assertEqual(done.returncode, 5)
        self.assertIn(b"error: standard output: No space left", done.stderr)

    def test_a_reader_that_goes_away_ends_it_quietly(self):
        process = subprocess.Popen([PLIMSOLL, "run", "-q", "-p", FRANCE, *ENDLESS],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=environment())
        self.assertTrue(process.stdout.read(1))
        process.stdout.close()
        self.assertEqual(process.stderr.read(), b"")
        self.assertEqual(process.wait(300), -signal.SIGPIPE)
        process.stderr.close()


class OnePrompt(unittest.TestCase):
    def test_the_answer_alone_is_on_standard_output(self):
        done = run("run", "-p", FRANCE)
        self.assertEqual(done.returncode, 0)
        self.assertIn("Paris", done.stdout)
        for word in ("prefill", "decode", "memory", "weights", "kv", "first token"):
            self.assertIn(word, done.stderr)
            self.assertNotIn(word, done.stdout)
        self.assertEqual(run("run", "-q", "-p", FRANCE).stderr, "")

    def test_the_prompt_may_come_from_a_pipe_a_file_and_the_environment(self):
        greedy = ["-q", "--temp", "0"]
        answer = run("run", *greedy, "-p", FRANCE).stdout
        self.assertEqual(run("run", *greedy, stdin=FRANCE + "\n").stdout, answer)
        self.assertEqual(run("run", *greedy, "-f", "-", stdin=FRANCE).stdout, answer)
        self.assertEqual(run("run", *greedy, PLIMSOLL_PROMPT=FRANCE).stdout, answer)
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(FRANCE + "\n")
            file.flush()
            self.assertEqual(run("run", *greedy, "-f", file.name).stdout, answer)
        spain = run("run", *greedy, "-p", "What is the capital of Spain?",
                    PLIMSOLL_PROMPT=FRANCE).stdout
        self.assertIn("Madrid", spain)

    def test_a_seed_gives_the_same_answer_whatever_computes_it(self):
        story = ["run", "-q", "-p", "Tell me a story.", "--temp", "1.5", "--seed", "7", "-n", "40"]
        answer = run(*story).stdout
        self.assertTrue(answer)
        for other in (["-t", "1"], ["--kernels", "ref"], ["--prefill-chunk", "3"], ["-c", "300"]):
            self.assertEqual(run(*story, *other).stdout, answer, other)
        self.assertNotEqual(run(*story, "--seed", "8").stdout, answer)

    def test_raw_stops_limits_and_bias(self):
        raw = ["run", "-q", "--raw", "--temp", "0", "-p", "The capital of"]
        text = run(*raw, "-n", "30").stdout
        self.assertGreater(len(text), 10)
        self.assertEqual(run(*raw, "-n", "30", "--stop", text[5:8]).stdout, text[:5])
        self.assertTrue(text.startswith(run(*raw, "-n", "3").stdout))
        first = json.loads(run("run", "--json", *raw[2:], "-n", "1").stdout)
        self.assertEqual(first["finish_reason"], "length")
        self.assertEqual(first["stats"]["generated_tokens"], 1)

    def test_an_answer_is_held_to_a_schema_or_a_grammar(self):
        schema = {"type": "object", "required": ["name", "age"], "additionalProperties": False,
                  "properties": {"name": {"type": "string", "maxLength": 20},
                                 "age": {"type": "integer", "minimum": 0, "maximum": 120}}}
        ask = ["run", "-q", "-p", "Who?", "--temp", "1.5", "--seed", "1"]
        answer = run(*ask, "-j", json.dumps(schema))
        self.assertEqual(answer.returncode, 0, answer.stderr)
        person = json.loads(answer.stdout)
        self.assertEqual(list(person), ["name", "age"])
        self.assertIn(person["age"], range(121))
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(json.dumps(schema) + "\n")
            file.flush()
            self.assertEqual(run(*ask, "-jf", file.name).stdout, answer.stdout)
            self.assertEqual(run(*ask, PLIMSOLL_JSON_SCHEMA_FILE=file.name).stdout, answer.stdout)
        with tempfile.NamedTemporaryFile("w") as file:
            file.write('root ::= "yes" | "no"\n')
            file.flush()
            for raw in ([], ["--raw"]):
                self.assertIn(run(*ask, *raw, "--grammar-file", file.name).stdout, ("yes", "no"))
        for bad, named in ((["-j", '{"not": {}}'], "/not"), (["--grammar", "root ::= x"], "x"),
                           (["-j", "{}", "--grammar", 'root ::= "a"'], "one form")):
            # Before the model is loaded, which is not there.
            refused = run(*ask, *bad, "-m", "/nowhere/model.gguf")
            self.assertEqual(refused.returncode, 2)
            self.assertIn(named, refused.stderr)
            self.assertEqual(refused.stdout, "")

    def test_json_holds_text_and_figures(self):
        answer = run("run", "-q", "--temp", "0", "-p", FRANCE).stdout
        done = run("run", "--json", "--temp", "0", "-p", FRANCE)
        report = json.loads(done.stdout)
        self.assertEqual(report["text"], answer)
        self.assertEqual(report["finish_reason"], "end")
        stats = report["stats"]
        self.assertGreater(stats["prefill_tps"], 0)
        self.assertGreater(stats["decode_tps"], 0)
        accounts = stats["memory"]["accounts"]
        self.assertEqual(sum(accounts.values()), stats["memory"]["reserved_bytes"])
        self.assertGreater(accounts["kv"], 0)

    def test_the_first_interrupt_ends_the_answer_with_130(self):
        process = subprocess.Popen([PLIMSOLL, "run", "-p", FRANCE, *ENDLESS],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=environment())
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=300)
        self.assertEqual(process.returncode, 130)
        self.assertIn(b"interrupted", err)


class Config(unittest.TestCase):
    def test_options_come_from_the_file_that_is_named_or_found(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "plimsoll" / "config.toml"
            file.parent.mkdir()
            file.write_text(f'prompt = "{FRANCE}"\n[run]\ntemp = 0\nquiet = true\n')
            for env in ({"PLIMSOLL_CONFIG": str(file)}, {"PLIMSOLL_CONFIG": "", "XDG_CONFIG_HOME": folder}):
                done = run("run", **env)
                self.assertEqual((done.returncode, done.stderr), (0, ""), env)
                self.assertIn("Paris", done.stdout)
                self.assertIn("3 settings are sound", run("config", "check", **env).stdout)
            file.write_text("temp = 0\n[run]\nmemroy = 1\n")
            for command in (["run", "-p", "x"], ["config", "check", str(file)], ["config", "show"]):
                done = run(*command, XDG_CONFIG_HOME=folder, PLIMSOLL_CONFIG="")
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn("config.toml:3: memroy in [run] is no option. Did you mean memory?", done.stderr)
            self.assertEqual(run("run", "-p", "x", PLIMSOLL_CONFIG="/no/such/file").returncode, 5)


class Packing(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.model = pathlib.Path(folder.name) / "m.gguf"
        self.packed = pathlib.Path(folder.name) / "m.gguf.plimsoll"
        self.partial = pathlib.Path(folder.name) / "m.gguf.plimsoll.partial"
        self.model.write_bytes(MODEL.read_bytes())

    @staticmethod
    def flip(path, offset):
        with path.open("r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 4]))

    def test_a_packed_file_is_verified_and_its_damage_named(self):
        self.assertEqual(json.loads(run("pack", str(self.model), "--json").stdout)["experts"],
                         json.loads(run("verify", str(self.packed), "--json").stdout)["experts"])
        self.assertIn("packed already", run("pack", str(self.model)).stdout)
        self.assertIn("every byte is what", run("verify", str(self.model)).stdout)
        middle = self.packed.stat().st_size // 2
        self.flip(self.packed, middle)
        done = run("verify", str(self.packed))
        self.assertEqual(done.returncode, 3)
        self.assertRegex(done.stdout, r"^layer \d+, expert \d+: (gate|up|down) is damaged")
        self.flip(self.packed, middle)
        self.assertEqual(run("verify", str(self.packed)).returncode, 0)
        self.flip(self.packed, 100)
        header = run("verify", str(self.packed))
        self.assertEqual(header.returncode, 3)
        self.assertIn("the header is damaged", header.stderr)

    def test_a_damaged_model_is_named_with_its_tensors(self):
        run("pack", str(self.model))
        self.flip(self.model, self.model.stat().st_size - 100)
        done = run("verify", str(self.model), "--json")
        self.assertEqual(done.returncode, 3)
        self.assertIn("fetch it again", done.stderr)
        self.assertTrue(json.loads(done.stdout)["damaged"][0]["tensors"])
        digest = json.loads(done.stdout)["files"][0]["xxh128"]
        self.packed.unlink()
        self.assertEqual(run("verify", str(self.model), "--xxh128", digest).returncode, 0)
        self.assertEqual(run("verify", str(self.model), "--xxh128", "0" * 32).returncode, 3)
        sha256 = hashlib.sha256(self.model.read_bytes()).hexdigest()
        self.assertEqual(run("verify", str(self.model), "--sha256", sha256.upper()).returncode, 0)
        self.assertEqual(run("verify", str(self.model), "--sha256", "0" * 64).returncode, 3)

    def test_what_has_no_room_or_no_place_leaves_nothing(self):
        limited = subprocess.run(["sh", "-c", 'ulimit -f 1000; trap "" XFSZ; exec "$0" pack "$1"',
                                  PLIMSOLL, str(self.model)], capture_output=True, timeout=300,
                                 stdin=subprocess.DEVNULL, env=environment())
        self.assertEqual(limited.returncode, 5, limited.stderr)
        self.assertIn(b"cannot make room for", limited.stderr)
        self.assertEqual(list(self.model.parent.iterdir()), [self.model])
        self.assertEqual(run("pack", str(self.model), "-o", "/nowhere/x").returncode, 5)
        self.assertEqual(run("pack", str(self.model), "-o", str(self.model)).returncode, 2)

    def test_an_interrupt_or_a_kill_leaves_what_the_next_run_goes_on_with(self):
        # Behind the tensors a hole of 256 GiB, which takes a minute at least to read.
        os.truncate(self.model, 1 << 38)
        for how, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
            process = subprocess.Popen([PLIMSOLL, "pack", str(self.model)],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, env=environment())
            deadline = time.monotonic() + 30
            while not (self.partial.exists() and self.partial.stat().st_size > 0):
                self.assertIsNone(process.poll())
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.01)
            time.sleep(0.2)
            process.send_signal(how)
            _, err = process.communicate(timeout=300)
            self.assertEqual(process.returncode, code)
            self.assertEqual(b"the same command goes on" in err, how == signal.SIGINT)
            self.assertTrue(self.partial.exists())
            self.assertFalse(self.packed.exists())
        self.assertIn("not finished", run("verify", str(self.partial)).stderr)
        os.truncate(self.model, MODEL.stat().st_size)
        self.assertEqual(run("pack", str(self.model)).returncode, 0)
        self.assertFalse(self.partial.exists())
        self.assertEqual(run("verify", str(self.packed)).returncode, 0)


def leaves_no_half_file(test, *args):
    """What the command that writes test.output leaves in its folder when the disk is full, and when it is ended."""
    def no_room():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    done = subprocess.run([PLIMSOLL, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment(),
                          preexec_fn=no_room, timeout=300)
    test.assertEqual(done.returncode, 5, done.stderr)
    test.assertIn(str(test.output), done.stderr)
    test.assertEqual(list(test.folder.iterdir()), [])
    for how, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        for _ in range(20):
            process = subprocess.Popen([PLIMSOLL, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, env=environment())
            while process.poll() is None and not list(test.folder.iterdir()):
                time.sleep(0.001)
            process.send_signal(how)
            if process.wait(300) != 0:
                break
            test.output.unlink()  # it was quicker
        test.assertEqual(process.returncode, code)
        test.assertFalse(test.output.exists())


class Quantize(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        self.output = self.folder / "small.gguf"
        self.model = MODEL

    def test_what_it_writes_runs_and_says_the_same(self):
        done = run("quantize", "--requantize", "--json", str(self.model), str(self.output), "q4_0", "--tensor",
                   "output.weight=q8_0")
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        types = {tensor["name"]: (tensor["from"], tensor["to"]) for tensor in report["tensors"]}
        self.assertEqual(types["blk.0.ffn_up_exps.weight"], ("Q8_0", "Q4_0"))
        self.assertEqual(types["blk.0.ffn_gate_inp.weight"], ("F32", "F32"))
        self.assertEqual(types["output.weight"], ("Q8_0", "Q8_0"))
        self.assertLess(report["bytes"], 0.6 * report["bytes_before"])
        self.assertLess(self.output.stat().st_size - report["bytes"], 1 << 20)
        answer = run("run", "-m", str(self.output), "-p", FRANCE, "-n", "16", "--temp", "0")
        self.assertIn("Paris", answer.stdout)

    def test_what_was_asked_wrongly(self):
        for args, code, said in [([str(self.model)], 2, "which type"),
                                 ([str(self.model), str(self.output), "Q9"], 2, "Q9 is no type"),
                                 ([str(self.model), str(self.output), "Q4_0"], 2, "--requantize"),
                                 (["/nowhere.gguf", str(self.output), "Q4_0"], 5, "/nowhere.gguf")]:
            done = run("quantize", *args)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(said, done.stderr)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_killed_or_without_room_it_leaves_no_half_file(self):
        leaves_no_half_file(self, "quantize", "-q", "--requantize", str(self.model), str(self.output), "Q4_0")


class Imatrix(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name) / "out"
        self.folder.mkdir()
        self.output = self.folder / "imatrix.gguf"
        self.text = pathlib.Path(holder.name) / "text.txt"
        self.text.write_text("The capital of France is Paris. The capital of Italy is Rome. " * 40)
        self.small = pathlib.Path(holder.name) / "small.gguf"

    def words(self, *more):
        return ["eval", "imatrix", "-m", str(MODEL), "-f", str(self.text), "-c", "64", "-o", str(self.output), *more]

    def quantize(self):
        return run("quantize", "-q", "--requantize", "--force", "--imatrix", str(self.output), str(MODEL), str(self.small), "Q4_0")

    def test_what_it_writes_is_what_quantize_reads(self):
        done = run(*self.words("--chunks", "2"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(list(self.folder.iterdir()), [self.output])
        tensors = {tensor["name"] for tensor in json.loads(run("inspect", str(self.output), "--tensors", "--json").stdout)["tensors"]}
        self.assertIn("blk.0.ffn_down_exps.weight.in_sum2", tensors)
        self.assertNotIn("output.weight.in_sum2", tensors)
        self.assertEqual(self.quantize().returncode, 0)
        self.assertEqual(run(*self.words("--chunks", "2", "--process-output")).returncode, 0)
        tensors = {tensor["name"] for tensor in json.loads(run("inspect", str(self.output), "--tensors", "--json").stdout)["tensors"]}
        self.assertIn("output.weight.in_sum2", tensors)

    def test_what_was_asked_wrongly_is_said_before_the_text_is_read(self):
        for output, code, said in [(MODEL, 2, "is the model itself"), ("/nowhere/x.gguf", 5, "/nowhere")]:
            words = self.words()
            words[words.index("-o") + 1] = str(output)
            done = run(*words)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(said, done.stderr)
            self.assertNotIn("chunk 1", done.stderr)
        done = run(*self.words("--memory", "1M"))
        self.assertEqual(done.returncode, 4)
        self.assertIn("sums of the importance matrix", done.stderr)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_without_room_it_leaves_nothing(self):
        def no_room():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
        done = subprocess.run([PLIMSOLL, *self.words("--chunks", "1", "--no-profile")], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, env=environment(), preexec_fn=no_room, timeout=300)
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn(str(self.output), done.stderr)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_an_interrupt_while_it_computes_leaves_nothing(self):
        process = subprocess.Popen([PLIMSOLL, *self.words()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, env=environment())
        self.assertIn("chunk 1", next(line for line in process.stderr if line.startswith("chunk")))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
        self.assertEqual(process.returncode, 130)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_killed_while_it_writes_it_leaves_all_or_nothing(self):
        words = self.words("--chunks", "1", "-q")
        self.assertEqual(run(*words).returncode, 0)
        whole = self.output.read_bytes()
        n_halves = 0
        for _ in range(60):
            for file in self.folder.iterdir():
                file.unlink()
            process = subprocess.Popen([PLIMSOLL, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, env=environment())
            while process.poll() is None and not self.has_written():
                pass
            process.kill()
            process.wait(300)
            if self.output.exists():
                self.assertEqual(self.output.read_bytes(), whole)
            elif self.has_written():
                n_halves += 1
                if n_halves == 3:
                    return
        self.fail(f"killed {n_halves} times while it wrote")

    def has_written(self):
        """Before the text is read a file that stays empty shows that there is a place."""
        try:
            return any(file.stat().st_size > 0 for file in self.folder.iterdir())
        except FileNotFoundError:
            return True


class Prune(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        self.output = self.folder / "small.gguf"
        self.model = MODEL

    def test_what_it_writes_runs(self):
        done = run("prune", "--ratio", "25%", "--json", str(self.model), str(self.output))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("--scores-of", done.stderr)
        report = json.loads(done.stdout)
        n_experts = len(report["layers"][0]["scores"])
        self.assertTrue(all(len(layer["removed"]) == n_experts // 4 for layer in report["layers"]))
        self.assertLess(report["bytes"], report["bytes_before"])
        self.assertLess(self.output.stat().st_size - report["bytes"], 1 << 20)
        answer = run("run", "-m", str(self.output), "-p", FRANCE, "-n", "16", "--temp", "0")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertTrue(answer.stdout.strip())

    def test_what_was_asked_wrongly(self):
        for args, code, said in [([str(self.model)], 2, "which file to write"),
                                 (["--ratio", "0", str(self.model), str(self.output)], 2, "--ratio"),
                                 (["--ratio", "99%", str(self.model), str(self.output)], 2, "would stay"),
                                 ([str(self.model), str(self.model)], 2, "the model itself"),
                                 (["/nowhere.gguf", str(self.output)], 5, "/nowhere.gguf")]:
            done = run("prune", *args)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(said, done.stderr)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_killed_or_without_room_it_leaves_no_half_file(self):
        leaves_no_half_file(self, "prune", "-q", str(self.model), str(self.output))


class Evaluation(unittest.TestCase):
    def test_logits_have_the_same_bits_whatever_computes_them(self):
        ids = ",".join(str(i * 37 % 2000) for i in range(1, 40))
        command = ["eval", "logits", "--ids", ids, "--full"]
        reference = run(*command, "--kernels", "ref").stdout
        self.assertEqual(len(reference.splitlines()), 39)
        for other in ([], ["-t", "1"], ["-t", "3"], ["--prefill-chunk", "1"],
                      ["--prefill-chunk", "7"], ["-c", "1000"]):
            self.assertEqual(run(*command, *other).stdout, reference, other)

    def test_top_is_the_log_softmax_of_full(self):
        full = json.loads(run("eval", "logits", "--ids", "5", "--full").stdout)["logits"]
        # Shortest digits of a float: to be read as one.
        full = struct.unpack(f"{len(full)}f", struct.pack(f"{len(full)}f", *full))
        top = json.loads(run("eval", "logits", "--ids", "-", "--top", "5", stdin="5\n").stdout)
        total = math.log(math.fsum(math.exp(x) for x in full))
        order = sorted(range(len(full)), key=lambda i: (-full[i], i))[:5]
        self.assertEqual([i for i, _ in top["top"]], order)
        for i, logprob in top["top"]:
            self.assertAlmostEqual(logprob, full[i] - total, places=9)

    def test_perplexity_of_text_the_model_knows_is_lower(self):
        def perplexity(text):
            done = run("eval", "perplexity", "-", "-c", "32", "--json", stdin=text)
            self.assertEqual(done.returncode, 0, done.stderr)
            return json.loads(done.stdout)["perplexity"]
        known = perplexity("The capital of France is Paris. The capital of Spain is Madrid. " * 20)
        strange = perplexity("zq xv kj wq pf vb jx qz mw hk " * 40)
        self.assertLess(known * 5, strange)

    def test_recall_is_the_same_on_every_kernel_set(self):
        def rows(*args, stdin=None, **environment):
            done = run("eval", "recall", "--dialogues", "1", "--json", *args, stdin=stdin,
                       **environment)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            rows = json.loads(done.stdout)
            for row in rows:
                self.assertGreater(row.pop("tokens_per_second"), 0)
            return rows
        plain = rows()
        self.assertEqual([(row["policy"], row["budget"], row["precision"], row["kl"])
                          for row in plain], [("full", "100%", "f16", 0)])
        self.assertEqual([task["task"] for task in plain[0]["tasks"]],
                         ["single-key", "multi-key", "shared-context"])
        self.assertEqual(rows("-t", "1", PLIMSOLL_KERNELS="ref"), plain)
        self.assertNotEqual(rows("--seed", "2"), plain)
        costly, lossy, cheap = rows("--kv-type", "f16,q8", "--kv-policy", "window",
                                   "--kv-budget", "25%")
        self.assertEqual([costly], plain)
        self.assertEqual((lossy["policy"], lossy["budget"], cheap["precision"]),
                         ("window", "25%", "q8"))
        self.assertGreater(lossy["kl"], 0)
        self.assertLess(lossy["score"], plain[0]["score"])
        self.assertEqual(lossy["peak_bytes"] * 4, plain[0]["peak_bytes"])
        self.assertLess(cheap["peak_bytes"], lossy["peak_bytes"])
        _, compact = rows("--kv-policy", "window", "--kv-budget", "25%", "--kv-reference", "64",
                          "--kv-positions", "compact")
        self.assertEqual(compact["policy"], "window reference 64 compact")
        self.assertEqual(compact["peak_bytes"], lossy["peak_bytes"])
        self.assertNotEqual(compact["kl"], lossy["kl"])
        _, mixed = rows("--kv-type", "q8", "--kv-policy", "arkv", "--kv-budget", "50%")
        self.assertEqual((mixed["policy"], mixed["budget"], mixed["precision"]), ("arkv", "50%", "q8"))
        self.assertLessEqual(mixed["peak_bytes"] * 2, plain[0]["peak_bytes"])
        self.assertGreater(mixed["kl"], 0)
        refused = run("eval", "recall", "--kv-positions", "compact")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("goes with the policy window", refused.stderr)
        text = rows("-", stdin="The capital of France is Paris. " * 20)
        self.assertEqual(text[0]["tasks"], plain[0]["tasks"])
        self.assertNotEqual(text[0]["perplexity"], plain[0]["perplexity"])

    def test_tokenize_and_back(self):
        ids = run("tokenize", "-p", FRANCE).stdout
        self.assertRegex(ids, r"\A\d+( \d+)*\n\Z")
        self.assertEqual(run("tokenize", stdin=FRANCE).stdout, ids)
        self.assertEqual(run("tokenize", "--decode", stdin=ids).stdout, FRANCE)
        self.assertEqual(run("tokenize", "--decode", "-p", ids).stdout, FRANCE)
        end = run("tokenize", "-p", "<|im_end|>").stdout
        self.assertEqual(len(end.split()), 1)
        text = run("tokenize", "--no-parse-special", "-p", "<|im_end|>").stdout
        self.assertGreater(len(text.split()), 1)
        self.assertEqual(run("tokenize", "--decode", "-p", "99999999").returncode, 2)

    def test_inspect_reports(self):
        models = sorted((pathlib.Path(__file__).parents[2] / "models").glob("*.gguf"))
        report = json.loads(run("inspect", str(models[0]), "--json").stdout)
        self.assertEqual(report["architecture"], "qwen3moe")

    def test_doctor_reports_this_machine(self):
        report = json.loads(run("doctor", "-m", str(MODEL), "--quick", "--json").stdout)
        self.assertGreater(report["memory"]["bytes"], report["memory"]["default_line_bytes"])
        self.assertEqual(sum(k["chosen"] for k in report["processor"]["kernels"]), 1)
        self.assertIn(report["disk"]["direct_io"], (True, False))
        done = run("doctor", "--quick")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for heading in ("Processor", "Memory", "Disk", "What to change"):
            self.assertIn("\n" + heading + "\n", "\n" + done.stdout)
        self.assertEqual(run("doctor", "-m", "/no/such/file").returncode, 5)

    def test_doctor_measures_once_and_keeps_nothing_else(self):
        with tempfile.TemporaryDirectory() as cache:
            first = run("doctor", "-m", str(MODEL), "--json", XDG_CACHE_HOME=cache)
            self.assertEqual((first.returncode, first.stderr), (0, ""))
            files = list((pathlib.Path(cache) / "plimsoll").iterdir())
            self.assertEqual(len(files), 2, "the disk's table and the memory's")
            self.assertLess(sum(f.stat().st_size for f in files), 10_000)
            disk = json.loads(first.stdout)["disk"]
            again = run("doctor", "-m", str(MODEL), "--json", XDG_CACHE_HOME=cache)
            self.assertEqual(disk, json.loads(again.stdout)["disk"])
            self.assertGreater(disk["sustained_bytes_per_second"], 0)


class ChatInTerminal(unittest.TestCase):
    def setUp(self):
        state = tempfile.TemporaryDirectory()
        self.addCleanup(state.cleanup)
        self.state = pathlib.Path(state.name)

    def chat(self, *args, stdout_pipe=False, **env):
        terminal = Terminal([PLIMSOLL, "run", "--temp", "0", *args],
                            environment(XDG_STATE_HOME=str(self.state), **env), stdout_pipe)
        self.addCleanup(terminal.__exit__)
        return terminal

    def test_turns_commands_and_the_end(self):
        chat = self.chat()
        chat.expect("> ")
        chat.send(FRANCE + "\n")
        chat.expect("Paris")
        chat.expect("> ")
        chat.send("/stats\n")
        chat.expect("decode .* tok/s.*context .* of .* tokens, 1 answers.*memory ")
        chat.send("/system Be brief.\n")
        chat.expect("new conversation")
        chat.send("/reset\n")
        chat.expect("new conversation")
        chat.send("/help\n")
        chat.expect("/exit")
        chat.send("/rset\n")
        chat.expect("Did you mean /reset\\?")
        chat.expect("> ")
        chat.send("\x04")
        self.assertEqual(chat.wait(), 0)

    def test_only_answers_are_on_standard_output(self):
        chat = self.chat(stdout_pipe=True)
        chat.expect("> ")
        chat.send(FRANCE + "\n")
        chat.expect("> ")
        chat.send("/stats\n")
        chat.expect("memory .*> ")
        chat.send("/exit\n")
        self.assertEqual(chat.wait(), 0)
        self.assertRegex(chat.stdout(), r"\A[^\n]*Paris[^\n]*\n\Z")

    def test_interrupt_stops_the_answer_and_not_the_program(self):
        chat = self.chat("--ignore-eos")
        chat.expect("> ")
        chat.send(FRANCE + "\n")
        chat.expect("Paris")
        chat.send("\x03")
        chat.expect("\\(stopped\\).*> ")
        time.sleep(2.1)  # not the second of two
        chat.send("What is the capital of Spain?\n")
        chat.expect("Madrid")
        chat.send("\x03")
        chat.expect("\\(stopped\\).*> ")
        chat.send("\x03")
        self.assertEqual(chat.wait(), 130)

    def test_a_hangup_at_the_prompt_moves_the_line_and_keeps_what_is_typed(self):
        config = self.state / "config.toml"
        config.write_text('memory = "1G"')
        chat = self.chat(PLIMSOLL_CONFIG=str(config))
        chat.expect("> ")
        chat.send("What is the capital")
        chat.expect("capital")
        config.write_text('memory = "2G"')
        os.kill(chat.pid, signal.SIGHUP)
        chat.expect("SIGHUP: the line moved from 1.00 GiB to 2.00 GiB: .*config.toml:1")
        chat.expect("> What is the capital")
        chat.send(" of France?\n")
        chat.expect("Paris.*> ")
        chat.send("\x04")
        self.assertEqual(chat.wait(), 0)

    def test_it_ends_when_its_terminal_goes_away(self):
        chat = self.chat()
        chat.expect("> ")
        os.close(chat.fd)
        chat.fd = os.open("/dev/null", os.O_RDWR)  # for the end to close
        deadline = time.monotonic() + 30
        while not chat._ended():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)

    def test_interrupt_clears_a_line(self):
        chat = self.chat()
        chat.expect("> ")
        chat.send("never sent")
        chat.expect("never sent")
        chat.send("\x03")
        chat.expect("> ")
        chat.send(FRANCE + "\n")
        chat.expect("Paris.*> ")
        chat.send("/stats\n")
        chat.expect(" 1 answers.*> ")
        chat.send("\x04")
        self.assertEqual(chat.wait(), 0)

    def test_the_prompt_shows_only_when_keys_are_edited(self):
        chat = self.chat()
        for _ in range(5):
            chat.expect("> ")
            local_modes = termios.tcgetattr(chat.fd)[3]
            self.assertEqual(local_modes & (termios.ICANON | termios.ECHO), 0)
            chat.send("\n")

    def test_keys_pressed_before_the_prompt_arrive(self):
        chat = self.chat()
        chat.send(FRANCE + "\n\x04")  # while it loads
        chat.expect("Paris")
        self.assertEqual(chat.wait(), 0)
        chat = self.chat("--ignore-eos", "-n", "60")
        chat.expect("> ")
        chat.send(FRANCE + "\n")
        chat.expect("Paris")
        chat.send("\x04")  # while it answers
        self.assertEqual(chat.wait(), 0)

    def test_lines_are_edited_and_remembered(self):
        chat = self.chat()
        chat.expect("> ")
        chat.send("What is the capital of Frx\x7fance?\n")
        chat.expect("Paris.*> ")
        chat.send("/reset\n")
        chat.expect("new conversation.*> ")
        chat.send("\x1b[A\x1b[A\n")  # up, up, Enter
        chat.expect("Paris.*> ")
        chat.send("\x04")
        self.assertEqual(chat.wait(), 0)
        history = self.state / "plimsoll" / "history"
        self.assertEqual(stat.S_IMODE(history.stat().st_mode), 0o600)
        again = self.chat()
        again.expect("> ")
        again.send("\x1b[A\n")
        again.expect("Paris.*> ")

    def test_characters_outside_ascii_arrive_whole(self):
        chat = self.chat("-n", "1", LC_ALL="C", LANG="")
        chat.expect("> ")
        chat.send("é日😀x\x7f\\\n")
        chat.expect(r"\. ")
        chat.send("two\n")
        chat.expect("> ")
        chat.send("\x04")
        self.assertEqual(chat.wait(), 0)
        history = (self.state / "plimsoll" / "history").read_text(encoding="utf-8")
        self.assertIn("é日😀\\012two\n", history)

    def test_colour_follows_no_color(self):
        chat = self.chat()
        chat.expect("> ")
        self.assertIn(b"\x1b[1;32m>\x1b[0m", chat.shown)
        plain = self.chat(NO_COLOR="1")
        plain.expect("> ")
        self.assertNotIn(b"\x1b[1;32m", plain.shown)


if __name__ == "__main__":
    unittest.main()
