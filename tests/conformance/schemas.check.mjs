// The schemas of schemas/ by another validator, ajv: that each valid and invalid example is what it says,
// and that random texts of the grammars which the schemas are compiled to are valid, of hostile ones too
// where they are not refused. SAMPLES names the program that makes these texts.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import Ajv from 'ajv'
import Ajv2020 from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

import { hostile } from './schemas/hostile.mjs'

const SAMPLES_PER_SCHEMA = 200

const path = (name) => fileURLToPath(new URL(`schemas/${name}`, import.meta.url))
const lines = (text) => text.split('\n').filter(Boolean).map((line) => JSON.parse(line))
const samplesOf = (file, count) =>
  lines(execFileSync(process.env.SAMPLES, [file, String(count)], { encoding: 'utf8', maxBuffer: 1 << 30 }))
const supported = lines(readFileSync(path('supported.jsonl'), 'utf8'))

const options = { strict: false, validateFormats: true, logger: false }
const draft7 = addFormats(new Ajv(options))
const draft2020 = addFormats(new Ajv2020(options))
const validators = supported.map(({ schema, draft }) => (draft === 7 ? draft7 : draft2020).compile(schema))

test('the examples are what they say', () => {
  for (const [index, line] of supported.entries()) {
    const validate = validators[index]
    for (const value of [...(line.valid ?? []), ...(line.unsaid ?? [])]) {
      assert.ok(validate(value), `${line.about}: ${JSON.stringify(value)} is not valid`)
    }
    for (const value of line.invalid ?? []) {
      assert.ok(!validate(value), `${line.about}: ${JSON.stringify(value)} is valid`)
    }
  }
})

test('what the grammars say is valid', () => {
  const samples = samplesOf(path('supported.jsonl'), SAMPLES_PER_SCHEMA)
  assert.equal(samples.length, supported.length)
  for (const [index, line] of supported.entries()) {
    const validate = validators[index]
    assert.equal(samples[index].error, undefined, line.about)
    assert.equal(samples[index].texts.length, SAMPLES_PER_SCHEMA, line.about)
    for (const text of samples[index].texts) {
      assert.ok(validate(JSON.parse(text)), `${line.about}: ${text}: ${JSON.stringify(validate.errors)}`)
    }
  }
})

test('what is refused is refused by name', () => {
  const refused = lines(readFileSync(path('refused.jsonl'), 'utf8'))
  const samples = samplesOf(path('refused.jsonl'), 1)
  for (const [index, line] of refused.entries()) {
    assert.ok(samples[index].error?.includes(line.refused), `${line.about}: ${JSON.stringify(samples[index])}`)
  }
})

test('what is sent to do harm is refused by name, or what is said is valid', () => {
  assert.ok(hostile.length >= 50)
  const folder = mkdtempSync(join(tmpdir(), 'schemas-'))
  try {
    const file = join(folder, 'hostile.jsonl')
    writeFileSync(file, hostile.map((line) => JSON.stringify(line)).join('\n') + '\n')
    const all = samplesOf(file, SAMPLES_PER_SCHEMA)
    assert.equal(all.length, hostile.length)
    for (const [index, line] of hostile.entries()) {
      const { error, texts } = all[index]
      if (line.refused !== undefined) {
        assert.ok(error?.includes(line.refused), `${line.about}: ${error}`)
        continue
      }
      assert.equal(error, undefined, line.about)
      assert.ok(texts.length > 0, line.about)
      const validate = draft2020.compile(JSON.parse(line.text))
      for (const text of texts) {
        assert.ok(validate(JSON.parse(text)), `${line.about}: ${text.slice(0, 200)}: ${JSON.stringify(validate.errors)}`)
      }
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
})
