// /api/... through the ollama client.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Ollama } from "ollama";
import { ask, capital, collect, failure, interrupted, post, serve, sleep, story, untilIdle } from "./support.mjs";

let server;
let ollama;
let model;
before(async () => {
  server = await serve();
  ollama = new Ollama({ host: server.url });
  model = (await ollama.list()).models[0].name;
});
after(() => server.stop());

const options = { temperature: 0, num_predict: 32 };
const tool = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather in a city.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
const isDone = (last) => {
  assert.equal(last.done, true);
  for (const key of ["total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"]) {
    assert.ok(Number.isInteger(last[key]), key);
  }
  assert.ok(last.total_duration > 0 && last.prompt_eval_count > 0);
};

test("chat, whole and streamed", async () => {
  const whole = await ollama.chat({ model, messages: ask(capital), options });
  assert.equal(whole.model, model);
  assert.ok(!Number.isNaN(Date.parse(whole.created_at)));
  assert.deepEqual(whole.message, { role: "assistant", content: "The capital of France is Paris." });
  assert.equal(whole.done_reason, "stop");
  isDone(whole);
  const parts = await collect(await ollama.chat({ model, messages: ask(capital), options, stream: true }));
  assert.equal(parts.map((p) => p.message.content).join(""), whole.message.content);
  assert.ok(parts.slice(0, -1).every((p) => p.done === false && p.message.role === "assistant"));
  isDone(parts.at(-1));
  assert.equal(parts.at(-1).eval_count, whole.eval_count);
});

test("generate, whole and streamed, with a system text and raw", async () => {
  const whole = await ollama.generate({ model, prompt: capital, options });
  assert.equal(whole.response, "The capital of France is Paris.");
  isDone(whole);
  const parts = await collect(await ollama.generate({ model, prompt: capital, options, stream: true }));
  assert.equal(parts.map((p) => p.response).join(""), whole.response);
  isDone(parts.at(-1));
  const instructed = await ollama.generate({ model, prompt: capital, system: "Be brief.", options });
  assert.ok(instructed.prompt_eval_count > whole.prompt_eval_count);
  const raw = await ollama.generate({ model, prompt: "The capital of France is", raw: true, options: { ...options, num_predict: 4 } });
  assert.match(raw.response, /Paris/);
});

test("streaming is the default", async () => {
  const reply = await post(server, "/api/chat", { model, messages: ask(capital), options });
  assert.match(reply.headers.get("content-type"), /^application\/x-ndjson/);
  const lines = reply.text.split("\n");
  assert.equal(lines.pop(), "");
  const parsed = lines.map((line) => JSON.parse(line));
  assert.equal(parsed.filter((p) => p.done).length, 1);
  assert.ok(parsed.at(-1).done);
});

test("options: limit, stop, seed, penalties, context", async () => {
  const short = await ollama.chat({ model, messages: ask(story), options: { temperature: 0, num_predict: 3 } });
  assert.equal(short.done_reason, "length");
  assert.equal(short.eval_count, 3);
  const cut = await ollama.chat({ model, messages: ask(capital), options: { ...options, stop: [" is Par"] } });
  assert.equal(cut.message.content, "The capital of France");
  assert.equal(cut.done_reason, "stop");
  const drawn = { temperature: 1.5, seed: 7, num_predict: 12, top_k: 50, top_p: 0.9, min_p: 0.01 };
  const [one, two] = await Promise.all([1, 2].map(() => ollama.chat({ model, messages: ask(story), options: drawn })));
  assert.equal(one.message.content, two.message.content);
  const long = { ...options, num_predict: 60 };
  const free = await ollama.chat({ model, messages: ask(story), options: long });
  const held = await ollama.chat({ model, messages: ask(story), options: { ...long, repeat_penalty: 1.8, repeat_last_n: -1, presence_penalty: 1, frequency_penalty: 1 } });
  assert.notEqual(free.message.content, held.message.content);
  await ollama.chat({ model, messages: ask(capital), options: { ...options, num_ctx: 128, num_thread: 2 } });
  const error = await failure(ollama.chat({ model, messages: ask(capital), options: { num_ctx: 1_000_000 } }));
  assert.equal(error.status_code, 400);
  assert.match(error.message, /num_ctx/);
});

