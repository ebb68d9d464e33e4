"""A built server and its clients, for the tests that load it. Not a test."""

import asyncio
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import threading
import time
import unittest

NIGHT = "PLIMSOLL_NIGHT" in os.environ
MIB = 1 << 20
LINE_MIB = 512
QUESTIONS = ["What is the capital of France?", "Tell me a story about a fox called Ada.", "Hello",
             "What is the capital of Japan?", "Tell me a story about a bear called Max."]


class LoadTest(unittest.IsolatedAsyncioTestCase):
    """One whose loop is not watched: that takes most of the time."""

    async def asyncSetUp(self):
        asyncio.get_running_loop().set_debug(False)


def raise_file_limit():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * percent / 100))]


class Server:
    """plimsoll serve with the bundled model, on a port of its own. What it says is kept."""

    def __init__(self, program, *options, log="none", env=None):
        self.process = subprocess.Popen(
            [program, "serve", "--port", "0", "-c", "512", "-t", "1", "--log-format", log, "--memory", f"{LINE_MIB}M", *options],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
        self.said = self.process.stderr.readline()
        match = re.search(r"http://127\.0\.0\.1:(\d+)", self.said)
        if match is None:
            raise AssertionError(f"the server said: {self.said}{self.process.stderr.read()}")
        self.port = int(match[1])
        binary = pathlib.Path(program).read_bytes()
        # Sanitizers keep what was freed for a while.
        self.slack = 512 * MIB if b"AddressSanitizer" in binary or b"ThreadSanitizer" in binary else 0
        self.reader = threading.Thread(target=self.keep, daemon=True)
        self.reader.start()

    def keep(self):
        for line in self.process.stderr:
            self.said += line

    def resident(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def n_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(300)
        self.reader.join(10)
        self.process.stderr.close()
        return code


def chat(question, **members):
    return json.dumps({"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 40,
                       "ignore_eos": True, **members}).encode()


def head(path, body, method="POST"):
    return (f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode()


def connect(server, address=0, receive_buffer=0):
    """A blocking socket. Servers take 256 connections of an address: others are of other ones."""
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.bind((f"127.0.0.{2 + address % 250}", 0))
    client.settimeout(300)
    client.connect(("127.0.0.1", server.port))
    return client


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

    async def read_body(self, headers):
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"]))
        return b"".join([chunk async for chunk in self.chunks()])

    async def ask(self, path, body=b"", method="POST"):
        await self.send(path, body, method)
        status, headers = await self.read_head()
        return status, await self.read_body(headers)

    async def get(self, path):
        status, body = await self.ask(path, method="GET")
        if status != 200:
            raise AssertionError(f"{path}: {status} {body}")
        return body.decode()

    async def metrics(self):
        """Values by name; of several labels the sum."""
        values = {}
        for line in (await self.get("/metrics")).splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                name = name.split("{")[0].removeprefix("plimsoll_")
                values[name] = values.get(name, 0) + float(value)
                for label, of in (('class="kv"', "budget_bytes"), ('limit="stall"', "http_limits_hit_total")):
                    if name == of and label in line:
                        values[f"{name} {label}"] = float(value)
        return values

    async def stream(self, body):
        """The text of a streamed chat, which must end as it should."""
        status, data = await self.ask("/v1/chat/completions", body)
        if status != 200:
            raise AssertionError(f"{status}: {data[-300:]}")
        return streamed_text(data)


def streamed_text(data):
    if not data.endswith(b"data: [DONE]\n\n"):
        raise AssertionError(f"no end: {data[-300:]}")
    events = [json.loads(line[6:]) for line in data.decode().split("\n\n") if line.startswith("data: {")]
    finishes = [choice["finish_reason"] for event in events for choice in event["choices"] if choice["finish_reason"]]
    if len(finishes) != 1:
        raise AssertionError(f"finish reasons: {finishes}")
    return "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])


async def answers_alone(server):
    client = await Client(server).open()
    answers = {question: await client.stream(chat(question, stream=True)) for question in QUESTIONS}
    client.close()
    return answers


async def wait_until_idle(server, seconds=120):
    """How long it takes."""
    start = time.monotonic()
    client = await Client(server).open()
    while time.monotonic() - start < seconds:
        if json.loads(await client.get("/slots")) == []:
            values = await client.metrics()
            if values["num_requests_waiting"] == 0 and values["http_requests_active"] <= 1:
                client.close()
                return time.monotonic() - start
        await asyncio.sleep(0.02)
    raise AssertionError("requests of clients that have gone are still computed")
