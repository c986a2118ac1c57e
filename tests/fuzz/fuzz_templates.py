"""Coverage-guided fuzzing of mapping templates: compile any text, render it on any body.

A template may be refused or fail with the errors that are said of it; anything else, a rendering
that takes seconds, and Python showing through what is rendered, end the run.

    python tests/fuzz/fuzz_templates.py -max_total_time=600 -timeout=10 -max_len=600
"""

import contextlib
import re
import sys

import atheris

with atheris.instrument_imports(include=["lamington.gateway.vtl"]):
    from lamington.gateway.vtl.compiler import compile_template
    from lamington.gateway.vtl.library import Bindings, Input, make_context
    from lamington.gateway.vtl.limits import TemplateError, TemplateLimits
    from lamington.gateway.vtl.syntax import TemplateSyntaxError

LIMITS = TemplateLimits(steps=20_000, output_chars=100_000)
PYTHON = re.compile(r"<[\w. ]+(?: object)? at 0x|<class|<built-in|mappingproxy")
PARAMETERS = {"id": "7", "q": "a b"}
WORDS = (
    *("#set($x = ", "#if(", "#else", "#elseif(", "#end", "#foreach($i in ", "#break", "#stop"),
    *("#define($d)", "#[[", "]]#", "$input.path('$", "$input.json('$.", "$input.params("),
    *("$util.parseJson(", "$util.escapeJavaScript(", "$context.", "$stageVariables.", "$foreach."),
    *(".replaceAll(", ".split(", ".get(", ".put(", ".keySet()", "..", "[?(@.x > 1)]", '"', "'"),
)


def test_one_input(data: bytes) -> None:
    """Make a template and a body of the bytes, and render the one on the other."""
    provider = atheris.FuzzedDataProvider(data)
    parts = []
    for _ in range(provider.ConsumeIntInRange(0, 12)):
        if provider.ConsumeBool():
            parts.append(provider.PickValueInList(list(WORDS)))
        else:
            parts.append(provider.ConsumeUnicodeNoSurrogates(12))
    body = provider.ConsumeUnicodeNoSurrogates(120)
    template_text = "".join(parts)
    with contextlib.suppress(TemplateSyntaxError, TemplateError):
        template = compile_template(template_text, limits=LIMITS)
        rendered = template(
            Bindings(
                input=Input(body, path=PARAMETERS, querystring=PARAMETERS, header=PARAMETERS),
                context=make_context({"requestId": "r", "identity": {"sourceIp": "1.2.3.4"}}),
                stage_variables={"env": "dev"},
            )
        )
        if PYTHON.search(rendered) and not PYTHON.search(template_text + body):
            raise RuntimeError(f"Python shows through: {rendered!r}")


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
