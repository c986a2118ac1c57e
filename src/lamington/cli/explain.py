"""`lamington explain`: one request told step by step, or real traffic as it goes.

The engine that serves the directory is asked; where none does, one is raised for the one request.
"""

import asyncio
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lamington.cli.output import Output
from lamington.cli.remote import RemoteError
from lamington.cli.render import beside, load_bytes
from lamington.cli.up import is_up, load_engine_state
from lamington.core.errors import UsageError

ANSWER_LIMIT_S = 910.0
FOLLOW_PAUSE_S = 0.5
BODY_SHOWN = 4000
"""Characters of a body that are shown to people; JSON has all of them."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainOptions:
    """What the flags say of the request; `header` are `name:value` pairs."""

    method: str
    path: str
    header: Sequence[str] = ()
    body: str = ""
    api: str = ""
    stage: str = ""
    endpoint_url: str = ""
    show_secrets: bool = False


def explain_request(root: Path, options: ExplainOptions, output: Output) -> int:
    """Send a request and print each step of it; 1 where the gateway refused it."""
    question = _question(options)
    if options.endpoint_url or is_up(root):
        found = _ask(_endpoint(root, options.endpoint_url), "/_lamington/explain", question)
    else:
        found = asyncio.run(_explain_alone(root, question))
    if output.as_json:
        output.write_json(found)
    else:
        print_explanation(found, output)
    return 1 if found["refusal"] else 0


def explain_live(
    root: Path,
    output: Output,
    *,
    endpoint_url: str,
    follow: bool,
    off: bool,
    show_secrets: bool,
) -> None:
    """Turn the recording of real traffic on, and print what was recorded; or turn it off.

    With `follow` it goes on until it is interrupted, and leaves the recording as it was.
    """
    endpoint = _endpoint(root, endpoint_url)
    live = "/_lamington/explain/live"
    if off:
        _ask(endpoint, live, {"on": False})
        output.say("requests are no longer recorded")
        return
    query = "&show_secrets=true" if show_secrets else ""
    was_on = _ask(endpoint, f"{live}?after=0{query}")["on"]
    found = _ask(endpoint, f"{live}?after=0{query}", {"on": True})
    if not was_on:
        output.say("requests are recorded from now on; `--off` ends it")
    try:
        last = _show_live(found["requests"], output, 0)
        while follow:
            time.sleep(FOLLOW_PAUSE_S)
            found = _ask(endpoint, f"{live}?after={last}{query}")
            last = _show_live(found["requests"], output, last)
    finally:
        if follow and not was_on:
            _ask(endpoint, live, {"on": False})


def _show_live(found: Sequence[Document], output: Output, last: int) -> int:
    for document in found:
        last = document["number"]
        if output.as_json:
            output.write(msgspec.json.encode(document).decode())
        else:
            print_explanation(document, output)
            output.write("")
    return last


def _question(options: ExplainOptions) -> Document:
    headers = []
    for each in options.header:
        name, colon, value = each.partition(":")
        if not colon:
            raise UsageError(f"`{each}` is not NAME:VALUE")
        headers.append((name.strip(), value.strip()))
    body = load_bytes(options.body)
    return {
        "method": options.method,
        "path": options.path,
        "headers": headers,
        "body_base64": b64encode(body).decode(),
        "api": options.api,
        "stage": options.stage,
        "show_secrets": options.show_secrets,
    }


def _endpoint(root: Path, endpoint_url: str) -> str:
    return endpoint_url.rstrip("/") or load_engine_state(root).aws_endpoint


def _ask(endpoint: str, path: str, question: Document | None = None) -> Document:
    body = None if question is None else msgspec.json.encode(question)
    try:
        with urllib.request.urlopen(
            urllib.request.Request(endpoint + path, data=body), timeout=ANSWER_LIMIT_S
        ) as answer:
            found: Document = msgspec.json.decode(answer.read())
            return found
    except urllib.error.HTTPError as error:
        with error:
            told = _message(error.read())
        raise UsageError(told.get("message", str(error)), hint=told.get("hint", "")) from None
    except (urllib.error.URLError, OSError) as error:
        raise RemoteError(
            f"`{endpoint}` does not answer: {error}",
            hint="is the engine running? `lamington up` starts it",
        ) from None


def _message(body: bytes) -> dict[str, str]:
    try:
        return msgspec.json.decode(body, type=dict[str, str])
    except msgspec.DecodeError:
        return {}


async def _explain_alone(root: Path, question: Document) -> Document:
    from lamington.core.settings import load_settings
    from lamington.engine.engine import Engine
    from lamington.engine.explanations import Question
    from lamington.service.local import raise_stack
    from lamington.service.package import Builder

    built = Builder(root, root / ".lamington" / "build").build()
    with tempfile.TemporaryDirectory() as data:
        engine = Engine(load_settings(data=Path(data), aws_port=0))
        try:
            await engine.start()
            raised = await raise_stack(built, built.stack_name, engine, built.stage.parameters)
            served = raised.outputs.get("ApiId", ""), raised.outputs.get("ApiStage", "")
            engine.explanations.served = served
            return await engine.explanations.explain(msgspec.convert(question, Question))
        finally:
            await engine.stop()


# For people


def print_explanation(document: Document, output: Output) -> None:
    """Print one request: a line of it, its steps with their values, and the response."""
    response, request = document["response"] or {}, document["request"]
    status = int(response.get("status", 0))
    colour = "green" if status < 400 else "yellow" if status < 500 else "red"
    told = " canary" if document["canary"] else ""
    if document["connection_id"]:
        told = f"  connection {document['connection_id']}"
    output.write(
        f"{output.paint_data(request['method'], 'bold')} {_address(request)}"
        f" {output.paint_data('→ ' + str(status), 'bold', colour)}"
        f"  {document['latency_ms']:.1f} ms{_integration_time(document)}"
        f"  {document['api_name'] or document['api']}"
        f" {document['stage']}{told}  {output.paint_data(document['request_id'], 'dim')}"
    )
    for name, value in request["headers"]:
        output.write(f"    {name}: {value}")
    _print_text(request["body"], output)
    if document["resource"] is None:
        what = "method" if document["protocol"] == "REST" else "route"
        output.write(f"  no {what} of the API takes it; there are:")
        for each in document["methods"]:
            output.write(f"    {each}")
    for step in document["steps"]:
        _print_step(step, output)
    refusal = document["refusal"]
    if refusal:
        output.write(
            f"  {output.paint_data('refused', 'bold', 'red')}  {refusal['type']}:"
            f" {refusal['message']}"
        )
        if refusal["hint"]:
            output.write(f"    {output.paint_data('hint:', 'cyan')} {refusal['hint']}")
    output.write(f"  {output.paint_data('response', 'bold')}  {status}")
    for name, value in response.get("headers", ()):
        output.write(f"    {name}: {value}")
    _print_text(response.get("body", ""), output)


def _integration_time(document: Document) -> str:
    took = document["integration_ms"]
    return "" if took is None else f", {took:.1f} ms of it the integration"


def _address(request: Document) -> str:
    query = urllib.parse.urlencode([(name, value) for name, value in request["query"]], safe="*")
    return f"{request['path']}?{query}" if query else str(request["path"])


def _print_step(step: Document, output: Output) -> None:
    name = step["name"].replace("_", " ")
    line = f"  {output.paint_data(name, 'bold', 'cyan')}"
    values = {key: value for key, value in step.items() if key not in ("name", "at_ms")}
    told = _TOLD.get(step["name"])
    said = told(values) if told is not None else ""
    time_told = output.paint_data(f"+{step['at_ms']:.2f} ms", "dim")
    output.write(f"{line}  {said}{'  ' if said else ''}{time_told}")
    if step["name"].endswith("_template"):
        _print_template(step, output)
        return
    if step["name"] in ("method_response", "gateway_response"):
        values = {key: value for key, value in values.items() if key not in ("headers", "body")}
    for key, value in values.items():
        if key in _SAID.get(step["name"], ()) or value in (None, "", [], {}):
            continue
        _print_value(key, value, output)


def _print_template(step: Document, output: Output) -> None:
    output.write(f"    {output.paint_data('input', 'dim')}")
    _print_text(step["input"], output)
    output.write(f"    {output.paint_data('template line │ what it printed', 'dim')}")
    for row in beside(step["text"], [tuple(pair) for pair in step["lines"]], output):
        output.write(f"    {row}")
    if step.get("error"):
        output.write(f"    {output.paint_data('failed:', 'red')} {step['error']}")


def _print_value(key: str, value: Any, output: Output) -> None:
    label = output.paint_data(key.replace("_", " "), "dim")
    if isinstance(value, Mapping):
        output.write(f"    {label}")
        for name, each in _flat(value):
            output.write(f"      {name}: {'(none)' if each is None else each}")
    elif key in ("body", "input", "output") and isinstance(value, str):
        output.write(f"    {label}")
        _print_text(value, output, "      ")
    elif isinstance(value, str | int | float | bool):
        output.write(f"    {label} {value}")
    else:
        output.write(f"    {label} {msgspec.json.encode(value).decode()}")


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, each in value.items():
        if isinstance(each, Mapping):
            yield from _flat(each, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", each


def _print_text(text: str, output: Output, indent: str = "      ") -> None:
    if not text:
        return
    shown = _pretty(text)
    for line in shown[:BODY_SHOWN].splitlines():
        output.write(f"{indent}{line}")
    if len(shown) > BODY_SHOWN:
        rest = len(shown) - BODY_SHOWN
        output.write(f"{indent}{output.paint_data(f'… {rest} characters more', 'dim')}")


def _pretty(text: str) -> str:
    """JSON over several lines; anything else as it is."""
    if text[:1] not in "{[":
        return text
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return msgspec.json.format(text, indent=2)


def _text_of(*names: str) -> Callable[[Document], str]:
    def say(values: Document) -> str:
        return " ".join(str(values[name]) for name in names if values.get(name) not in (None, ""))

    return say


_SAID: Mapping[str, tuple[str, ...]] = {
    "match": ("method", "resource", "why"),
    "cors": ("decision",),
    "policy": ("decision",),
    "authorizer": ("authorizer_name", "kind", "decision"),
    "usage_plan": ("plan", "decision", "why"),
    "throttle": ("level", "decision"),
    "cache": ("state",),
    "integration_request": ("method", "uri"),
    "integration_response": ("status", "function_error"),
    "response_selection": ("status", "why"),
    "method_response": ("status", "why"),
    "gateway_response": ("type", "status", "why", "hint"),
}
"""The values of a step that stand in its own line."""

_TOLD: Mapping[str, Callable[[Document], str]] = {
    **{name: _text_of(*members) for name, members in _SAID.items()},
    "gateway_response": _text_of("type", "status"),
}
