#!/usr/bin/python3
"""Loads the built server: many streaming clients, clients that vanish, clients that do not read, bad requests among good ones.

usage: serve_load_test.py PLIMSOLL

With PLIMSOLL_NIGHT in the environment the sizes are those of a night run. Prints figures; times decide nothing.
"""

import asyncio
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time
import unittest

PLIMSOLL = ""
NIGHT = "PLIMSOLL_NIGHT" in os.environ
MIB = 1 << 20
LINE_MIB = 512
QUESTIONS = ["What is the capital of France?", "Tell me a story about a fox called Ada.", "Hello",
             "What is the capital of Japan?", "Tell me a story about a bear called Max."]


class Server:
    """plimsoll serve with the bundled model, on a port of its own."""

    def __init__(self, *options):
        self.process = subprocess.Popen(
            [PLIMSOLL, "serve", "--port", "0", "-c", "512", "--log-format", "none", "--memory", f"{LINE_MIB}M",
             *options], stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        match = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if match is None:
            raise AssertionError(f"the server said: {line}{self.process.stderr.read()}")
        self.port = int(match[1])

    def resident(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)
        return self.process.returncode


def chat(question, **members):
    return json.dumps({"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 40,
                       "ignore_eos": True, **members}).encode()


def head(path, body, method="POST"):
    return (f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode()


class Client:
    """One connection, kept alive."""

    def __init__(self, server):
        self.server = server
        self.reader = self.writer = None
        self.longest_gap = 0.0

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        return self

    def close(self):
        self.writer.close()

    async def send(self, path, body, method="POST"):
        self.writer.write(head(path, body, method) + body)
        await self.writer.drain()

    async def read_head(self):
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status = int(text.split()[1])
        headers = dict(line.lower().split(": ", 1) for line in text.split("\r\n")[1:] if ": " in line)
        return status, headers

    async def chunks(self):
        last = time.monotonic()
        while size := int(await self.reader.readline(), 16):
            data = await self.reader.readexactly(size + 2)
            now = time.monotonic()
            self.longest_gap = max(self.longest_gap, now - last)
            last = now
            yield data[:-2]
        await self.reader.readexactly(2)

    async def ask(self, path, body=b"", method="POST"):
        await self.send(path, body, method)
        status, headers = await self.read_head()
        if "content-length" in headers:
            return status, await self.reader.readexactly(int(headers["content-length"]))
        return status, b"".join([chunk async for chunk in self.chunks()])

    async def stream(self, body):
        """The text of a streamed chat, which must end as it should."""
        status, data = await self.ask("/v1/chat/completions", body)
        if status != 200 or not data.endswith(b"data: [DONE]\n\n"):
            raise AssertionError(f"{status}: {data[-300:]}")
        events = [json.loads(line[6:]) for line in data.decode().split("\n\n")
                  if line.startswith("data: {")]
        finishes = [choice["finish_reason"] for event in events for choice in event["choices"]
                    if choice["finish_reason"]]
        if len(finishes) != 1:
            raise AssertionError(f"finish reasons: {finishes}")
        return "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])


async def wait_until_idle(server):
    client = await Client(server).open()
    for _ in range(400):
        _, slots = await client.ask("/slots", method="GET")
        if json.loads(slots) == []:
            client.close()
            return
        await asyncio.sleep(0.05)
    raise AssertionError("requests of clients that have gone are still computed")


class ServeLoad(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.server = Server("--parallel", "8", "--max-queue", "4096")

    async def asyncTearDown(self):
        self.assertEqual(self.server.stop(), 0)

    async def answers_alone(self):
        client = await Client(self.server).open()
        answers = {question: await client.stream(chat(question, stream=True)) for question in QUESTIONS}
        client.close()
        return answers

    async def test_many_streams_say_what_one_says(self):
        alone = await self.answers_alone()
        end = time.monotonic() + (60 if NIGHT else 5)
        n_answers = 0
        peak = 0

        async def talk(number):
            nonlocal n_answers, peak
            client = await Client(self.server).open()
            while time.monotonic() < end:
                question = QUESTIONS[(number + n_answers) % len(QUESTIONS)]
                self.assertEqual(await client.stream(chat(question, stream=True)), alone[question])
                n_answers += 1
                peak = max(peak, self.server.resident())
            client.close()
            return client.longest_gap

        gaps = await asyncio.gather(*(talk(number) for number in range(64)))
        print(f"64 clients: {n_answers} answers, longest silence {max(gaps):.2f} s, resident {peak / MIB:.0f} MiB")
        self.assertGreaterEqual(n_answers, 64)
        self.assertLessEqual(peak, (LINE_MIB + 64) * MIB)

    async def test_clients_that_vanish_cost_nothing_and_disturb_nobody(self):
        alone = await self.answers_alone()
        before = self.server.resident()
        draw = random.Random(7)

        async def vanish():
            client = await Client(self.server).open()
            await client.send("/v1/chat/completions", chat(draw.choice(QUESTIONS), stream=True, max_tokens=400))
            stage = draw.randrange(4)
            if stage > 0:
                await client.read_head()
            for _ in range(stage * 3):
                await client.reader.readline()
            if draw.random() < 0.5:
                client.writer.transport.abort()
            else:
                client.close()

        async def stay():
            client = await Client(self.server).open()
            for question in QUESTIONS:
                self.assertEqual(await client.stream(chat(question, stream=True)), alone[question])
            client.close()

        for _ in range(50 if NIGHT else 4):
            await asyncio.gather(stay(), *(vanish() for _ in range(50)), return_exceptions=False)
        await wait_until_idle(self.server)
        grown = self.server.resident() - before
        print(f"after vanished clients: {grown / MIB:.1f} MiB more")
        self.assertLess(grown, 64 * MIB)

    async def test_readers_that_stand_still_do_not_hold_others_up(self):
        slow = []
        for _ in range(200 if NIGHT else 50):
            client = await Client(self.server).open()
            await client.send("/v1/chat/completions", chat(QUESTIONS[1], stream=True, max_tokens=400, n=2))
            slow.append(client)
        good = await Client(self.server).open()
        text = await good.stream(chat(QUESTIONS[0], stream=True))
        self.assertIn("Paris", text)
        good.close()
        for client in slow:
            client.close()
        await wait_until_idle(self.server)

    async def test_nonsense_is_refused_by_name_and_harms_nobody(self):
        draw = random.Random(11)
        good = json.loads(chat("Hello", max_tokens=1))
        values = [None, -1, 0, 1e308, -1e308, 2**63, 2**64, 0.5, "", "x" * 5000, [], {}, [[]] * 50, True, "\ud800",
                  float("nan"), [None], {"a": {"b": {"c": []}}}]
        members = [*good, "n", "top_p", "stop", "seed", "logit_bias", "tools", "tool_choice", "stream_options",
                   "top_logprobs", "logprobs", "max_completion_tokens", "presence_penalty", "response_format"]
        statuses = {}
        client = await Client(self.server).open()
        for i in range(10_000 if NIGHT else 1_000):
            body = dict(good)
            for _ in range(draw.randint(1, 3)):
                body[draw.choice(members)] = draw.choice(values)
            text = json.dumps(body).encode("utf-8", "surrogatepass")
            kind = draw.randrange(4)
            if kind == 0:
                text = text[:draw.randrange(len(text))]
            elif kind == 1:
                at = draw.randrange(len(text))
                text = text[:at] + bytes([draw.randrange(256)]) + text[at + 1:]
            elif kind == 2:
                text = b'{"messages":' + b"[" * draw.choice([10, 1000, 100_000])
            status, reply = await client.ask("/v1/chat/completions", text)
            statuses[status] = statuses.get(status, 0) + 1
            if status != 200:
                error = json.loads(reply)["error"]
                self.assertTrue(error["message"] and error["type"], reply)
            self.assertIn(status, (200, 400, 413, 422), f"{text[:300]} {reply}")
            if i % 900 == 899:  # of a connection at most 1,000
                client.close()
                client = await Client(self.server).open()
        print(f"nonsense: {statuses}")
        self.assertGreater(statuses.get(400, 0), 100)
        self.assertIn("Paris", await client.stream(chat(QUESTIONS[0], stream=True)))
        client.close()


if __name__ == "__main__":
    PLIMSOLL = sys.argv.pop(1)
    unittest.main(verbosity=2)
