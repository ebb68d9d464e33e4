#!/usr/bin/python3
"""Renders templates with Jinja in Python, set up as Hugging Face transformers does:

    python3 tests/python/jinja_golden.py

writes tests/golden/jinja/python.json: what src/text/jinja gives where npm @huggingface/jinja, its other
reference, differs from Python or refuses. Needs the package jinja2; the context is that of
tests/golden/jinja/constructs.json.
"""

import json
from pathlib import Path

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
    # The characters to strip.
    "[{{ 'xxa'.strip('x') }}][{{ 'xaxx'.rstrip('xy') }}][{{ 'yxax'.lstrip('xy') }}][{{ 'xyx'.strip('yx') }}]",
    "[{{ '\\n\\n a \\n'.lstrip('\\n') }}][{{ 'éaé'.strip('é') }}][{{ ''.strip('a') }}][{{ ' a '.strip(none) }}]",
]

golden = Path(__file__).resolve().parent.parent / "golden" / "jinja"
context = json.loads((golden / "constructs.json").read_text())["context"]
environment = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def render(template):
    try:
        return {"template": template, "output": environment.from_string(template).render(**context)}
    except Exception as error:
        return {"template": template, "error": f"{type(error).__name__}: {error}"}


environment.filters["tojson"] = tojson
rendered = [render(template) for template in CASES]
(golden / "python.json").write_text(json.dumps(rendered, ensure_ascii=False, indent=1) + "\n")
