// The chat through @ai-sdk/openai-compatible, which many programs talk by.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, generateText, jsonSchema, streamText, tool } from "ai";
import { capital, collect, failure, serve, story } from "./support.mjs";

let server;
let provider;
before(async () => {
  server = await serve();
  provider = createOpenAICompatible({ name: "plimsoll", baseURL: `${server.url}/v1`, includeUsage: true });
});
after(() => server.stop());

const chosen = async () => (await (await fetch(`${server.url}/v1/models`)).json()).data[0].id;
const settings = { temperature: 0, maxOutputTokens: 32, maxRetries: 0 };

test("text, whole and streamed", async () => {
  const model = provider(await chosen());
  const whole = await generateText({ model, prompt: capital, ...settings });
  assert.equal(whole.text, "The capital of France is Paris.");
  assert.equal(whole.finishReason, "stop");
  assert.ok(whole.usage.inputTokens > 0 && whole.usage.outputTokens > 0);
  const stream = streamText({ model, prompt: capital, ...settings });
  assert.equal((await collect(stream.textStream)).join(""), whole.text);
  assert.equal(await stream.finishReason, "stop");
  assert.equal((await stream.usage).outputTokens, whole.usage.outputTokens);
});

test("a limit, and stop sequences", async () => {
  const model = provider(await chosen());
  assert.equal((await generateText({ model, prompt: story, ...settings, maxOutputTokens: 3 })).finishReason, "length");
  assert.equal((await generateText({ model, prompt: capital, ...settings, stopSequences: [" is Par"] })).text, "The capital of France");
});

test("a forced tool call", async () => {
  const get_weather = tool({
    description: "The weather in a city.",
    inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] }),
  });
  const reply = await generateText({
    model: provider(await chosen()), prompt: "What is the weather in Bonn?", ...settings, maxOutputTokens: 128,
    tools: { get_weather }, toolChoice: { type: "tool", toolName: "get_weather" },
  });
  assert.equal(reply.toolCalls[0].toolName, "get_weather");
  assert.equal(typeof reply.toolCalls[0].input.city, "string");
  assert.equal(reply.finishReason, "tool-calls");
});

test("embeddings, and errors", async () => {
  const { embedding } = await embed({ model: provider.textEmbeddingModel(await chosen()), value: capital, maxRetries: 0 });
  assert.ok(embedding.length > 8);
  const error = await failure(generateText({ model: provider("none-such"), prompt: "a", maxRetries: 0 }));
  assert.equal(error.statusCode, 404);
});
