"""The engine's door for explanations: one request told step by step, or the last real ones.

`POST /_lamington/explain` sends a request through a stage, `/_lamington/explain/live` shows real
traffic while that is turned on. Left to others: who may knock (`engine`), the documents
(`gateway/explain`).
"""

from base64 import b64decode
from binascii import Error as Base64Error

import msgspec

from lamington.core.errors import UsageError
from lamington.core.http import Headers, Request, Response, parse_query
from lamington.gateway.completed import Completed
from lamington.gateway.deployment import StageProgram
from lamington.gateway.explain import Document, LiveRequests, explain
from lamington.gateway.pipeline import RestDataPlane

DOOR = "/_lamington/explain"
LIVE_DOOR = "/_lamington/explain/live"


class Question(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A request to explain; `path` is the part after the stage, with its query.

    `api` is an id or a name; "" takes the API that is served at the root, or the only one.
    """

    method: str
    path: str
    headers: list[tuple[str, str]] = []
    body: str = ""
    body_base64: str = ""
    api: str = ""
    stage: str = ""
    show_secrets: bool = False


class LiveSwitch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whether real traffic is to be recorded."""

    on: bool


class Explanations:
    """Explains requests to the stages of one data plane."""

    def __init__(self, data_plane: RestDataPlane, kept: int) -> None:
        """`kept` requests of real traffic are kept while it is recorded."""
        self._data_plane = data_plane
        self._live = LiveRequests(kept)
        self.served: tuple[str, str] | None = None
        """The API and stage at the root of the service's port."""

    async def explain(self, question: Question) -> Document:
        """Send a request through a stage, gates and functions and all, and tell each step.

        Raises UsageError where no stage is meant, or more than one.
        """
        program = self._find(question)
        path, _, query = question.path.partition("?")
        path = path if path.startswith("/") else f"/{path}"
        headers = Headers(question.headers)
        if "host" not in headers:
            headers.set("Host", f"{program.api_id}.execute-api.localhost")
        request = Request(
            method=question.method.upper(),
            path=path,
            query=query,
            headers=headers,
            body=_body(question),
        )
        seen: list[Completed] = []
        await self._data_plane.handle(
            request, program.api_id, program.stage_name, path, True, seen.append
        )
        if not seen:
            raise UsageError(
                f"the stage `{program.stage_name}` of `{_name(program)}` takes no requests here",
                hint="its default endpoint is disabled: `disableExecuteApiEndpoint`",
            )
        return explain(seen[0], show_secrets=question.show_secrets)

    async def answer(self, request: Request) -> Response:
        """Answer at DOOR and LIVE_DOOR."""
        try:
            if request.path == LIVE_DOOR:
                return _json(self._answer_live(request))
            if request.method != "POST":
                return _json({"message": "Method Not Allowed"}, status=405)
            return _json(await self.explain(msgspec.json.decode(request.body, type=Question)))
        except (UsageError, msgspec.DecodeError) as refusal:
            hint = refusal.hint if isinstance(refusal, UsageError) else ""
            return _json({"message": str(refusal), "hint": hint}, status=400)

    def _answer_live(self, request: Request) -> Document:
        if request.method == "POST":
            self.record(msgspec.json.decode(request.body, type=LiveSwitch).on)
        given = dict(parse_query(request.query))
        after = given.get("after", "0")
        if not after.isdecimal():
            raise UsageError(f"`{after}` is not the number of a request")
        return {
            "on": self._data_plane.watch is not None,
            "requests": self._live.behind(
                int(after), show_secrets=given.get("show_secrets") == "true"
            ),
        }

    def record(self, on: bool) -> None:
        """Turn the recording of real traffic on or off; off forgets what there was."""
        self._data_plane.watch = self._live.take if on else None
        if not on:
            self._live.clear()

    def _find(self, question: Question) -> StageProgram:
        programs = self._data_plane.programs
        if not question.api and not question.stage and self.served in programs:
            assert self.served is not None
            return programs[self.served]
        found = [
            program
            for program in programs.values()
            if question.api in ("", program.api_id, _name(program))
            and question.stage in ("", program.stage_name)
        ]
        if len(found) == 1:
            return found[0]
        known = ", ".join(
            f"{_name(each)} ({each.api_id}) {each.stage_name}" for each in programs.values()
        )
        if not found:
            raise UsageError(
                "no deployed stage is meant by that", hint=f"deployed are: {known or 'none'}"
            )
        raise UsageError(
            "more than one deployed stage may be meant", hint=f"give --api and --stage: {known}"
        )


def _name(program: StageProgram) -> str:
    return "" if program.records is None else program.records.api_name


def _body(question: Question) -> bytes:
    if not question.body_base64:
        return question.body.encode()
    try:
        return b64decode(question.body_base64, validate=True)
    except Base64Error:
        raise UsageError("`body_base64` is not Base64") from None


def _json(value: object, status: int = 200) -> Response:
    return Response(
        status=status,
        headers=[("Content-Type", "application/json")],
        body=msgspec.json.encode(value),
    )
