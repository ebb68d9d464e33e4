// /v1/messages through @anthropic-ai/sdk.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { ask, capital, collect, failure, interrupted, post, serve, sleep, story, untilIdle } from "./support.mjs";

let server;
let messages;
before(async () => {
  server = await serve();
  messages = new Anthropic({ baseURL: server.url, apiKey: "none", maxRetries: 0 }).messages;
});
after(() => server.stop());

const base = { model: "any", max_tokens: 32, temperature: 0 };
const tool = {
  name: "get_weather",
  description: "The weather in a city.",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
const model = async () => (await (await fetch(`${server.url}/v1/models`)).json()).data[0].id;
const create = async (members) => messages.create({ ...base, model: await model(), ...members });

test("a message has its shape", async () => {
  const reply = await create({ messages: ask(capital) });
  assert.match(reply.id, /^msg_./);
  assert.equal(reply.type, "message");
  assert.equal(reply.role, "assistant");
  assert.deepEqual(reply.content, [{ type: "text", text: "The capital of France is Paris." }]);
  assert.equal(reply.stop_reason, "end_turn");
  assert.equal(reply.stop_sequence, null);
  assert.ok(reply.usage.input_tokens > 0 && reply.usage.output_tokens > 0);
  assert.equal(typeof reply.usage.cache_read_input_tokens, "number");
});

test("a stream has its events in order", async () => {
  const events = await collect(await create({ messages: ask(capital), stream: true }));
  const types = events.map((e) => e.type);
  assert.deepEqual(types.slice(0, 2), ["message_start", "content_block_start"]);
  assert.deepEqual(types.slice(-3), ["content_block_stop", "message_delta", "message_stop"]);
  assert.ok(types.slice(2, -3).every((t) => t === "content_block_delta"));
  assert.deepEqual(events[0].message.content, []);
  assert.equal(events[0].message.stop_reason, null);
  assert.ok(events[0].message.usage.input_tokens + events[0].message.usage.cache_read_input_tokens > 0, "known from the start");
  assert.equal(events.filter((e) => e.delta?.type === "text_delta").map((e) => e.delta.text).join(""), "The capital of France is Paris.");
  const end = events.at(-2);
  assert.equal(end.delta.stop_reason, "end_turn");
  assert.ok(end.usage.output_tokens > 0);
});

test(".stream() accumulates to the same message", async () => {
  const stream = messages.stream({ ...base, model: await model(), messages: ask(capital) });
  let text = "";
  stream.on("text", (delta) => (text += delta));
  const final = await stream.finalMessage();
  assert.equal(text, "The capital of France is Paris.");
  assert.equal(await stream.finalText(), text);
  const whole = await create({ messages: ask(capital) });
  const tokens = ({ usage }) => usage.input_tokens + usage.cache_read_input_tokens;
  assert.equal(tokens(final), tokens(whole));
  assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
});

test("system text, blocks, and turns", async () => {
  for (const system of ["Be brief.", [{ type: "text", text: "Be brief.", cache_control: { type: "ephemeral" } }]]) {
    const reply = await create({
      system,
      messages: [
        { role: "user", content: [{ type: "text", text: "Hello, I am Leo." }] },
        { role: "assistant", content: [{ type: "thinking", thinking: "A name.", signature: "" }, { type: "text", text: "Hello Leo." }] },
        { role: "user", content: capital },
      ],
    });
    assert.match(reply.content[0].text, /Paris/);
  }
});

test("a limit, and stop sequences", async () => {
  const short = await create({ messages: ask(story), max_tokens: 3 });
  assert.equal(short.stop_reason, "max_tokens");
  assert.equal(short.usage.output_tokens, 3);
  const cut = await create({ messages: ask(capital), stop_sequences: ["never", " is Par"] });
  assert.equal(cut.stop_reason, "stop_sequence");
  assert.equal(cut.stop_sequence, " is Par");
  assert.equal(cut.content[0].text, "The capital of France");
  const final = await messages.stream({ ...base, model: await model(), messages: ask(capital), stop_sequences: [" is Par"] }).finalMessage();
  assert.equal(final.stop_sequence, " is Par");
});

test("a tool's use goes round", async () => {
  const turn = ask("What is the weather in Bonn?");
  const forced = { max_tokens: 128, tools: [tool], tool_choice: { type: "tool", name: "get_weather", disable_parallel_tool_use: true } };
  const reply = await create({ ...forced, messages: turn });
  const use = reply.content.find((block) => block.type === "tool_use");
  assert.equal(use.name, "get_weather");
  assert.ok(use.id.length > 0);
  assert.equal(typeof use.input.city, "string");
  assert.equal(reply.stop_reason, "tool_use");

  const stream = messages.stream({ ...base, model: await model(), ...forced, messages: turn });
  let json = "";
  stream.on("inputJson", (delta) => (json += delta));
  const streamed = (await stream.finalMessage()).content.find((block) => block.type === "tool_use");
  assert.equal(streamed.name, "get_weather");
  assert.deepEqual(JSON.parse(json), use.input);
  assert.deepEqual(streamed.input, use.input);

  for (const result of [{ content: "Rain." }, { content: [{ type: "text", text: "No such city." }], is_error: true }]) {
    const answer = await create({
      tools: [tool],
      tool_choice: { type: "none" },
      messages: [
        ...turn,
        { role: "assistant", content: [use] },
        { role: "user", content: [{ type: "tool_result", tool_use_id: use.id, ...result }, { type: "text", text: capital }] },
      ],
    });
    assert.ok(answer.content.every((block) => block.type === "text"));
  }
  const any = await create({ ...forced, tool_choice: { type: "any" }, messages: turn });
  assert.ok(any.content.some((block) => block.type === "tool_use"));
});

test("thinking is accepted", async () => {
  for (const thinking of [{ type: "enabled", budget_tokens: 1024 }, { type: "disabled" }, { type: "adaptive" }]) {
    const reply = await create({ messages: ask(capital), thinking });
    assert.equal(reply.type, "message");
  }
});

test("tokens are counted as they are used", async () => {
  const turn = { system: "Be brief.", messages: ask(capital), tools: [tool] };
  const { input_tokens } = await messages.countTokens({ model: await model(), ...turn });
  const reply = await create(turn);
  assert.equal(reply.usage.input_tokens + reply.usage.cache_read_input_tokens, input_tokens);
});

test("errors have Anthropic's shape and the client's classes", async () => {
  const name = await model();
  const wrong = [
    [{ max_tokens: undefined }, /max_tokens/],
    [{ max_tokens: 0 }, /max_tokens/],
    [{ temperature: "hot" }, /temperature/],
    [{ messages: [] }, /messages/],
    [{ messages: [{ role: "robot", content: "a" }] }, /messages\[0\]\.role/],
    [{ messages: [{ role: "user", content: [{ type: "image", source: {} }] }] }, /messages\[0\]\.content\[0\]\.type/],
    [{ messages: [...ask("a"), { role: "assistant", content: "b" }] }, /messages/],
    [{ tools: [{ type: "bash_20250124", name: "bash" }] }, /tools\[0\]\.type/],
  ];
  for (const [members, message] of wrong) {
    const error = await failure(messages.create({ ...base, model: name, messages: ask("a"), ...members }));
    assert.ok(error instanceof Anthropic.BadRequestError, JSON.stringify(members));
    assert.equal(error.error.type, "error");
    assert.equal(error.error.error.type, "invalid_request_error");
    assert.match(error.error.error.message, message);
  }
  const missing = await failure(messages.create({ ...base, model: "none-such", messages: ask("a") }));
  assert.ok(missing instanceof Anthropic.NotFoundError);
  assert.equal(missing.error.error.type, "not_found_error");
  const streamed = await failure(messages.stream({ ...base, model: name, messages: ask("a"), temperature: -1 }).finalMessage());
  assert.equal(streamed.status, 400);
});

test("clients that go away stop the work", async () => {
  const before = await interrupted(server);
  const name = await model();
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      const stream = messages.stream({ ...base, model: name, messages: ask(story), max_tokens: 3000, temperature: 2 });
      await new Promise((resolve) => stream.once("text", resolve));
      stream.abort();
      await failure(stream.finalMessage());
    }),
  );
  await sleep(50);
  assert.ok((await untilIdle(server)) < 2000);
  assert.ok((await interrupted(server)) > before);
});

test("the bytes of a stream: a name and one line of JSON an event", async () => {
  const reply = await post(server, "/v1/messages", { ...base, model: await model(), messages: ask(capital), stream: true });
  assert.match(reply.headers.get("content-type"), /^text\/event-stream/);
  const events = reply.text.split("\n\n");
  assert.equal(events.pop(), "");
  for (const event of events) {
    const [, name, data] = event.match(/^event: (\S+)\ndata: ([^\n]+)$/);
    assert.equal(JSON.parse(data).type, name);
  }
  assert.equal(reply.text.match(/^event: message_stop$/gm).length, 1);
});
