#!/usr/bin/python3
"""Renders templates with Jinja in Python, set up as Hugging Face transformers does:

    python3 tests/python/jinja_golden.py [TEMPLATES_FOLDER]

writes tests/golden/jinja/python.json: what src/text/jinja gives where npm @huggingface/jinja, its other
reference, differs from Python or refuses (the cases below and the constructs that the file names).
Given the folder of public templates, it then puts Python's results into templates.json, except where
only Python refuses to read a member of an undefined value. Needs the package jinja2.
"""

import datetime
import json
import sys
from pathlib import Path

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

CASES = [
    # Newlines.
    "a\r\n  {% if yes %}\r\nb{% endif %}",
    "{# note #}\r\n{{ n }}\r\n\r\nb\rc\r\n",
    # What a round of a loop wrote stays.
    "{% for i in list %}{{ i }}{% if i == 1 %}{% break %}{% endif %}!{% endfor %}",
    "{% for i in list %}a{% if i == 1 %}b{% continue %}{% endif %}c{% endfor %}",
    "{% for i in [1] %}x{% continue %}{% else %}e{% endfor %}",
    "{% for i in [1, 2] %}{{ i }}{% for j in [3, 4] %}{{ j }}{% break %}{% endfor %}{% endfor %}",
    "{% macro m() %}{% break %}{% endmacro %}{% for i in list %}{{ i }}{{ m() }}{% endfor %}.",
    # What loops take.
    "{% for a, b in [(1, 2)] %}{{ a }}{% endfor %}",
    "{% for c in 'abc' %}{{ c }}{% endfor %}",
    "{% for c in uni %}[{{ c }}]{{ loop.revindex0 }}{% endfor %}",
    "{% for c in x %}{% endfor %}",
    "{% for c in nested.y %}{{ c }}{% else %}none{% endfor %}",
    "{% for c in nil %}{% endfor %}",
    # Printing.
    "{{ ['it', \"it's\", '\"', 'a\\nb\\tc', 'é😀'] }} {{ (1, 2) }} {{ {'a': {}, 'b': [], 'c': (1, 2)} }}",
    "{{ [true, none, 1.5, -2, 10000000000000000 * 1.0, 0.0001, 0.00001] }} {{ 2.0|tojson }} {{ [1000000000000000 * 10.0, (1, 2)]|tojson }}",
    "{{ none|string }} {{ x|string }} {{ d|string|length }} {{ [1, 'b']|upper }} {{ true|lower }} {{ none|trim }}",
    "{{ 'a' ~ none ~ x ~ true ~ 1.0 ~ [none] }} {{ [none, true, [1, 'a']]|join(';') }}",
    "{{ x|length }} {{ nil|selectattr('a')|list }} {{ x|map('upper')|list }} {{ s|selectattr('a', 'equalto', 1)|list }}",
    "{{ 'a' + none }}",
    "{{ 'a' + [1] }}",
    # The characters to strip.
    "[{{ 'xxa'.strip('x') }}][{{ 'xaxx'.rstrip('xy') }}][{{ 'yxax'.lstrip('xy') }}][{{ 'xyx'.strip('yx') }}]",
    "[{{ '\\n\\n a \\n'.lstrip('\\n') }}][{{ 'éaé'.strip('é') }}][{{ ''.strip('a') }}][{{ ' a '.strip(none) }}]",
]

golden = Path(__file__).resolve().parent.parent / "golden" / "jinja"
environment = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.TemplateError(message)


def strftime_now(form):
    return datetime.datetime(2024, 7, 4, 9, 5).strftime(form)


def render(template, context):
    try:
        return {"output": environment.from_string(template).render(**context)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def fnv1a(data):
    state = 0xCBF29CE484222325
    for byte in data:
        state = (state ^ byte) * 0x100000001B3 % 2**64
    return f"{state:016x}"


def of_template(old, text, context):
    result = render(text, context)
    if "error" in result:
        return old if result["error"].startswith("UndefinedError") else {**names_of(old), **result}
    data = result["output"].encode()
    return {**names_of(old), "bytes": len(data), "hash": fnv1a(data)}


def names_of(result):
    return {"file": result["file"], "name": result["name"]}


def save(name, value):
    (golden / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


environment.filters["tojson"] = tojson
environment.globals.update(raise_exception=raise_exception, strftime_now=strftime_now)
context = json.loads((golden / "constructs.json").read_text())["context"]
named = [item["template"] for item in json.loads((golden / "python.json").read_text())]
templates = list(dict.fromkeys(CASES + named))
save("python.json", [{"template": template, **render(template, context)} for template in templates])

if len(sys.argv) > 1:
    file = json.loads((golden / "templates.json").read_text())
    contexts = {item["name"]: item["context"] for item in file["conversations"]}
    file["results"] = [
        of_template(old, (Path(sys.argv[1]) / old["file"]).read_text(), contexts[old["name"]])
        for old in file["results"]
    ]
    save("templates.json", file)
