#!/usr/bin/python3
"""Clients that misuse the built server, beside others that must not notice.

usage: serve_abuse_test.py PLIMSOLL [unittest arguments]

With PLIMSOLL_NIGHT in the environment the sizes are those of a night run. Prints figures; what decides is that all good
clients are answered rightly, that memory stays bounded and that what is misused comes back. Times decide nothing: the
clients share the machine with the server, and both with others.
"""

import asyncio
import json
import multiprocessing
import random
import re
import socket
import struct
import sys
import threading
import time
import unittest

from load_client import (MIB, NIGHT, QUESTIONS, Client, LoadTest, Server, answers_alone, chat, connect, head, percentile,
                         raise_file_limit, streamed_text, wait_until_idle)

PLIMSOLL = ""
SHORT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2, "temperature": 0}
PLAIN_ROUTES = ["/livez", "/readyz", "/health", "/v1/models", "/metrics", "/slots", "/props", "/v1/engine/memory",
                "/api/tags", "/api/ps", "/api/version"]
ROUTES = [("GET", path, None) for path in PLAIN_ROUTES] + [("POST", path, body) for path, body in [
    ("/tokenize", {"content": "Hello"}),
    ("/detokenize", {"tokens": [20, 30]}),
    ("/apply-template", SHORT),
    ("/v1/chat/completions", SHORT),
    ("/v1/chat/completions", {**SHORT, "stream": True}),
    ("/v1/completions", {"prompt": "Hello", "max_tokens": 2}),
    ("/v1/embeddings", {"input": "a fox"}),
    ("/v1/responses", {"input": "Hello", "max_output_tokens": 2}),
    ("/v1/messages", {**SHORT, "model": ""}),
    ("/v1/messages/count_tokens", {**SHORT, "model": ""}),
    ("/api/chat", {**SHORT, "model": ""}),
    ("/api/generate", {"model": "", "prompt": "Hello", "options": {"num_predict": 2}}),
    ("/api/embed", {"model": "", "input": "a fox"}),
]]


class Beside:
    """Something that goes on in a process of its own until it is left; `count` is what it counted."""

    def __init__(self, work, *args):
        self.over = multiprocessing.Event()
        self.count = multiprocessing.Value("q", 0)
        self.process = multiprocessing.Process(target=work, args=(self.over, self.count, *args), daemon=True)

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *exception):
        self.over.set()
        self.process.join(60)


def send_slowly(over, n_cut, server, n):
    """n connections with a byte a second each, a half of them in the head and a half in the body. Whoever is cut comes
    again."""
    body = chat("Hello" * 100)
    text = head("/v1/chat/completions", body) + body
    n_head = len(text) - len(body)

    def begin(i):
        client = connect(server, i)
        client.setblocking(False)
        sent = 0
        if i % 2:
            client.send(text[:n_head])
            sent = n_head
        return client, sent

    clients = [begin(i) for i in range(n)]
    while not over.is_set():
        start = time.monotonic()
        for i, (client, sent) in enumerate(clients):
            try:
                client.send(text[sent:sent + 1])
                clients[i] = client, sent + 1
                if client.recv(1) is not None:  # an answer, or the end
                    raise ConnectionError
            except BlockingIOError:
                pass
            except OSError:
                n_cut.value += 1
                client.close()
                clients[i] = begin(i)
        over.wait(max(0, 1 - (time.monotonic() - start)))
    for client, _ in clients:
        client.close()


def read_slowly(over, _, server, n):
    """n streams with long events of which a byte a second is read; they may be cut."""
    body = chat(QUESTIONS[1], stream=True, max_tokens=400, logprobs=True, top_logprobs=20)
    text = head("/v1/chat/completions", body) + body
    clients = []
    for i in range(n):
        client = connect(server, i, receive_buffer=4096)
        client.sendall(text)
        client.setblocking(False)
        clients.append(client)
    while not over.is_set():
        start = time.monotonic()
        left = []
        for client in clients:
            try:
                if not client.recv(1):
                    raise ConnectionError
                left.append(client)
            except BlockingIOError:
                left.append(client)
            except OSError:
                client.close()
        clients = left
        over.wait(max(0, 1 - (time.monotonic() - start)))
    for client in clients:
        client.close()


