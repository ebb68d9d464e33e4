// Measures llama.cpp once: reads the prompt, then writes tokens greedily after it. Prints
// {"prefill_tps":...,"decode_tps":...,"prompt_tokens":...,"generated_tokens":...}.
//
// node peer_speed.mjs --model FILE --ids 1,2,3 --predict 64 --threads 2
//
// Prefill ends with the first token; decode is timed from the first token to the last. A short
// warm-up comes first, so that loading and page faults are outside both.
import {parseArgs} from "node:util";
import path from "node:path";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const {values: options} = parseArgs({
    options: {
        model: {type: "string"},
        ids: {type: "string"},
        predict: {type: "string", default: "64"},
        threads: {type: "string", default: "2"}
    }
});
const ids = options.ids.split(",").map(Number);
const nPredict = Number(options.predict);
const threads = Number(options.threads);

const llama = await getLlama({gpu: false, build: "never", maxThreads: threads, logLevel: LlamaLogLevel.error});
const model = await llama.loadModel({
    modelPath: path.resolve(options.model), gpuLayers: 0, ignoreMemorySafetyChecks: true
});
const context = await model.createContext({
    contextSize: ids.length + nPredict + 32, batchSize: 512, threads, ignoreMemorySafetyChecks: true
});
const sequence = context.getSequence();

// Seconds until the first token, and from there to the last of n.
async function generate(prompt, n) {
    await sequence.clearHistory();
    const started = performance.now();
    let first = 0, count = 0;
    for await (const _ of sequence.evaluate(prompt, {temperature: 0, yieldEogToken: true})) {
        if (++count === 1)
            first = performance.now();
        if (count === n)
            break;
    }
    return [(first - started) / 1000, (performance.now() - first) / 1000, count];
}

await generate(ids.slice(0, 64), 4);
const [prefillSeconds, decodeSeconds, count] = await generate(ids, nPredict);
console.log(JSON.stringify({
    prefill_tps: ids.length / prefillSeconds,
    decode_tps: (count - 1) / decodeSeconds,
    prompt_tokens: ids.length,
    generated_tokens: count
}));

await context.dispose();
await model.dispose();
await llama.dispose();
