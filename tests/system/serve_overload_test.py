#!/usr/bin/python3
"""More work for the built server than it can do, and work of very unlike sizes.

usage: serve_overload_test.py PLIMSOLL [unittest arguments]

With PLIMSOLL_NIGHT in the environment the sizes are those of a night run. Prints figures; times decide nothing, since the
clients share the machine with the server, and both with others.
"""

import asyncio
import json
import random
import sys
import time
import unittest

from load_client import NIGHT, QUESTIONS, Client, LoadTest, Server, chat, percentile, raise_file_limit, wait_until_idle

PLIMSOLL = ""


class ServeOverload(LoadTest):
    async def asyncTearDown(self):
        self.assertEqual(self.server.stop(), 0)

    async def first_and_whole(self, client, body):
        """Seconds to the first token and to the end of a stream; or None, and the seconds of a refusal."""
        start = time.monotonic()
        await client.send("/v1/chat/completions", body)
        status, headers = await client.read_head()
        if status == 429:
            await client.read_body(headers)
            self.assertTrue(1 <= int(headers["retry-after"]) <= 60, headers)
            return None, time.monotonic() - start, int(headers["retry-after"])
        self.assertEqual(status, 200)
        first, data = None, b""
        async for chunk in client.chunks():
            data += chunk
            if first is None and b'"content":"' in data.replace(b'"content":""', b""):
                first = time.monotonic() - start
        self.assertTrue(data.endswith(b"data: [DONE]\n\n"), data[-200:])
        return first or time.monotonic() - start, time.monotonic() - start, 0

    # Reliability rows L4 and L10.
    async def test_ten_times_the_load(self):
        seconds, n_normal, max_queue = (600, 8, 16) if NIGHT else (3, 8, 16)
        peak_seconds = 20 if NIGHT else 1
        self.server = Server(PLIMSOLL, "--parallel", "8", "--max-running", "8", "--max-queue", str(max_queue))
        draw = random.Random(4)
        body = lambda: chat(draw.choice(QUESTIONS), stream=True, max_tokens=100)

        async def loop(end, figures, patient):
            client = await Client(self.server).open()
            n = 0
            while time.monotonic() < end:
                for _ in range(3):  # as the clients of OpenAI do
                    first, whole, retry = await self.first_and_whole(client, body())
                    n += 1
                    if first is not None:
                        figures["first"].append(first)
                        break
                    figures["refused"].append(whole)
                    await asyncio.sleep(retry * (0.75 + draw.random() / 2) if patient else 0.25)
                if n > 900:
                    client.close()
                    client, n = await Client(self.server).open(), 0
            client.close()

        async def run(n_clients, seconds, patient):
            figures = {"first": [], "refused": []}
            start = time.monotonic()
            await asyncio.gather(*(loop(start + seconds, figures, patient) for _ in range(n_clients)))
            return len(figures["first"]) / (time.monotonic() - start), figures

        over = asyncio.Event()
        lives, queues = [], []

        async def watch():
            client = await Client(self.server).open()
            n = 0
            while not over.is_set():
                start = time.monotonic()
                await client.get("/livez")
                lives.append(time.monotonic() - start)
                queues.append((await client.metrics())["num_requests_waiting"])
                await asyncio.sleep(0.05)
                n += 2
                if n > 900:
                    client.close()
                    client, n = await Client(self.server).open(), 0
            client.close()

        await run(n_normal, 0.5, True)
        peak, normal = await run(n_normal, peak_seconds, True)
        watching = asyncio.create_task(watch())
        # Those that are served, those that wait, and as many again and again.
        goodput, figures = await run(10 * n_normal, seconds, NIGHT)
        over.set()
        await watching
        idle = await wait_until_idle(self.server)
        _, back = await run(n_normal, peak_seconds, True)
        firsts = [percentile(times, 99) for times in (normal["first"], figures["first"], back["first"])]
        print(f"{10 * n_normal} clients for {seconds} s: {goodput:.1f} answers/s of {peak:.1f} at the peak "
              f"({100 * goodput / peak:.0f} %); {len(figures['refused'])} refusals, p50 "
              f"{percentile(figures['refused'], 50) * 1e3:.1f} ms, p99 {percentile(figures['refused'], 99) * 1e3:.1f}; "
              f"first token p99 {firsts[0]:.2f} s at the peak, {firsts[1]:.2f} above it, {firsts[2]:.2f} afterwards; at most "
              f"{max(queues):.0f} waited; /livez p50 {percentile(lives, 50) * 1e3:.1f} ms, p99.9 "
              f"{percentile(lives, 99.9) * 1e3:.1f}; idle {idle:.2f} s after the last")
        self.assertGreater(len(figures["refused"]), 20)
        self.assertLessEqual(max(queues), max_queue)

    # Reliability row L5.
    async def test_short_prompts_beside_a_long_one(self):
        n_short, n_rounds = (200, 3) if NIGHT else (40, 1)
        self.server = Server(PLIMSOLL, "--parallel", "2", "-c", "4096", "--max-queue", "1024")
        words = random.Random(5)
        n_long = 3600

        async def long_one():
            client = await Client(self.server).open()
            start = time.monotonic()
            # Of random tokens, so that nothing of it is there already.
            prompt = [words.randrange(300, 1000) for _ in range(n_long)]
            status, _ = await client.ask("/v1/completions", json.dumps({"prompt": prompt, "max_tokens": 100,
                                                                        "ignore_eos": True}).encode())
            self.assertEqual(status, 200)
            client.close()
            return time.monotonic() - start

        async def short_ones():
            firsts = []

            async def some(i):
                client = await Client(self.server).open()
                for j in range(n_short // 4):
                    question = f"{words.random()} {QUESTIONS[(i + j) % len(QUESTIONS)]}"
                    firsts.append((await self.first_and_whole(client, chat(question, stream=True, max_tokens=25)))[0])
                client.close()

            await asyncio.gather(*(some(i) for i in range(4)))
            return firsts

        await short_ones()
        alone, beside, long_alone, long_beside = [], [], [], []
        for _ in range(n_rounds):
            long_alone.append(await long_one())
            alone += await short_ones()
            task = asyncio.create_task(long_one())
            beside += await short_ones()
            long_beside.append(await task)
        p99 = percentile(alone, 99), percentile(beside, 99)
        print(f"{n_short} short prompts beside one of {n_long} tokens: first token p50 {percentile(alone, 50) * 1e3:.0f} and "
              f"{percentile(beside, 50) * 1e3:.0f} ms, p99 {p99[0] * 1e3:.0f} and {p99[1] * 1e3:.0f}; the long one took "
              f"{percentile(long_alone, 50):.2f} s alone and {percentile(long_beside, 50):.2f} s beside them")


if __name__ == "__main__":
    raise_file_limit()
    PLIMSOLL = sys.argv.pop(1)
    unittest.main(verbosity=2)