class ServeAbuse(LoadTest):
    def serve(self, *options, **others):
        self.server = Server(PLIMSOLL, "--parallel", "8", "--max-queue", "8192", *options, **others)

    async def asyncTearDown(self):
        self.assertEqual(self.server.stop(), 0)

    async def ask_all_routes(self, n_clients, seconds):
        """Latencies of clients that ask one route after another, all of them answered."""
        times = []
        end = time.monotonic() + seconds

        async def ask(number):
            client = await Client(self.server).open()
            i = number
            while time.monotonic() < end or len(times) < 2 * len(ROUTES):
                method, path, body = ROUTES[i % len(ROUTES)]
                start = time.monotonic()
                status, _ = await client.ask(path, json.dumps(body).encode() if body else b"", method)
                times.append(time.monotonic() - start)
                self.assertEqual(status, 200, path)
                i += 1
                await asyncio.sleep(0.5)
            client.close()

        await asyncio.gather(*(ask(i) for i in range(n_clients)))
        return times

    # Issue: 1,000 connections of which 900 send one byte a second.
    async def test_slow_senders_beside_good_clients_on_all_routes(self):
        n_slow, n_good, seconds = (900, 100, 30) if NIGHT else (180, 20, 1.5)
        limits = [] if NIGHT else ["--header-seconds", "1", "--body-window-seconds", "1"]
        self.serve(*limits)
        await self.ask_all_routes(n_good, 0)
        observer = await Client(self.server).open()
        alone = await self.ask_all_routes(n_good, seconds)
        # What the prefix cache keeps of answered requests grows for as long as good clients ask.
        values = await observer.metrics()
        memory, kept_before = values["http_memory_bytes"], values["prefix_cache_bytes"]
        before, n_files = self.server.resident(), self.server.n_files()
        with Beside(send_slowly, self.server, n_slow) as slow:
            while (await observer.metrics())["http_connections"] < n_slow:
                await asyncio.sleep(0.05)
            beside = await self.ask_all_routes(n_good, seconds)
            most = self.server.resident()
            for _ in range(400):  # the limits' seconds may not be over yet
                if slow.count.value > n_slow // 2:
                    break
                await asyncio.sleep(0.05)
        for _ in range(400):
            values = await observer.metrics()
            if values["http_connections"] == 1 and self.server.n_files() <= n_files + 4:
                break
            await asyncio.sleep(0.05)
        observer.close()
        after, kept = self.server.resident(), values["prefix_cache_bytes"] - kept_before
        p50, p99 = (percentile(alone, 50), percentile(beside, 50)), (percentile(alone, 99), percentile(beside, 99))
        print(f"{n_slow} slow senders ({slow.count.value} times cut), {n_good} good clients: {len(alone)} answers alone, "
              f"{len(beside)} beside; p50 {p50[0] * 1e3:.1f} and {p50[1] * 1e3:.1f} ms, p99 {p99[0] * 1e3:.1f} and "
              f"{p99[1] * 1e3:.1f} ms; resident {before / MIB:.1f} MiB, {most / MIB:.1f}, then {after / MIB:.1f}, "
              f"{kept / MIB:.1f} of it kept of prompts")
        self.assertGreater(slow.count.value, n_slow // 2)
        self.assertEqual(values["http_connections"], 1)
        self.assertLessEqual(self.server.n_files(), n_files + 4)
        self.assertLess(values["http_memory_bytes"], memory + MIB)
        self.assertLess(after - before - kept, 16 * MIB + self.server.slack)

    # Reliability row L1.
    async def test_slow_readers_beside_good_clients(self):
        n_slow, n_good, seconds = (1000, 32, 20) if NIGHT else (60, 8, 1)
        # None is cut, however long a busy machine needs to make as much as all of them may leave unsent.
        self.serve("--max-unsent-bytes", "32K", "--max-connection-memory", "160M", "--stall-seconds", "3600")
        alone_text = await answers_alone(self.server)
        observer = await Client(self.server).open()

        async def answers(seconds):
            n, times, end = 0, [], time.monotonic() + seconds
            start = time.monotonic()

            async def ask(i):
                nonlocal n
                client = await Client(self.server).open()
                while time.monotonic() < end:
                    question = QUESTIONS[i % len(QUESTIONS)]
                    begun = time.monotonic()
                    self.assertEqual(await client.stream(chat(question, stream=True)), alone_text[question])
                    times.append(time.monotonic() - begun)
                    n, i = n + 1, i + 1
                client.close()

            await asyncio.gather(*(ask(i) for i in range(n_good)))
            return n / (time.monotonic() - start), percentile(times, 99)

        await answers(0.5)
        kv = 'budget_bytes class="kv"'
        kv_before, before = (await observer.metrics())[kv], self.server.resident()
        alone, alone_p99 = await answers(seconds)
        with Beside(read_slowly, self.server, n_slow):
            start = time.monotonic()
            paused = 0
            while paused < n_slow and time.monotonic() - start < 300:
                await asyncio.sleep(0.2)
                paused = sum(not slot["is_processing"] for slot in json.loads(await observer.get("/slots")))
            waited = time.monotonic() - start
            kept = (await observer.metrics())[kv] - kv_before  # which the slow ones have computed
            most = self.server.resident()
            beside, beside_p99 = await answers(seconds)
        each = (most - before - kept) / 1024 / n_slow
        await wait_until_idle(self.server)
        observer.close()
        again, again_p99 = await answers(seconds)  # a machine that others share is not always as quick
        print(f"{n_slow} slow readers: {paused} paused after {waited:.1f} s, {each:.1f} KiB each; "
              f"{n_good} good clients: {alone:.1f} and {again:.1f} answers/s alone before and "
              f"after, {beside:.1f} beside ({200 * beside / (alone + again):.0f} %), "
              f"p99 {alone_p99:.2f} and {again_p99:.2f} s alone, {beside_p99:.2f} beside")
        self.assertEqual(paused, n_slow)
        # A few clients share what the first one takes.
        self.assertLess(each, (96 if NIGHT else 320) + self.server.slack / 1024 / n_slow)

    # Reliability row L1, its end.
    async def test_readers_that_take_nothing_are_cut(self):
        n_slow = 1000 if NIGHT else 30
        self.serve("--max-unsent-bytes", "32K", "--max-connection-memory", "160M", "--stall-seconds", "1")
        alone_text = await answers_alone(self.server)
        observer = await Client(self.server).open()
        client = await Client(self.server).open()
        with Beside(read_slowly, self.server, n_slow):
            cut = n_same = 0
            start = time.monotonic()
            while cut < n_slow and time.monotonic() - start < 300:
                question = QUESTIONS[n_same % len(QUESTIONS)]
                self.assertEqual(await client.stream(chat(question, stream=True)), alone_text[question])
                n_same += 1
                cut = (await observer.metrics())['http_limits_hit_total limit="stall"']
            seconds = time.monotonic() - start
        client.close()
        await wait_until_idle(self.server)
        values = await observer.metrics()
        observer.close()
        print(f"{n_slow} readers that took nothing for a second: {cut:.0f} cut within {seconds:.1f} s, "
              f"{n_same} answers beside them were right")
        self.assertEqual(cut, n_slow)
        self.assertEqual(values["requests_failed_total"], 0)

    # Reliability row L3. A drop without a word needs a network that loses; the stall and idle limits are for it.
    async def test_clients_that_vanish_at_any_moment(self):
        n_vanishing = 100_000 if NIGHT else 700
        # A line for 8 contexts and not for a ninth: a block that is lost is missed.
        self.serve("--memory", "34400K", "--max-connection-memory", "16M", "-c", "256")
        alone = await answers_alone(self.server)
        await self.fill_contexts()
        observer = await Client(self.server).open()
        before = await observer.metrics()
        resident, n_files = self.server.resident(), self.server.n_files()
        vanished = [0] * len(STAGES)
        unclosed = []
        n_threads = 8
        left = threading.Semaphore(n_vanishing)
        draws = [random.Random(seed) for seed in range(n_threads)]

        def vanish(draw):
            while left.acquire(blocking=False):
                stage = draw.randrange(len(STAGES))
                try:
                    if not leave(self.server, stage, draw):
                        unclosed.append(STAGES[stage])
                except OSError as error:
                    unclosed.append(f"{STAGES[stage]}: {error}")
                vanished[stage] += 1

        threads = [threading.Thread(target=vanish, args=(draw,)) for draw in draws]
        start = time.monotonic()
        for thread in threads:
            thread.start()
        n_same = 0
        client = await Client(self.server).open()
        while any(thread.is_alive() for thread in threads):
            question = QUESTIONS[n_same % len(QUESTIONS)]
            self.assertEqual(await client.stream(chat(question, stream=True)), alone[question])
            n_same += 1
            if n_same % 900 == 0:
                client.close()
                client = await Client(self.server).open()
        client.close()
        seconds = time.monotonic() - start
        idle = await wait_until_idle(self.server)
        grown = self.server.resident() - resident
        observer.close()
        observer = await Client(self.server).open()
        between = await observer.metrics()
        await self.fill_contexts()
        after = await observer.metrics()
        observer.close()
        print(f"{sum(vanished)} clients vanished in {seconds:.0f} s ({dict(zip(STAGES, vanished))}), {n_same} answers beside "
              f"them were right; idle {idle * 1e3:.0f} ms after the last, {grown / MIB:.1f} MiB more")
        self.assertEqual(unclosed, [])
        self.assertEqual(after["requests_failed_total"], 0)
        # All blocks can be had again: as many contexts as before, and none had to give way to another.
        self.assertEqual(after["requests_preempted_total"], between["requests_preempted_total"])
        kv = 'budget_bytes class="kv"'
        self.assertLess(after[kv], before[kv] + 2 * MIB)
        self.assertLessEqual(self.server.n_files(), n_files)
        self.assertLess(grown, 32 * MIB + self.server.slack)

    async def fill_contexts(self):
        """Every context that the server has promised, to its last token."""

        async def fill(i):
            client = await Client(self.server).open()
            await client.stream(chat(f"{i} " + QUESTIONS[1], stream=True, max_tokens=None))
            client.close()

        await asyncio.gather(*(fill(i) for i in range(8)))
        await wait_until_idle(self.server)

    # Reliability row X6.
    async def test_nobody_sees_a_word_of_another(self):
        n_rounds = 40 if NIGHT else 1
        self.serve("--max-connections-per-address", "1024", log="json")
        draw = random.Random(6)
        pattern = re.compile(rb"zq[0-9a-f]{12}")

        async def ask(marker, number):
            own = f"My secret is {marker}."
            client = await Client(self.server).open()
            seen = b""
            for path, body in ((f"/v1/completions", {"prompt": own, "echo": True, "max_tokens": 20}),
                               ("/v1/completions", {"prompt": own, "echo": True, "stream": True, "max_tokens": 20}),
                               ("/v1/chat/completions", {"messages": [{"role": "user", "content": own}], "stream": True,
                                                         "temperature": 1.3, "max_tokens": 30, "logprobs": True}),
                               ("/v1/messages", {"model": "", "max_tokens": 20, "system": own,
                                                 "messages": [{"role": "user", "content": "Tell me my secret."}]}),
                               ("/v1/responses", {"input": own, "max_output_tokens": 20}),
                               ("/api/generate", {"model": "", "prompt": own, "raw": True}),
                               ("/apply-template", {"messages": [{"role": "user", "content": own}]}),
                               ("/v1/chat/completions", {"messages": [{"role": marker, "content": own}]}),
                               ("/v1/chat/completions", {"messages": own, "model": marker}),
                               ("/v1/chat/completions", {"model": marker, "messages": [{"role": "user", "content": own}]}),
                               ("/v1/completions", {"prompt": own * 200}),
                               (f"/{marker}", {})):
                text = json.dumps(body).encode()
                client.writer.write(head(path, text).replace(b"\r\n\r\n", f"\r\nx-api-key: {marker}\r\n\r\n".encode()) + text)
                _, headers = await client.read_head()
                seen += str(headers).encode() + await client.read_body(headers)
                if number % 8 == 0 and path == "/v1/chat/completions":
                    seen += (await client.get("/slots") + await client.get("/metrics") + await client.get("/props")).encode()
            client.close()
            found = set(pattern.findall(seen))
            self.assertEqual(found - {marker.encode()}, set())
            return marker.encode() in found

        n_own = 0
        markers = []
        for _ in range(n_rounds):
            some = [f"zq{draw.getrandbits(48):012x}" for _ in range(64)]
            markers += some
            n_own += sum(await asyncio.gather(*(ask(marker, i) for i, marker in enumerate(some))))
        self.assertEqual(n_own, len(markers))  # each was told its own, so the pattern finds what there is
        self.assertGreater(self.server.said.count('"event":"request"'), 10 * len(markers))
        self.assertNotRegex(self.server.said, "zq[0-9a-f]{6}|secret")
        print(f"{len(markers)} markers of 64 clients at a time: each seen by its own client alone, none in "
              f"{self.server.said.count(chr(10))} lines of the log")


STAGES = ["connect", "head", "body", "queue", "prefill", "decode", "last byte"]


def leave(server, stage, draw):
    """Connects, goes as far as the stage, and leaves. False when the server keeps the connection of one that half-closed."""
    client = connect(server, draw.randrange(250))
    name = STAGES[stage]
    words = " ".join(str(draw.randrange(10)) for _ in range(150)) if name == "prefill" else "Hello"
    body = chat(words, stream=draw.random() < 0.8 or name in ("decode", "last byte"),
                max_tokens=2 if name == "last byte" else 300)
    text = head("/v1/chat/completions", body) + body
    if name == "head":
        client.sendall(text[:draw.randrange(1, len(text) - len(body))])
    elif name == "body":
        client.sendall(text[:len(text) - draw.randrange(1, len(body))])
    elif name != "connect":
        client.sendall(text)
    data = b""
    if name == "prefill":
        time.sleep(draw.random() * 0.02)
    elif name == "decode":
        while data.count(b"data: ") < draw.randrange(2, 6):
            data += client.recv(4096)
    elif name == "last byte":
        while b"[DONE]" not in data:
            data += client.recv(4096)
    manner = draw.randrange(3)
    closed = True
    if manner == 0:  # a reset
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif manner == 1:  # half-closes, and waits for the other half
        try:
            client.shutdown(socket.SHUT_WR)
            client.settimeout(300)
            while client.recv(65536):
                pass
        except socket.timeout:
            closed = False
        except ConnectionError:
            pass
    client.close()
    return closed


if __name__ == "__main__":
    raise_file_limit()
    PLIMSOLL = sys.argv.pop(1)
    unittest.main(verbosity=2)