test("a tool call goes round", async () => {
  const reply = await ollama.chat({
    model,
    options,
    tools: [tool],
    messages: [
      ...ask("What is the weather in Bonn?"),
      { role: "assistant", content: "", tool_calls: [{ function: { name: "get_weather", arguments: { city: "Bonn" } } }] },
      { role: "tool", content: "Rain.", tool_name: "get_weather" },
    ],
  });
  assert.equal(reply.message.role, "assistant");
  assert.equal(typeof reply.message.content, "string");
  isDone(reply);
});

test("think, logprobs and keep_alive", async () => {
  for (const think of [true, false, "low"]) {
    const reply = await ollama.chat({ model, messages: ask(capital), think, options, keep_alive: "5m" });
    assert.equal(reply.message.role, "assistant");
  }
  const told = await ollama.chat({ model, messages: ask(capital), options, logprobs: true, top_logprobs: 2, keep_alive: -1 });
  assert.equal(told.logprobs.map((t) => t.token).join(""), told.message.content);
  assert.ok(told.logprobs.every((t) => t.logprob <= 0 && t.top_logprobs.length === 2));
  const loaded = await ollama.generate({ model, prompt: "" });
  assert.equal(loaded.done_reason, "load");
});

test("models are listed, shown, and told as loaded", async () => {
  const { models } = await ollama.list();
  assert.ok(models.length >= 1);
  assert.ok(models[0].size > 0);
  assert.ok(!Number.isNaN(Date.parse(models[0].modified_at)));
  assert.equal(typeof models[0].digest, "string");
  assert.equal(models[0].details.format, "gguf");
  const shown = await ollama.show({ model });
  assert.ok(shown.capabilities.includes("completion"));
  assert.equal(typeof shown.template, "string");
  assert.ok(shown.model_info["general.architecture"].length > 0);
  const { models: loaded } = await ollama.ps();
  assert.equal(loaded[0].name, model);
  assert.ok(loaded[0].size > 0);
  assert.match((await ollama.version()).version, /^\d+\.\d+/);
});

test("embed gives vectors of length 1, in order", async () => {
  const reply = await ollama.embed({ model, input: ["one", capital, "one"] });
  assert.equal(reply.embeddings.length, 3);
  assert.deepEqual(reply.embeddings[0], reply.embeddings[2]);
  assert.ok(Math.abs(reply.embeddings[1].reduce((s, x) => s + x * x, 0) - 1) < 1e-4);
  assert.ok(reply.prompt_eval_count > 0);
  assert.equal((await ollama.embed({ model, input: "one" })).embeddings.length, 1);
});

test("errors are a text, also in a stream", async () => {
  const wrong = [
    [{ format: "xml" }, /format/],
    [{ format: { not: {} } }, /format.*not/],
    [{ options: { temperature: "hot" } }, /options\.temperature/],
    [{ messages: [{ role: "robot", content: "a" }] }, /messages\[0\]\.role/],
    [{ messages: [{ role: "user", content: "a", images: ["aGk="] }] }, /messages\[0\]\.images/],
    [{ think: "much" }, /think/],
  ];
  for (const [members, message] of wrong) {
    for (const stream of [false, true]) {
      const error = await failure(ollama.chat({ model, messages: ask("a"), stream, ...members }));
      assert.equal(error.name, "ResponseError");
      assert.equal(error.status_code, 400);
      assert.match(error.message, message);
    }
  }
  assert.equal((await failure(ollama.generate({ model, prompt: "a", suffix: "b" }))).status_code, 400);
  assert.equal((await failure(ollama.chat({ model: "none-such", messages: ask("a") }))).status_code, 404);
});

test("what would change the store is 501", async () => {
  for (const call of [
    () => ollama.pull({ model: "a" }),
    () => ollama.push({ model: "a" }),
    () => ollama.create({ model: "a", from: "b" }),
    () => ollama.copy({ source: "a", destination: "b" }),
    () => ollama.delete({ model: "a" }),
  ]) {
    const error = await failure(call());
    assert.equal(error.status_code, 501);
    assert.ok(error.message.length > 10);
  }
});

test("a client that goes away stops the work", async () => {
  const before = await interrupted(server);
  // Nonsense, which with this seed goes on to its limit; with others it may end while it is aborted.
  const endless = { temperature: 20, top_k: 0, top_p: 1, min_p: 0, num_predict: 3000, seed: 8 };
  const stream = await ollama.chat({ model, messages: ask(story), stream: true, options: endless });
  for await (const part of stream) {
    assert.equal(part.done, false);
    stream.abort();
    break;
  }
  await sleep(50);
  assert.ok((await untilIdle(server)) < 2000);
  assert.ok((await interrupted(server)) > before);
});
