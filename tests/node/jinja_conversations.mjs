// Conversations for the public templates: each with and without a generation prompt.
const system = { role: "system", content: "You are a terse assistant.\nAnswer in English." };
const user = { role: "user", content: "What is the weather in Köln? 🌦" };
const assistant = { role: "assistant", content: "Rain, as ever." };
const again = { role: "user", content: "And  tomorrow?\n" };

const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "The weather of a city.",
      parameters: {
        type: "object",
        properties: {
          city: { type: "string", description: "City and \"country\"" },
          unit: { type: "string", enum: ["celsius", "fahrenheit"], default: "celsius" },
          days: { type: ["integer", "null"], description: "How many", default: 3 },
          points: { type: "array", items: { type: "object", properties: { lat: { type: "number" }, lon: { type: "number" } }, required: ["lat"] } },
          when: { oneOf: [{ type: "string" }, { type: "number", description: "Unix time" }], nullable: true },
          extra: { type: "object", nullable: true },
        },
        required: ["city"],
      },
    },
  },
  { type: "function", function: { name: "now", description: "The time.", parameters: { type: "object", properties: {} } } },
];
const call = (args) => ({
  role: "assistant",
  content: "",
  tool_calls: [{ id: "call12345", type: "function", function: { name: "get_weather", arguments: args } }],
});
const result = { role: "tool", name: "get_weather", tool_call_id: "call12345", content: '{"sky": "rain", "t": 7.5}' };
const object = { city: "Köln", days: 2, points: [{ lat: 50.9, lon: 6.9 }], flag: true, none: null };
const thought = { ...assistant, reasoning_content: "They ask about\nthe weather.", thinking: "They ask about\nthe weather." };

const bases = {
  "one turn": { messages: [user] },
  "system": { messages: [system, user] },
  "multi turn": { messages: [system, user, assistant, again] },
  "no system, multi turn": { messages: [user, assistant, again] },
  "ends with the assistant": { messages: [user, assistant] },
  "tools": { messages: [system, user], tools },
  "tools without system": { messages: [user], tools },
  "one tool call at a time": { messages: [user, call(object), result, assistant, again], tools },
  "tool result, object": { messages: [system, user, call(object), result], tools },
  "tool result, text": { messages: [user, call(JSON.stringify(object)), result, assistant], tools },
  "two results": { messages: [user, { role: "assistant", content: "Let me see.", tool_calls: [...call(object).tool_calls, { id: "call67890", type: "function", function: { name: "now", arguments: {} } }] }, result, { role: "tool", name: "now", tool_call_id: "call67890", content: "noon" }], tools },
  "null content": { messages: [user, { ...call(object), content: null }, result], tools },
  "reasoning": { messages: [user, thought, again] },
  "reasoning in the text": { messages: [user, { role: "assistant", content: "<think>\nHm.\n</think>\n\nRain." }, again] },
  "reasoning with a call": { messages: [user, { ...call(object), reasoning_content: "Call it.", thinking: "Call it." }, result], tools },
  "parts": { messages: [{ role: "user", content: [{ type: "text", text: "One" }, { type: "text", text: "Two" }] }] },
  "odd roles": { messages: [user, user] },
  "unknown role": { messages: [{ role: "narrator", content: "Once." }] },
  "empty": { messages: [] },
  "documents": { messages: [user], documents: [{ doc_id: 1, title: "T", text: "Body" }] },
};
const kwargs = {
  "": {},
  "thinking": { enable_thinking: true, thinking: true },
  "no thinking": { enable_thinking: false, thinking: false },
  "efforts": { reasoning_effort: "high", model_identity: "You are P.", builtin_tools: ["browser", "python"], date_string: "1 Jan 2025", tools_in_user_message: false, add_vision_id: true, clear_thinking: false, preserve_thinking: true, keep_past_thinking: true },
};

export const conversations = [];
for (const [base, context] of Object.entries(bases)) {
  for (const [extra, more] of Object.entries(kwargs)) {
    if (extra && !/^(one turn|tools|reasoning|tool result, object|multi turn)$/.test(base)) continue;
    for (const add_generation_prompt of [true, false]) {
      const name = [base, extra, add_generation_prompt ? "prompt" : "no prompt"].filter(Boolean).join(", ");
      conversations.push({ name, context: { ...context, ...more, add_generation_prompt, bos_token: "<s>", eos_token: "</s>" } });
    }
  }
}
