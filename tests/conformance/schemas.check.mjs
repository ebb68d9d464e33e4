// The schemas of schemas/ by another validator, ajv: that each valid and invalid example is what it says,
// and that random texts of the grammars which the schemas are compiled to are valid. SAMPLES names the
// program that makes these texts.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import Ajv from 'ajv'
import Ajv2020 from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

const SAMPLES_PER_SCHEMA = 200

const path = (name) => fileURLToPath(new URL(`schemas/${name}`, import.meta.url))
const lines = (text) => text.split('\n').filter(Boolean).map((line) => JSON.parse(line))
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
  const output = execFileSync(process.env.SAMPLES, [path('supported.jsonl'), String(SAMPLES_PER_SCHEMA)], {
    encoding: 'utf8',
    maxBuffer: 1 << 30,
  })
  const samples = lines(output)
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
  const samples = lines(execFileSync(process.env.SAMPLES, [path('refused.jsonl'), '1'], { encoding: 'utf8' }))
  for (const [index, line] of refused.entries()) {
    assert.ok(samples[index].error?.includes(line.refused), `${line.about}: ${JSON.stringify(samples[index])}`)
  }
})
