// Schemas that are sent to do harm: to take time, memory or stack of who compiles them, to be read in two ways, to say
// what is not valid. Each is refused by what its message says (`refused`), or what its grammar says is valid.

const times = (n, part) => Array.from({ length: n }, (_, i) => part(i))
const nested = (n, open, close, inside = '{}') => open.repeat(n) + inside + close.repeat(n)
const object = (n, name, value) => `{${times(n, (i) => `${JSON.stringify(name(i))}:${value(i)}`).join()}}`
const list = (n, value) => `[${times(n, value).join()}]`
const quoted = (i) => `"v-${i}"`
const any = () => '{}'
const tagged = (i) => `{"type":"object","properties":{"k":{"const":${i}}},"required":["k"]}`
const lengths = (i) => `{"anyOf":[{"minLength":${i}},{"minLength":${i + 40}}]}`
const chain = (n, link) =>
  `{"$ref":"#/$defs/r0","$defs":{${times(n, (i) => `"r${i}":${link(`{"$ref":"#/$defs/r${i + 1}"}`)}`).join()},"r${n}":{"type":"null"}}}`
const pattern = (text) => JSON.stringify({ type: 'string', pattern: text })

export const hostile = [
  // Nesting.
  { about: 'items in items, 30,000 deep', text: nested(30_000, '{"items":', '}'), refused: 'nested deeper than 256' },
  { about: 'items in items, 250 deep', text: nested(250, '{"items":', '}') },
  { about: 'properties in properties, 20,000 deep', text: nested(20_000, '{"properties":{"a":', '}}'), refused: 'nested deeper than 256' },
  { about: 'anyOf in anyOf, 120 deep', text: nested(120, '{"anyOf":[', ']}') },
  { about: 'allOf in allOf, 120 deep', text: nested(120, '{"allOf":[', ']}') },
  { about: 'additionalProperties in themselves, 200 deep', text: nested(200, '{"type":"object","additionalProperties":', '}', '{"type":"null"}') },
  { about: 'a constant of lists in lists, 200,000 deep', text: `{"const":${nested(200_000, '[', ']', '')}}`, refused: 'nested deeper than 256' },
  { about: 'brackets that are not closed', text: '['.repeat(200_000), refused: 'JSON' },
  { about: 'keywords that are unknown, deep inside', text: nested(9, '{"properties":{"a":', '}}', '{"maxLenght":1}'), refused: '/maxLenght: the keyword is not known' },

  // References.
  { about: 'itself', text: '{"$ref":"#"}', refused: 'refers to itself' },
  { about: 'itself by a property named $ref', text: '{"properties":{"$ref":{"$ref":"#/properties/$ref"}}}', refused: 'refers to itself' },
  { about: 'a circle of a hundred', text: `{"$ref":"#/$defs/r0","$defs":${object(100, (i) => `r${i}`, (i) => `{"$ref":"#/$defs/r${(i + 1) % 100}"}`)}}`, refused: 'refers to itself' },
  { about: 'a chain of 5,000', text: chain(5_000, (next) => next), refused: 'more than 256 schemas hold for one value' },
  { about: 'a chain of 100', text: chain(100, (next) => next) },
  { about: 'a chain of 100 lists', text: chain(100, (next) => `{"type":"array","maxItems":2,"items":${next}}`) },
  { about: 'a list that has to hold itself', text: '{"type":"array","items":{"$ref":"#"},"minItems":1}', refused: 'no text satisfies the grammar' },
  { about: 'an object that has to hold itself', text: '{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}', refused: 'no text satisfies the grammar' },
  { about: 'a tree of itself', text: '{"type":"object","properties":{"l":{"$ref":"#"},"r":{"$ref":"#"}}}' },
  { about: 'two that are each other, or null', text: '{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"type":"null"},{"type":"array","items":{"$ref":"#/$defs/b"}}]},"b":{"anyOf":[{"type":"boolean"},{"type":"array","items":{"$ref":"#/$defs/a"}}]}}}' },
  { about: 'each next one twice, ten times', text: `{"$ref":"#/$defs/r0","$defs":{${times(10, (i) => `"r${i}":{"type":"array","prefixItems":[{"$ref":"#/$defs/r${i + 1}"},{"$ref":"#/$defs/r${i + 1}"}],"items":false}`).join()},"r10":{"type":"null"}}}`, samples: 10 },
  { about: 'a reference to another machine', text: '{"$ref":"http://169.254.169.254/latest/meta-data"}', refused: 'only references into the schema itself' },
  { about: 'a reference to a file', text: '{"$ref":"file:///etc/passwd"}', refused: 'only references into the schema itself' },
  { about: 'a reference with a broken escape', text: '{"$ref":"#/$defs/~2","$defs":{"~2":{}}}', refused: 'at /$ref' },
  { about: 'a reference to what is no schema', text: '{"$ref":"#/required","required":["a"]}', refused: 'a schema, which is' },
  { about: 'a reference into a list, beyond its end', text: '{"$ref":"#/anyOf/18446744073709551616","anyOf":[{}]}', refused: 'there is nothing at' },

  // Counts.
  { about: 'a string of a million characters at most', text: '{"type":"string","maxLength":1000000}' },
  { about: 'a string of 2^32 characters at least', text: '{"type":"string","minLength":4294967296}', refused: 'at /minLength' },
  { about: 'a length of 10^30', text: '{"type":"string","maxLength":1e30}' },
  { about: 'a list of 20,000 nulls', text: '{"type":"array","items":{"type":"null"},"minItems":20000,"maxItems":20000}', samples: 2 },
  { about: 'more than at most', text: '{"type":"string","minLength":5,"maxLength":4}', refused: 'no text satisfies the grammar' },
  { about: 'a million members', text: '{"type":"object","minProperties":1000000}', refused: 'minProperties above the number of' },
  { about: 'bounds of 400 digits', text: `{"type":"number","minimum":${'9'.repeat(400)}}`, refused: 'Problem while parsing a number' },
  { about: 'a bound with an exponent of 10^9', text: '{"type":"number","minimum":1e1000000000}', refused: 'Problem while parsing a number' },
  { about: 'bounds that differ in their last digit', text: '{"type":"integer","minimum":9007199254740990,"maximum":9007199254740991}' },
  { about: 'multiples of all up to a hundred', text: `{"allOf":${list(100, (i) => `{"type":"integer","multipleOf":${i + 1}}`)}}`, refused: 'multipleOf' },
  { about: 'a pattern beside a million characters', text: '{"type":"string","maxLength":1000000,"pattern":"ab"}', refused: 'states' },

  // Long lists.
  { about: 'an enum of 50,000', text: `{"enum":${list(50_000, quoted)}}`, samples: 20 },
  { about: 'an enum of 50,000 numbers', text: `{"enum":${list(50_000, (i) => i)}}`, samples: 20 },
  { about: 'a constant of 80,000 numbers', text: `{"const":${list(80_000, (i) => i)}}`, refused: 'more than 100000' },
  { about: 'a constant of half a megabyte', text: `{"const":"${'x'.repeat(500_000)}"}`, refused: 'more than 100000' },
  { about: 'a note of half a megabyte', text: `{"type":"null","description":"${'x'.repeat(500_000)}"}` },
  { about: 'a note of a megabyte', text: `{"description":"${'x'.repeat(1 << 20)}"}`, refused: 'at most 524288' },
  { about: '300 properties', text: `{"properties":${object(300, (i) => `p${i}`, () => '{"type":"string"}')}}`, samples: 20 },
  { about: '14,000 properties', text: `{"properties":${object(14_000, (i) => `p${i}`, () => '{"type":"string"}')}}`, refused: 'more than 100000' },
  { about: '30,000 names that are required', text: `{"required":${list(30_000, quoted)}}`, refused: 'may have 20000 states at most' },
  { about: '20,000 places of a list', text: `{"prefixItems":${list(20_000, any)}}`, refused: 'more than 100000' },
  { about: '60,000 choices', text: `{"anyOf":${list(60_000, any)}}`, refused: 'more than 100000' },
  { about: '40 that exclude each other', text: `{"oneOf":${list(40, tagged)}}` },
  { about: 'five patterns of names', text: `{"patternProperties":${object(5, (i) => `^${i}`, any)}}`, refused: 'more than 4 patterns' },

  // Products.
  { about: '2^30 choices', text: `{"allOf":${list(30, lengths)}}`, refused: 'more than 100000' },
  { about: '5,000 lists of choices', text: `{"allOf":${list(5_000, lengths)}}`, refused: 'more than 64 lists of anyOf and oneOf' },
  { about: 'twelve patterns at once', text: `{"allOf":${list(12, (i) => `{"pattern":"(a|b)*a(a|b){${i + 5}}"}`)}}`, refused: 'states' },

  // Patterns.
  { about: '60,000 groups in a pattern', text: pattern('('.repeat(60_000) + ')'.repeat(60_000)), refused: 'deeper than 256' },
  { about: 'a thousand, counted thrice', text: pattern('^((a{10}){10}){10}$'), samples: 10 },
  { about: 'a pattern that takes others exponential time', text: pattern('^(a+)+$') },
  { about: 'another one', text: pattern('^(a|a)*b$') },
  { about: 'a pattern that nothing fits', text: pattern('a^b'), refused: '`^`' },
  { about: 'a class that is backwards', text: pattern('[z-a]'), refused: 'at /pattern' },
  { about: 'a reference to a group that is not there', text: pattern('(a)\\2'), refused: 'references to groups' },
  { about: 'half of a pair', text: String.raw`{"type":"string","pattern":"\ud800"}`, refused: 'Problem while parsing a string' },

  // Read in two ways.
  { about: 'a key twice', text: '{"type":"string","type":"integer"}', refused: 'there twice' },
  { about: 'a property twice', text: '{"properties":{"a":{"type":"string"},"a":{"type":"integer"}}}', refused: 'there twice' },
  { about: 'a key twice, once spelt with an escape', text: String.raw`{"properties":{"a":{"type":"string"},"\u0061":{}}}`, refused: 'there twice' },
  { about: 'a schema and another behind it', text: '{"type":"string"}{}', refused: 'JSON' },
  { about: 'a control character in a keyword', text: String.raw`{"a\u0000\n":1}`, refused: 'at /a??: the keyword is not known' },
  { about: 'names that are JavaScript\'s own', text: '{"type":"object","properties":{"__proto__":{"type":"integer"},"constructor":{"type":"integer"}},"required":["__proto__","constructor"]}' },
  { about: 'names that need escapes', text: String.raw`{"type":"object","properties":{"\"":{"type":"null"},"\\":{"type":"null"},"\u0007":{"type":"null"},"\ud83d\ude00":{"type":"null"}},"required":["\"","\\","\u0007","\ud83d\ude00"]}` },
  { about: 'values that end a string early', text: String.raw`{"enum":["\",\"b\":1","\\","\\\"","\u2028"]}` },
]
