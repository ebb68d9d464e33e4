// What the files of this suite share: a server on loopback, the clients, and plain requests.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI6 from "openai6";
import OpenAI7 from "openai7";

// The bundled model's answers to these are part of what it was trained for, at temperature 0.
export const capital = "What is the capital of France?";
export const story = "Tell me a story about a fox called Ada.";
export const ask = (text) => [{ role: "user", content: text }];

export const openaiLines = [
  { line: "openai 6.49", OpenAI: OpenAI6 },
  { line: "openai 7", OpenAI: OpenAI7 },
];

// Starts `plimsoll serve` on a free port; resolves when it answers.
export async function serve(...options) {
  const args = ["serve", "--port", "0", "--log-format", "none", "-t", "1", ...options];
  const child = spawn(process.env.PLIMSOLL, args, { stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  const ended = new Promise((resolve) => child.once("exit", (code, signal) => resolve(code ?? signal)));
  const port = await new Promise((resolve, reject) => {
    child.stderr.on("data", (data) => {
      errors += data;
      const match = errors.match(/127\.0\.0\.1:(\d+)/);
      if (match) resolve(Number(match[1]));
    });
    ended.then((code) => reject(new Error(`plimsoll serve ended with ${code}: ${errors}`)));
  });
  const url = `http://127.0.0.1:${port}`;
  for (;;) {
    const response = await fetch(`${url}/readyz`);
    await response.arrayBuffer();
    if (response.status !== 503) break;
    await sleep(50);
  }
  return {
    url,
    errors: () => errors,
    signal: (name) => child.kill(name),
    ended,
    async stop() {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
      const code = await ended;
      clearTimeout(timer);
      if (code !== 0) throw new Error(`plimsoll serve ended with ${code}: ${errors}`);
    },
  };
}

export const openai = ({ OpenAI }, server, options = {}) =>
  new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0, ...options });

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function post(server, path, body, headers = {}) {
  const response = await fetch(server.url + path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) };
}

export async function getJson(server, path) {
  return (await fetch(server.url + path)).json();
}

export async function collect(stream) {
  const all = [];
  for await (const item of stream) all.push(item);
  return all;
}

// The error that a promise ends with.
export async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}

// The sum of a metric's samples, over all models, whose labels fit.
async function metric(server, headers, name, labels) {
  const text = await (await fetch(`${server.url}/metrics`, { headers })).text();
  const lines = text.split("\n").filter((line) => line.startsWith(`plimsoll_${name}{`) && line.includes(labels));
  if (lines.length === 0) throw new Error(`/metrics does not tell ${name}`);
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

// How many requests have ended because their client went away.
export function interrupted(server, headers = {}) {
  return metric(server, headers, "requests_finished_total", 'reason="interrupted"');
}

// Waits until nothing is computed, and nothing is about to be: a request counts as waiting until the
// step is over that it began with. The milliseconds that took.
export async function untilIdle(server, headers = {}) {
  const started = Date.now();
  const isBusy = async () =>
    (await metric(server, headers, "num_requests_waiting", "")) > 0 ||
    (await metric(server, headers, "num_requests_running", "")) > 0;
  while (await isBusy()) {
    if (Date.now() - started > 10_000) throw new Error("requests go on");
    await sleep(20);
  }
  return Date.now() - started;
}

// A file that only its owner reads, with the lines given; `remove` takes it away.
export function privateFile(...lines) {
  const folder = mkdtempSync(join(tmpdir(), "conformance-"));
  const path = join(folder, "keys");
  writeFileSync(path, lines.join("\n") + "\n", { mode: 0o600 });
  return { path, remove: () => rmSync(folder, { recursive: true }) };
}

export const weatherTool = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather in a city.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
