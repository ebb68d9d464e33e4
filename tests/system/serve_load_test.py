#!/usr/bin/python3
"""Loads the built server: many streaming clients, and bad requests among good ones.

usage: serve_load_test.py PLIMSOLL

With PLIMSOLL_NIGHT in the environment the sizes are those of a night run. Prints figures; times decide nothing.
"""

import asyncio
import json
import random
import sys
import time
import unittest

from load_client import LINE_MIB, MIB, NIGHT, QUESTIONS, Client, LoadTest, Server, answers_alone, chat

PLIMSOLL = ""


class ServeLoad(LoadTest):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.server = Server(PLIMSOLL, "--parallel", "8", "--max-queue", "4096")

    async def asyncTearDown(self):
        self.assertEqual(self.server.stop(), 0)

    async def test_many_streams_say_what_one_says(self):
        alone = await answers_alone(self.server)
        end = time.monotonic() + (60 if NIGHT else 3)
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
