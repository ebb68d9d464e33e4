// Prints llama.cpp's raw logits at every position of the given tokens, in the form of
// `plimsoll eval logits --full`: {"pos":0,"logits":[...]}, one JSON object a line.
//
// node peer_logits.mjs --model FILE --ids 1,2,3 [--ids 4,5 ...] [--threads 1] [--batch 512]
//                      [--flash auto|on|off]
//
// Each --ids is a sequence of its own; "pos" starts again at 0. node-llama-cpp runs llama.cpp on the
// CPU, otherwise with its defaults: F16 keys and values, the tokens of a batch together.
import {parseArgs} from "node:util";
import path from "node:path";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const {values: options} = parseArgs({
    options: {
        model: {type: "string"},
        ids: {type: "string", multiple: true},
        threads: {type: "string", default: "1"},
        batch: {type: "string", default: "512"},
        flash: {type: "string", default: "auto"}
    }
});
const sequences = options.ids.map((ids) => ids.split(",").map(Number));

const llama = await getLlama({
    gpu: false, build: "never", maxThreads: Number(options.threads), logLevel: LlamaLogLevel.error
});
const model = await llama.loadModel({
    modelPath: path.resolve(options.model), gpuLayers: 0, ignoreMemorySafetyChecks: true
});
const context = await model.createContext({
    contextSize: Math.max(256, ...sequences.map((ids) => ids.length + 8)),
    batchSize: Number(options.batch),
    threads: Number(options.threads),
    flashAttention: options.flash === "auto" ? "auto" : options.flash === "on",
    ignoreMemorySafetyChecks: true
});
const sequence = context.getSequence();

for (const ids of sequences) {
    await sequence.clearHistory();
    const results = await sequence.controlledEvaluate(
        ids.map((id) => [id, {generateNext: {logits: true}}])
    );
    results.forEach(({next}, pos) => {
        const logits = new Array(next.logits.size);
        for (const [token, logit] of next.logits)
            logits[token] = logit;
        process.stdout.write(JSON.stringify({pos, logits}) + "\n");
    });
}

await context.dispose();
await model.dispose();
await llama.dispose();
