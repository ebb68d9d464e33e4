// /v1/responses through both lines of the openai client.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { capital, collect, failure, openai, openaiLines, post, serve, story } from "./support.mjs";

let server;
before(async () => (server = await serve()));
after(() => server.stop());

const base = { model: "", temperature: 0, max_output_tokens: 32 };
const tool = {
  type: "function",
  name: "get_weather",
  description: "The weather in a city.",
  strict: false,
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

for (const client of openaiLines) {
  describe(client.line, () => {
    let responses;
    before(() => (responses = openai(client, server).responses));

    test("a response has its shape", async () => {
      const reply = await responses.create({ ...base, input: capital, instructions: "Be brief.", metadata: { a: "b" } });
      assert.match(reply.id, /^resp_./);
      assert.equal(reply.object, "response");
      assert.equal(reply.status, "completed");
      assert.equal(reply.error, null);
      assert.equal(reply.incomplete_details, null);
      assert.equal(reply.instructions, "Be brief.");
      assert.deepEqual(reply.metadata, { a: "b" });
      assert.equal(reply.store, false);
      assert.equal(reply.temperature, 0);
      assert.equal(reply.max_output_tokens, 32);
      assert.equal(reply.parallel_tool_calls, true);
      assert.deepEqual(reply.tools, []);
      const [message] = reply.output;
      assert.match(message.id, /^msg_./);
      assert.equal(message.type, "message");
      assert.equal(message.role, "assistant");
      assert.equal(message.status, "completed");
      assert.equal(message.content[0].type, "output_text");
      assert.deepEqual(message.content[0].annotations, []);
      assert.equal(reply.output_text, message.content[0].text);
      const { usage } = reply;
      assert.equal(usage.total_tokens, usage.input_tokens + usage.output_tokens);
      assert.equal(typeof usage.input_tokens_details.cached_tokens, "number");
      assert.equal(usage.output_tokens_details.reasoning_tokens, 0);
    });

    test("a stream has every event, numbered, and ends once", async () => {
      const whole = await responses.create({ ...base, input: capital });
      const events = await collect(await responses.create({ ...base, input: capital, stream: true }));
      assert.deepEqual(events.map((e) => e.sequence_number), events.map((_, i) => i));
      const types = events.map((e) => e.type);
      assert.deepEqual(types.slice(0, 4), [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
      ]);
      assert.deepEqual(types.slice(-4), [
        "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
      ]);
      assert.ok(types.slice(4, -4).every((t) => t === "response.output_text.delta"));
      const text = events.filter((e) => e.type === "response.output_text.delta").map((e) => e.delta).join("");
      assert.equal(text, whole.output_text);
      const last = events.at(-1).response;
      assert.deepEqual(last.output[0].content, whole.output[0].content);
      assert.equal(events[0].response.status, "in_progress");
      assert.equal(new Set(events.filter((e) => e.response).map((e) => e.response.id)).size, 1);
      assert.equal(last.usage.output_tokens, whole.usage.output_tokens);
    });

    test(".stream() accumulates", async () => {
      const stream = responses.stream({ ...base, input: capital });
      let text = "";
      stream.on("response.output_text.delta", (event) => (text += event.delta));
      const final = await stream.finalResponse();
      assert.equal(final.status, "completed");
      assert.equal(final.output_text, text);
      assert.match(text, /Paris/);
    });

    test("a limit leaves it incomplete", async () => {
      const reply = await responses.create({ ...base, input: story, max_output_tokens: 4 });
      assert.equal(reply.status, "incomplete");
      assert.deepEqual(reply.incomplete_details, { reason: "max_output_tokens" });
      assert.equal(reply.output[0].status, "incomplete");
      assert.equal(reply.usage.output_tokens, 4);
      const events = await collect(await responses.create({ ...base, input: story, max_output_tokens: 4, stream: true }));
      const ends = events.filter((e) => /^response\.(completed|incomplete|failed)$/.test(e.type));
      assert.deepEqual(ends.map((e) => e.type), ["response.incomplete"]);
      assert.equal(events.at(-1), ends[0]);
    });

    test("input as items, with what was said before", async () => {
      const first = await responses.create({ ...base, input: [{ role: "user", content: "Hello, I am Leo." }] });
      const reply = await responses.create({
        ...base,
        input: [
          { role: "developer", content: "Be brief." },
          { type: "message", role: "user", content: [{ type: "input_text", text: "Hello, I am Leo." }] },
          ...first.output,
          { role: "user", content: capital },
        ],
      });
      assert.match(reply.output_text, /Paris/);
      assert.ok(reply.usage.input_tokens > first.usage.input_tokens);
    });

    test("a tool call goes round", async () => {
      const input = [{ role: "user", content: "What is the weather in Bonn?" }];
      const forced = { ...base, max_output_tokens: 128, tools: [tool], tool_choice: { type: "function", name: "get_weather" } };
      const events = await collect(await responses.create({ ...forced, input, stream: true }));
      const added = events.find((e) => e.type === "response.output_item.added" && e.item.type === "function_call");
      const done = events.find((e) => e.type === "response.function_call_arguments.done");
      const deltas = events.filter((e) => e.type === "response.function_call_arguments.delta");
      assert.equal(added.item.name, "get_weather");
      assert.equal(added.item.arguments, "");
      assert.equal(deltas.map((e) => e.delta).join(""), done.arguments);
      assert.equal(typeof JSON.parse(done.arguments).city, "string");
      assert.equal(events.at(-1).type, "response.completed");
      assert.ok(deltas.every((e) => e.item_id === added.item.id && e.output_index === added.output_index));
      const final = await responses.stream({ ...forced, input }).finalResponse();
      const call = final.output.find((item) => item.type === "function_call");
      assert.equal(call.arguments, done.arguments);
      const answer = await responses.create({
        ...base,
        tools: [tool],
        tool_choice: "none",
        input: [
          ...input,
          { type: "function_call", call_id: call.call_id, name: call.name, arguments: call.arguments },
          { type: "function_call_output", call_id: call.call_id, output: "Rain." },
        ],
      });
      assert.ok(answer.output.every((item) => item.type === "message"));
    });

    test("logprobs by include", async () => {
      const reply = await responses.create({ ...base, input: capital, include: ["message.output_text.logprobs"], top_logprobs: 2 });
      const [part] = reply.output[0].content;
      assert.equal(part.logprobs.map((t) => t.token).join(""), part.text);
      assert.ok(part.logprobs.every((t) => t.top_logprobs.length === 2));
    });

    test("what would have to be kept, and what is not offered, is refused by name", async () => {
      const refused = [
        [{ store: true }, "store"],
        [{ previous_response_id: "resp_1" }, "previous_response_id"],
        [{ background: true }, "background"],
        [{ conversation: "conv_1" }, "conversation"],
        [{ truncation: "auto" }, "truncation"],
        [{ text: { format: { type: "json_schema", name: "a", schema: { not: {} } } } }, "text.format.schema"],
        [{ tools: [{ type: "web_search" }] }, "tools[0].type"],
        [{ input: [{ role: "user", content: [{ type: "input_image", image_url: "x" }] }] }, "input[0].content[0].type"],
        [{ input: [{ type: "item_reference", id: "x" }] }, "input[0].type"],
        [{ temperature: "hot" }, "temperature"],
      ];
      for (const [members, param] of refused) {
        const error = await failure(responses.create({ ...base, input: "a", ...members }));
        assert.ok(error instanceof client.OpenAI.BadRequestError, JSON.stringify(members));
        assert.equal(error.param, param, error.message);
      }
      assert.equal((await responses.create({ ...base, input: capital, store: false, tomorrow: 1 })).store, false);
    });
  });
}

test("the bytes of a stream: a name and one line of JSON an event", async () => {
  const reply = await post(server, "/v1/responses", { ...base, input: capital, stream: true });
  assert.match(reply.headers.get("content-type"), /^text\/event-stream/);
  const events = reply.text.split("\n\n").filter((e) => !e.startsWith(":"));
  assert.equal(events.pop(), "");
  for (const event of events) {
    const [, name, data] = event.match(/^event: (\S+)\ndata: ([^\n]+)$/);
    assert.equal(JSON.parse(data).type, name);
  }
  assert.equal(reply.text.match(/^event: response\.(completed|failed|incomplete)$/gm).length, 1);
});
