// /v1/chat/completions through both lines of the openai client.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, capital, collect, openai, openaiLines, post, serve, story, weatherTool } from "./support.mjs";

let server;
before(async () => (server = await serve()));
after(() => server.stop());

const base = { model: "", temperature: 0, max_completion_tokens: 24 };

for (const client of openaiLines) {
  describe(client.line, () => {
    let chat;
    before(() => (chat = openai(client, server).chat.completions));

    test("a plain reply has its shape", async () => {
      const reply = await chat.create({ ...base, messages: ask(capital) });
      assert.match(reply.id, /^chatcmpl-./);
      assert.equal(reply.object, "chat.completion");
      assert.ok(Math.abs(reply.created - Date.now() / 1000) < 60);
      assert.ok(reply.model.length > 0);
      assert.equal(reply.choices.length, 1);
      const [choice] = reply.choices;
      assert.equal(choice.index, 0);
      assert.equal(choice.finish_reason, "stop");
      assert.equal(choice.logprobs, null);
      assert.equal(choice.message.role, "assistant");
      assert.equal(choice.message.content, "The capital of France is Paris.");
      assert.equal(choice.message.refusal, null);
      assert.equal(choice.message.tool_calls, undefined);
      const { usage } = reply;
      assert.ok(usage.prompt_tokens > 0 && usage.completion_tokens > 0);
      assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
      assert.equal(typeof usage.prompt_tokens_details.cached_tokens, "number");
      assert.equal(usage.completion_tokens_details.reasoning_tokens, 0);
    });

    test("a stream says the same, in chunks of one shape", async () => {
      const whole = await chat.create({ ...base, messages: ask(capital) });
      const chunks = await collect(await chat.create({ ...base, messages: ask(capital), stream: true }));
      assert.equal(chunks.map((c) => c.choices[0].delta.content ?? "").join(""), whole.choices[0].message.content);
      assert.deepEqual(chunks[0].choices[0].delta, { role: "assistant", content: "" });
      assert.equal(new Set(chunks.map((c) => `${c.id} ${c.created} ${c.model} ${c.object}`)).size, 1);
      assert.equal(chunks[0].object, "chat.completion.chunk");
      assert.deepEqual(chunks.at(-1).choices[0].delta, {});
      assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
      assert.ok(chunks.slice(0, -1).every((c) => c.choices[0].finish_reason === null));
      assert.ok(chunks.every((c) => (c.usage ?? null) === null));
    });

    test("usage comes last in a stream when it is asked for", async () => {
      const whole = await chat.create({ ...base, messages: ask(capital) });
      const chunks = await collect(
        await chat.create({ ...base, messages: ask(capital), stream: true, stream_options: { include_usage: true } }),
      );
      const last = chunks.at(-1);
      assert.deepEqual(last.choices, []);
      assert.equal(last.usage.completion_tokens, whole.usage.completion_tokens);
      assert.equal(last.usage.prompt_tokens, whole.usage.prompt_tokens);
      assert.ok(chunks.slice(0, -1).every((c) => c.usage === null));
    });

    test("n choices, each with its index", async () => {
      const some = { ...base, n: 3, seed: 5, temperature: 1, messages: ask(story), max_completion_tokens: 12 };
      const reply = await chat.create(some);
      assert.deepEqual(reply.choices.map((c) => c.index), [0, 1, 2]);
      assert.ok(new Set(reply.choices.map((c) => c.message.content)).size > 1, "choices draw on their own");
      const texts = ["", "", ""];
      const ends = [0, 0, 0];
      for await (const chunk of await chat.create({ ...some, stream: true })) {
        for (const choice of chunk.choices) {
          texts[choice.index] += choice.delta.content ?? "";
          if (choice.finish_reason) ends[choice.index] += 1;
        }
      }
      assert.deepEqual(texts, reply.choices.map((c) => c.message.content));
      assert.deepEqual(ends, [1, 1, 1]);
    });

    test("logprobs tell each token, its bytes and the likeliest others", async () => {
      const reply = await chat.create({ ...base, messages: ask(capital), logprobs: true, top_logprobs: 4 });
      const tokens = reply.choices[0].logprobs.content;
      assert.equal(tokens.map((t) => t.token).join(""), reply.choices[0].message.content);
      assert.equal(Buffer.from(tokens.flatMap((t) => t.bytes)).toString(), reply.choices[0].message.content);
      for (const token of tokens) {
        assert.equal(token.top_logprobs.length, 4);
        assert.ok(token.logprob <= 0);
        assert.equal(token.top_logprobs[0].token, token.token, "temperature 0 draws the likeliest");
        const sum = token.top_logprobs.reduce((s, t) => s + Math.exp(t.logprob), 0);
        assert.ok(sum > 0 && sum <= 1.0001, `${sum}`);
        const order = token.top_logprobs.map((t) => t.logprob);
        assert.deepEqual(order, [...order].sort((a, b) => b - a));
      }
      const chunks = await collect(
        await chat.create({ ...base, messages: ask(capital), logprobs: true, top_logprobs: 4, stream: true }),
      );
      assert.deepEqual(chunks.flatMap((c) => c.choices[0].logprobs?.content ?? []), tokens);
    });

    test("stop strings cut across the borders of tokens", async () => {
      const whole = (await chat.create({ ...base, messages: ask(story), max_completion_tokens: 40 })).choices[0].message.content;
      for (const [from, length] of [[10, 3], [11, 7], [23, 2], [30, 12]]) {
        const stop = whole.slice(from, from + length);
        const expected = whole.slice(0, whole.indexOf(stop));
        for (const value of [stop, ["never said", stop]]) {
          const cut = { ...base, messages: ask(story), max_completion_tokens: 40, stop: value };
          const reply = await chat.create(cut);
          assert.equal(reply.choices[0].message.content, expected);
          assert.equal(reply.choices[0].finish_reason, "stop");
          const chunks = await collect(await chat.create({ ...cut, stream: true }));
          assert.equal(chunks.map((c) => c.choices[0].delta.content ?? "").join(""), expected);
        }
      }
    });

    test("a limit ends with length, by its new and its old name", async () => {
      for (const limit of [{ max_completion_tokens: 1 }, { max_tokens: 1, max_completion_tokens: undefined }]) {
        const reply = await chat.create({ ...base, ...limit, messages: ask(story) });
        assert.equal(reply.choices[0].finish_reason, "length");
        assert.equal(reply.usage.completion_tokens, 1);
      }
    });

    test("an answer may be empty", async () => {
      const first = (await chat.create({ ...base, messages: ask(capital) })).choices[0].message.content[0];
      const reply = await chat.create({ ...base, messages: ask(capital), stop: first });
      assert.equal(reply.choices[0].message.content, "");
      assert.equal(reply.choices[0].finish_reason, "stop");
    });

    test("a seed gives the same text twenty times", async () => {
      const drawn = { ...base, messages: ask(story), temperature: 1.5, seed: 42, max_completion_tokens: 12 };
      const texts = await Promise.all(
        Array.from({ length: 20 }, async () => (await chat.create(drawn)).choices[0].message.content),
      );
      assert.equal(new Set(texts).size, 1);
      const others = await Promise.all(
        Array.from({ length: 8 }, async (_, i) => (await chat.create({ ...drawn, seed: i })).choices[0].message.content),
      );
      assert.ok(new Set(others).size > 1);
    });

    test("logit_bias forbids, penalties change", async () => {
      const plain = (await chat.create({ ...base, messages: ask(capital) })).choices[0].message.content;
      const { tokens } = (await post(server, "/tokenize", { content: " Paris" })).json();
      const bias = Object.fromEntries(tokens.map((t) => [String(t), -100]));
      const without = (await chat.create({ ...base, messages: ask(capital), logit_bias: bias })).choices[0].message.content;
      assert.match(plain, /Paris/);
      assert.doesNotMatch(without, / Paris/);
      const long = { ...base, messages: ask(story), max_completion_tokens: 60 };
      const [free, held] = await Promise.all([
        chat.create(long),
        chat.create({ ...long, frequency_penalty: 2, presence_penalty: 2 }),
      ]);
      assert.notEqual(free.choices[0].message.content, held.choices[0].message.content);
    });

    test("roles and parts of messages", async () => {
      const reply = await chat.create({
        ...base,
        messages: [
          { role: "developer", content: "Be brief." },
          { role: "user", content: [{ type: "text", text: "Hello," }, { type: "text", text: "I am Leo." }] },
          { role: "assistant", content: null, tool_calls: [{ id: "call_1", type: "function", function: { name: "get_weather", arguments: "{\"city\":\"Bonn\"}" } }] },
          { role: "tool", tool_call_id: "call_1", content: "Rain." },
          { role: "user", content: capital },
        ],
        tools: [weatherTool],
      });
      assert.equal(reply.choices[0].message.role, "assistant");
    });

    test("a prompt that was seen is cached", async () => {
      const messages = ask(`${story} Then: ${capital} ${"And the same again. ".repeat(20)}`);
      await chat.create({ ...base, messages, max_completion_tokens: 4 });
      const again = await chat.create({ ...base, messages, max_completion_tokens: 4 });
      const cached = again.usage.prompt_tokens_details.cached_tokens;
      assert.ok(cached >= 0 && cached < again.usage.prompt_tokens);
    });

    test(".stream() accumulates", async () => {
      const stream = chat.stream({ ...base, messages: ask(capital), stream_options: { include_usage: true } });
      let text = "";
      stream.on("content", (delta) => (text += delta));
      const final = await stream.finalChatCompletion();
      assert.equal(final.choices[0].message.content, "The capital of France is Paris.");
      assert.equal(text, final.choices[0].message.content);
      assert.equal(await stream.finalContent(), text);
      assert.equal(final.choices[0].finish_reason, "stop");
      assert.ok((await stream.totalUsage()).total_tokens > 0);
    });

    test("a forced call is a tool call, streamed as deltas of one index", async () => {
      const forced = {
        ...base,
        max_completion_tokens: 128,
        messages: ask("What is the weather in Bonn?"),
        tools: [weatherTool],
        tool_choice: { type: "function", function: { name: "get_weather" } },
      };
      const reply = await chat.create(forced);
      const [call] = reply.choices[0].message.tool_calls;
      assert.match(call.id, /^call_./);
      assert.equal(call.type, "function");
      assert.equal(call.function.name, "get_weather");
      assert.equal(typeof JSON.parse(call.function.arguments).city, "string", "what the schema requires is there");
      assert.equal(reply.choices[0].finish_reason, "tool_calls");
      assert.equal(reply.choices[0].message.content, null);

      const chunks = await collect(await chat.create({ ...forced, stream: true }));
      const deltas = chunks.flatMap((c) => c.choices[0].delta.tool_calls ?? []);
      assert.deepEqual(Object.keys(deltas[0]).sort(), ["function", "id", "index", "type"]);
      assert.equal(deltas[0].function.name, "get_weather");
      assert.equal(deltas[0].function.arguments, "");
      assert.ok(deltas.slice(1).every((d) => d.index === 0 && d.id === undefined && d.type === undefined));
      assert.equal(deltas.map((d) => d.function.arguments).join(""), call.function.arguments);

      const streamed = await chat.stream(forced).finalChatCompletion();
      assert.equal(streamed.choices[0].message.tool_calls[0].function.arguments, call.function.arguments);
    });

    test("a tool call goes round: the result is answered", async () => {
      const seen = [];
      const tool = (name) => ({
        type: "function",
        function: {
          name,
          description: name,
          parameters: weatherTool.function.parameters,
          parse: JSON.parse,
          function: (args) => {
            seen.push([name, args]);
            return "It rains in Bonn.";
          },
        },
      });
      const runner = chat.runTools(
        {
          ...base,
          max_completion_tokens: 128,
          messages: ask("What is the weather in Bonn, and what time is it?"),
          tools: [tool("get_weather"), tool("get_time")],
          tool_choice: "required",
        },
        { maxChatCompletions: 2 },
      );
      await runner.done();
      assert.ok(seen.length >= 1, "a function was called");
      assert.ok(seen.every(([, { city }]) => typeof city === "string"));
      const roles = runner.messages.map((m) => m.role);
      assert.deepEqual(roles.slice(0, 3), ["user", "assistant", "tool"]);
      assert.equal(runner.messages[2].tool_call_id, runner.messages[1].tool_calls[0].id);

      const answer = await chat.create({ ...base, messages: runner.messages, tools: [tool("get_weather")].map(({ type, function: { name, description, parameters } }) => ({ type, function: { name, description, parameters } })), tool_choice: "none" });
      assert.equal(typeof answer.choices[0].message.content, "string");
      assert.equal(answer.choices[0].message.tool_calls, undefined);
    });

    test("what nobody knows is accepted, what is wrong is named", async () => {
      const reply = await chat.create({ ...base, messages: ask(capital), tomorrow: { a: 1 } });
      assert.equal(reply.choices.length, 1);
      const wrong = [
        [{ temperature: "hot" }, "temperature"],
        [{ temperature: 1e9 }, "temperature"],
        [{ n: 0 }, "n"],
        [{ n: 1000 }, "n"],
        [{ messages: [] }, "messages"],
        [{ messages: [{ role: "robot", content: "a" }] }, "messages[0].role"],
        [{ messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }] }, "messages[0].content[0].type"],
        [{ response_format: { type: "xml" } }, "response_format.type"],
        [{ response_format: { type: "json_schema", json_schema: { name: "a", schema: { not: {} } } } }, "response_format.json_schema.schema"],
        [{ top_logprobs: 3 }, "top_logprobs"],
        [{ logprobs: true, top_logprobs: 99 }, "top_logprobs"],
        [{ tools: [{ type: "web" }] }, "tools[0].type"],
        [{ tool_choice: "required" }, "tool_choice"],
        [{ stop: [""] }, "stop[0]"],
        [{ logit_bias: { x: 1 } }, "logit_bias.x"],
        [{ store: true }, "store"],
      ];
      for (const [members, param] of wrong) {
        const error = await chat.create({ ...base, messages: ask("a"), ...members }).then(() => null, (e) => e);
        assert.ok(error instanceof client.OpenAI.BadRequestError, JSON.stringify(members));
        assert.equal(error.status, 400);
        assert.equal(error.param, param, error.message);
        assert.equal(error.type, "invalid_request_error");
        assert.ok(error.code.length > 0);
        assert.ok(error.requestID.length > 0);
      }
    });
  });
}

