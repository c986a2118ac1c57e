"""Selection expressions of any form are compiled or refused, and never fail on a message."""

from hypothesis import given
from hypothesis import strategies as st

from lamington.gateway.v2.websocket.selection import Body, Subject, compile_selection
from lamington.gateway.vtl.limits import TemplateError

PIECES = st.sampled_from(
    [
        "$request.body.a",
        "${request.body.a.b}",
        "$request.body['a']",
        "$request.body[0]",
        "${request.header.x}",
        "$request.querystring.q",
        "${stageVariables.v}",
        "$context.identity.sourceIp",
        "$request.body",
        "\\$default",
        "$",
        "${",
        "}",
        "/",
        "text",
    ]
)


@given(pieces=st.lists(PIECES, max_size=6), message=st.text(max_size=30))
def test_any_expression_reads_any_message(pieces: list[str], message: str) -> None:
    subject = Subject(
        body=Body(message),
        context=lambda: {"identity": {"sourceIp": "1.2.3.4"}},
        variables={"v": "1"},
    )
    try:
        select = compile_selection("".join(pieces))
    except TemplateError:
        return
    assert isinstance(select(subject), str)


@given(expression=st.text(alphabet="${}.[]'ab\\reqstody", max_size=40))
def test_any_text_is_an_expression_or_refused(expression: str) -> None:
    try:
        select = compile_selection(expression)
    except TemplateError:
        return
    assert isinstance(select(Subject(body=Body('{"a": {"b": 1}}'))), str)
