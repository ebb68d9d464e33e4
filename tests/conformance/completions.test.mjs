// /v1/completions, /v1/embeddings, /v1/models and the token routes.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { capital, collect, failure, getJson, openai, openaiLines, post, serve } from "./support.mjs";

let server;
before(async () => (server = await serve()));
after(() => server.stop());

const tokensOf = async (content) => (await post(server, "/tokenize", { content })).json().tokens;

for (const client of openaiLines) {
  describe(client.line, () => {
    let api;
    before(() => (api = openai(client, server)));
    const base = { model: "", prompt: "The capital of France is", temperature: 0, max_tokens: 8 };

    test("a completion has its shape, and streams the same text", async () => {
      const reply = await api.completions.create(base);
      assert.match(reply.id, /^cmpl-./);
      assert.equal(reply.object, "text_completion");
      assert.match(reply.choices[0].text, /Paris/);
      assert.ok(reply.usage.prompt_tokens > 0);
      const chunks = await collect(await api.completions.create({ ...base, stream: true, stream_options: { include_usage: true } }));
      assert.equal(chunks.map((c) => c.choices[0]?.text ?? "").join(""), reply.choices[0].text);
      assert.deepEqual(chunks.at(-1).usage.completion_tokens, reply.usage.completion_tokens);
    });

    test("prompts: several, as tokens, echoed", async () => {
      const many = await api.completions.create({ ...base, prompt: [base.prompt, "The capital of Italy is"] });
      assert.deepEqual(many.choices.map((c) => c.index), [0, 1]);
      assert.match(many.choices[1].text, /Rome/);
      const tokens = await tokensOf(base.prompt);
      const one = await api.completions.create(base);
      const same = await api.completions.create({ ...base, prompt: tokens });
      assert.equal(same.choices[0].text, one.choices[0].text);
      assert.equal(same.usage.prompt_tokens, tokens.length);
      const echoed = await api.completions.create({ ...base, echo: true });
      assert.equal(echoed.choices[0].text, base.prompt + one.choices[0].text);
    });

    test("old logprobs, n, stop and limits", async () => {
      const reply = await api.completions.create({ ...base, logprobs: 2, n: 2 });
      assert.equal(reply.choices.length, 2);
      const { tokens, token_logprobs, top_logprobs } = reply.choices[0].logprobs;
      assert.equal(tokens.join(""), reply.choices[0].text);
      assert.equal(token_logprobs.length, tokens.length);
      assert.equal(Object.keys(top_logprobs[0]).length, 2);
      const cut = await api.completions.create({ ...base, stop: "Par" });
      assert.ok(!cut.choices[0].text.includes("Par"));
      assert.equal(cut.choices[0].finish_reason, "stop");
      assert.equal((await api.completions.create({ ...base, max_tokens: 1 })).choices[0].finish_reason, "length");
    });

    test("embeddings are the same as numbers and in base64", async () => {
      const input = ["one", capital, "one"];
      const floats = await api.embeddings.create({ model: "", input, encoding_format: "float" });
      const coded = await api.embeddings.create({ model: "", input, encoding_format: "base64" });
      const chosen = await api.embeddings.create({ model: "", input });
      assert.deepEqual(floats.data.map((d) => d.index), [0, 1, 2]);
      for (let i = 0; i < input.length; ++i) {
        const numbers = floats.data[i].embedding;
        assert.ok(numbers.length > 8);
        assert.ok(Math.abs(numbers.reduce((s, x) => s + x * x, 0) - 1) < 1e-4, "of length 1");
        const buffer = Buffer.from(coded.data[i].embedding, "base64");
        const read = Array.from({ length: buffer.length / 4 }, (_, j) => buffer.readFloatLE(4 * j));
        assert.deepEqual(numbers.map(Math.fround), read);
        assert.deepEqual(Array.from(chosen.data[i].embedding).map(Math.fround), read, "what the client asks for by itself");
      }
      assert.deepEqual(floats.data[0].embedding, floats.data[2].embedding);
      assert.notDeepEqual(floats.data[0].embedding, floats.data[1].embedding);
      assert.ok(floats.usage.prompt_tokens > 0);
    });

    test("embeddings of tokens are those of their text", async () => {
      const tokens = await tokensOf(capital);
      const [text, ids, list] = await Promise.all(
        [capital, tokens, [tokens]].map((input) => api.embeddings.create({ model: "", input, encoding_format: "float" })),
      );
      assert.deepEqual(ids.data[0].embedding, text.data[0].embedding);
      assert.deepEqual(list.data[0].embedding, text.data[0].embedding);
      const error = await failure(api.embeddings.create({ model: "", input: [] }));
      assert.equal(error.status, 400);
      assert.equal(error.param, "input");
    });

    test("models are listed and found", async () => {
      const list = await collect(await api.models.list());
      assert.ok(list.length >= 1);
      assert.equal(list[0].object, "model");
      assert.equal(typeof list[0].created, "number");
      assert.equal(typeof list[0].owned_by, "string");
      assert.deepEqual((await api.models.retrieve(list[0].id)).id, list[0].id);
      const error = await failure(api.models.retrieve("none-such"));
      assert.ok(error instanceof client.OpenAI.NotFoundError);
    });
  });
}

test("texts become tokens and texts again", async () => {
  for (const content of [capital, "Ünïcödé ☃ 日本語", ""]) {
    const tokens = await tokensOf(content);
    const back = (await post(server, "/detokenize", { tokens })).json();
    assert.equal(back.content, content);
  }
  const pieces = (await post(server, "/tokenize", { content: capital, with_pieces: true })).json().tokens;
  assert.equal(pieces.map((t) => t.piece).join(""), capital);
  const { prompt } = (await post(server, "/apply-template", { messages: [{ role: "user", content: capital }] })).json();
  assert.ok(prompt.includes(capital) && prompt.length > capital.length);
});

test("the server tells of itself", async () => {
  assert.equal((await getJson(server, "/health")).status, "ok");
  assert.equal((await fetch(`${server.url}/livez`)).status, 200);
  assert.equal((await getJson(server, "/readyz")).status, "ok");
  assert.ok((await getJson(server, "/props")).default_generation_settings.n_ctx > 0);
  assert.deepEqual(await getJson(server, "/slots"), []);
  const memory = await getJson(server, "/v1/engine/memory");
  assert.equal(typeof memory, "object");
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  assert.match(metrics, /^# TYPE \S+ (counter|gauge|histogram)$/m);
});