describe("the bytes of a stream", () => {
  const grammar = async (members) => {
    const reply = await post(server, "/v1/chat/completions", { ...base, messages: ask(story), stream: true, ...members });
    assert.equal(reply.status, 200);
    assert.match(reply.headers.get("content-type"), /^text\/event-stream/);
    assert.equal(reply.headers.get("content-encoding"), null);
    const events = reply.text.split("\n\n");
    assert.equal(events.pop(), "", "an empty line ends each event");
    const data = events.filter((e) => !e.startsWith(":"));
    for (const event of data) assert.match(event, /^data: [^\n]+$/);
    assert.equal(data.pop(), "data: [DONE]");
    return data.map((event) => JSON.parse(event.slice(6)));
  };

  test("one line of JSON an event, no names, [DONE] at the end", async () => {
    const chunks = await grammar({});
    assert.ok(chunks.length > 5);
  });

  test("characters are never cut, whatever tokens make of them", async () => {
    for (const seed of [1, 2, 3, 4]) {
      const chunks = await grammar({ temperature: 3, top_k: 0, top_p: 1, min_p: 0, seed, max_completion_tokens: 48 });
      const text = chunks.map((c) => c.choices[0]?.delta.content ?? "").join("");
      assert.ok(text.length > 0);
    }
  });

  test("a silent reply has a sign of life from its start", async () => {
    const response = await fetch(`${server.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...base, messages: ask(story), stream: true }),
    });
    const reader = response.body.getReader();
    const first = new TextDecoder().decode((await reader.read()).value);
    assert.match(first, /^(: ping\n\n|data: )/);
    await reader.cancel();
  });
});
