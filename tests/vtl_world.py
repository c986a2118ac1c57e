"""Renders one mapping template with everything that it can see, for tests."""

from collections.abc import Mapping
from typing import Any

from lamington.gateway.vtl.compiler import compile_template
from lamington.gateway.vtl.library import Bindings, Input, make_context
from lamington.gateway.vtl.limits import TemplateLimits
from lamington.gateway.vtl.values import JavaList

BODY = (
    '{"id":7,"name":"Ada","ok":true,"none":null,"f":1.5,"tags":["x","y"],'
    '"addr":{"city":"Rome","zip":"00100"},"items":[{"id":1,"n":"a"},{"id":2,"n":"b"}],'
    '"empty":[],"eobj":{},"quote":"it\'s \\"q\\"","url":"a/b"}'
)
PATH = {"id": "42"}
QUERYSTRING = {"id": "q7", "q": "a b", "e": ""}
HEADER = {"id": "h", "X-Tok": "t"}


def java(value: Any) -> Any:
    """Turn the lists of a test's variables into lists that print as Java's do."""
    if isinstance(value, list):
        return JavaList([java(item) for item in value])
    if isinstance(value, dict):
        return {key: java(item) for key, item in value.items()}
    return value


def bind(
    *,
    body: str = BODY,
    context: dict[str, Any] | None = None,
    stage_variables: Mapping[str, str] | None = None,
    variables: Mapping[str, Any] | None = None,
) -> Bindings:
    return Bindings(
        input=Input(body, path=PATH, querystring=QUERYSTRING, header=HEADER),
        context=make_context({} if context is None else context),
        stage_variables=stage_variables or {},
        variables=None if variables is None else java(dict(variables)),
    )


def render(template: str, *, limits: TemplateLimits | None = None, **bindings: Any) -> str:
    compiled = compile_template(template, limits=limits or TemplateLimits())
    return compiled(bind(**bindings))
