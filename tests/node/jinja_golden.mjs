// Renders templates with npm @huggingface/jinja, the reference of src/text/jinja:
//
//   node tests/node/jinja_golden.mjs [TEMPLATES_FOLDER]
//
// writes tests/golden/jinja/constructs.json (our own templates with their output) and, given a folder of
// public *.jinja files, templates.json, which holds only a hash and the size of each output: their
// licences keep the templates out of the tree. The package is found from PLIMSOLL_NODE_MODULES or the
// current folder.
import { createRequire } from "node:module";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cases } from "./jinja_cases.mjs";
import { conversations } from "./jinja_conversations.mjs";

const modules = process.env.PLIMSOLL_NODE_MODULES ?? join(process.cwd(), "node_modules");
const { Template } = createRequire(join(modules, "x.js"))("@huggingface/jinja");
const golden = join(dirname(fileURLToPath(import.meta.url)), "..", "golden", "jinja");

// strftime_now reads the clock: it stands still here, at the time that the C++ test passes.
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor() {
    super(2024, 6, 4, 9, 5, 0);
  }
};

function render(template, context) {
  try {
    return { output: new Template(template).render(structuredClone(context)) };
  } catch (error) {
    return { error: String(error?.message ?? error) };
  }
}

// FNV-1a, 64 bits, of the UTF-8 bytes.
function hash(text) {
  let h = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text, "utf8")) h = ((h ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  return h.toString(16).padStart(16, "0");
}

const context = cases[0].context;
const rendered = cases.map(({ template }) => ({ template, ...render(template, context) }));
writeFileSync(join(golden, "constructs.json"), JSON.stringify({ context, cases: rendered }, null, 1) + "\n");

const folder = process.argv[2];
if (folder) {
  const results = [];
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".jinja")).sort()) {
    const template = readFileSync(join(folder, file), "utf8");
    for (const { name, context } of conversations) {
      const { output, error } = render(template, context);
      results.push(output === undefined ? { file, name, error } : { file, name, bytes: Buffer.byteLength(output), hash: hash(output) });
    }
  }
  writeFileSync(join(golden, "templates.json"), JSON.stringify({ conversations, results }, null, 1) + "\n");
}
console.log(`${rendered.length} constructs, ${rendered.filter((r) => r.error !== undefined).length} of them refused`);
