// What a client is told when things go wrong: each status of the contract, by both openai lines.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  ask, capital, collect, failure, getJson, interrupted, openai, openaiLines, post, privateFile, serve, sleep, story, untilIdle,
} from "./support.mjs";

const key = "sk-conformance-0123456789";
let keys;
let server; // small limits
let locked; // wants a key
before(async () => {
  keys = privateFile(key);
  [server, locked] = await Promise.all([
    serve("-c", "256", "--max-body-bytes", "20000"),
    serve("--api-key-file", keys.path),
  ]);
});
after(async () => {
  await Promise.all([server.stop(), locked.stop()]);
  keys.remove();
});

for (const client of openaiLines) {
  const { OpenAI } = client;
  describe(client.line, () => {
    test("400: not a token more than the context holds", async () => {
      const api = openai(client, server);
      const n_ctx = (await getJson(server, "/props")).default_generation_settings.n_ctx;
      const { tokens } = (await post(server, "/tokenize", { content: "a".repeat(10) })).json();
      const prompt = (n) => Array.from({ length: n }, () => tokens[0]);
      const fits = await api.completions.create({ model: "", prompt: prompt(n_ctx - 1), max_tokens: 4 });
      assert.equal(fits.usage.prompt_tokens, n_ctx - 1);
      assert.ok(fits.usage.completion_tokens >= 1, "there is room for an answer");
      for (const stream of [false, true]) {
        const error = await failure(api.completions.create({ model: "", prompt: prompt(n_ctx), max_tokens: 4, stream }));
        assert.ok(error instanceof OpenAI.BadRequestError);
        assert.equal(error.code, "context_length_exceeded");
        assert.equal(error.param, "prompt");
        assert.match(error.message, new RegExp(`${n_ctx}\\b.*\\b${n_ctx}`), "both counts");
      }
      const error = await failure(api.chat.completions.create({ model: "", messages: ask("word ".repeat(2 * n_ctx)) }));
      assert.equal(error.code, "context_length_exceeded");
      assert.equal(error.param, "messages");
    });

    test("400: bodies that are no JSON, or too deep", async () => {
      for (const body of ["", "{", "nonsense", "[]", "{\"messages\":[}", "[".repeat(5000), "{\"a\":\"\ud800\"}"]) {
        const reply = await post(server, "/v1/chat/completions", body);
        assert.equal(reply.status, 400, body.slice(0, 20));
        assert.equal(reply.json().error.type, "invalid_request_error");
        assert.ok(reply.json().error.message.length > 0);
      }
    });

    test("401: a key is wanted", async () => {
      const good = openai(client, locked, { apiKey: key });
      assert.equal((await good.chat.completions.create({ model: "", messages: ask(capital), max_tokens: 4 })).object, "chat.completion");
      const bad = openai(client, locked, { apiKey: `${key}x`, maxRetries: 2 });
      for (const call of [() => bad.chat.completions.create({ model: "", messages: ask("a") }), () => bad.models.list()]) {
        const error = await failure(call());
        assert.ok(error instanceof OpenAI.AuthenticationError);
        assert.ok(error.message.length > 0);
      }
      assert.equal((await fetch(`${locked.url}/metrics`)).status, 401);
      assert.equal((await fetch(`${locked.url}/livez`)).status, 200);
      const other = await fetch(`${locked.url}/v1/models`, { headers: { "x-api-key": key } });
      assert.equal(other.status, 200, "Anthropic's header");
    });

    test("404: no such model, no such route; 405", async () => {
      const api = openai(client, server);
      for (const call of [
        () => api.chat.completions.create({ model: "none-such", messages: ask("a") }),
        () => api.completions.create({ model: "none-such", prompt: "a" }),
        () => api.embeddings.create({ model: "none-such", input: "a" }),
        () => api.responses.create({ model: "none-such", input: "a" }),
      ]) {
        const error = await failure(call());
        assert.ok(error instanceof OpenAI.NotFoundError);
        assert.equal(error.code, "model_not_found");
      }
      assert.ok((await failure(api.get("/nothing/here"))) instanceof OpenAI.NotFoundError);
      assert.equal((await fetch(`${server.url}/v1/chat/completions`)).status, 405);
    });

    test("413: a body above the limit", async () => {
      const error = await failure(
        openai(client, server).chat.completions.create({ model: "", messages: ask("a".repeat(30_000)) }),
      );
      assert.equal(error.status, 413);
      assert.ok(error.message.length > 0);
    });

    test("bad requests are not tried again", async () => {
      let n = 0;
      const counted = (...request) => {
        ++n;
        return fetch(...request);
      };
      await failure(openai(client, server, { maxRetries: 2, fetch: counted }).chat.completions.create({ model: "", messages: [] }));
      assert.equal(n, 1);
    });

    test("429: overload is said at once, with when to come back, and a client does", async () => {
      const small = await serve("--max-running", "1", "--max-queue", "1");
      try {
        const api = openai(client, small);
        const long = { model: "", messages: ask(story), max_tokens: 400, ignore_eos: true };
        const results = await Promise.allSettled(Array.from({ length: 8 }, () => api.chat.completions.create(long)));
        const errors = results.filter((r) => r.status === "rejected").map((r) => r.reason);
        assert.ok(errors.length >= 1 && errors.length <= 7, `${errors.length} of 8 refused`);
        for (const error of errors) {
          assert.ok(error instanceof OpenAI.RateLimitError);
          assert.equal(error.code, "server_overloaded");
          assert.ok(Number(error.headers.get("retry-after")) >= 1);
        }
        const patient = openai(client, small, { maxRetries: 8 });
        const both = await Promise.all(
          Array.from({ length: 4 }, () => patient.chat.completions.create({ ...long, max_tokens: 40 })),
        );
        assert.equal(both.length, 4);
      } finally {
        await small.stop();
      }
    });

    test("a stream that the server ends has an error object, and no clean end", async () => {
      const ending = await serve("--drain-seconds", "0");
      const stream = await openai(client, ending).chat.completions.create({
        model: "", messages: ask(story), max_tokens: 3500, stream: true, ignore_eos: true,
      });
      let n = 0;
      const error = await failure(
        (async () => {
          for await (const _ of stream) if (n++ === 0) ending.signal("SIGTERM");
        })(),
      );
      assert.ok(n > 0);
      assert.ok(error instanceof OpenAI.APIError, String(error));
      assert.equal(error.code, "server_stopping");
      assert.equal(await ending.ended, 0);
    });

    // As after minutes: openai 6 gives up when no headers come for `timeout`; 7 counts the body too.
    test("a reply that is long in coming is waited for", async () => {
      const busy = await serve("--max-running", "1", "--pad-after-seconds", "0.1", "--ping-seconds", "0.1");
      const controller = new AbortController();
      const long = { model: "", messages: ask(story), n: 8, max_tokens: 3000, stream: true, ignore_eos: true };
      await openai(client, busy).chat.completions.create(long, { signal: controller.signal });
      const api = openai(client, busy, { timeout: client.line === "openai 7" ? 120_000 : 1500 });
      const wanted = { model: "", messages: ask(capital), temperature: 0 };
      const plain = api.chat.completions.create(wanted);
      const streamed = api.chat.completions.create({ ...wanted, stream: true }).then(collect);
      const embedded = api.embeddings.create({ model: "", input: "a fox" });
      try {
        await sleep(2500);
        controller.abort();
        const text = (await plain).choices[0].message.content;
        assert.match(text, /Paris/);
        assert.equal((await streamed).map((chunk) => chunk.choices[0].delta.content ?? "").join(""), text);
        assert.equal((await embedded).data[0].embedding.length, 128);
      } finally {
        await busy.stop();
      }
    });

    test("cancelling stops the work: before headers, in the prompt, in the answer", async () => {
      const api = openai(client, locked, { apiKey: key });
      const headers = { authorization: `Bearer ${key}` };
      const long = { model: "", max_tokens: 3000, stream: true, ignore_eos: true };
      const before = await interrupted(locked, headers);
      for (const [delay, text] of [[0, story], [5, story], [40, "Once more. ".repeat(300)]]) {
        const controller = new AbortController();
        const call = api.chat.completions.create({ ...long, messages: ask(text) }, { signal: controller.signal });
        setTimeout(() => controller.abort(), delay);
        await call.then(collect, (error) => assert.ok(error instanceof OpenAI.APIUserAbortError, String(error)));
        await sleep(30);
        await untilIdle(locked, headers);
      }
      const stream = await api.chat.completions.create({ ...long, messages: ask(story) });
      for await (const _ of stream) break; // which aborts
      await sleep(30);
      assert.ok((await untilIdle(locked, headers)) < 5000);
      assert.ok((await interrupted(locked, headers)) > before);
    });
  });
}
