"""The data plane of HTTP APIs: one request from its stage and route to its response.

What a route does was compiled by `program`. Bytes on the wire are the listener's, and which API an
address names is known before a request comes here.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from urllib.parse import unquote

from lamington.core.aws import Scope
from lamington.core.clock import Clock, Ids
from lamington.core.http import Request, Response
from lamington.functions.event_format import RequestReader
from lamington.gateway.entities import PAYLOAD_MAX_BYTES, REQUEST_LINE_AND_HEADERS_MAX_BYTES
from lamington.gateway.explain import ServedStage, Watch
from lamington.gateway.journal import Entry, Series
from lamington.gateway.pipeline import FAILURES_KEPT, Failure, Report
from lamington.gateway.recording import Recording
from lamington.gateway.templates import Problem
from lamington.gateway.v2 import entities
from lamington.gateway.v2.entities import DEFAULT_STAGE
from lamington.gateway.v2.http.completed import Logged, Sample
from lamington.gateway.v2.http.cors import CorsAnswers
from lamington.gateway.v2.http.explained import (
    explained_of,
    record_cors,
    record_end,
    record_match,
    served_stage,
)
from lamington.gateway.v2.http.parts import HttpApiParts
from lamington.gateway.v2.http.program import (
    RouteProgram,
    StageProgram,
    compile_program,
)
from lamington.gateway.v2.http.refusals import HttpRefusal
from lamington.gateway.v2.http.requests import NO_PARAMETERS, HttpRequest

_HEADERS_DROPPED = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Response headers that are the connection's own: the listener makes them anew."""

REQUEST_ID_HEADER = "apigw-requestid"

_DEFAULT_PREFIX = f"/{DEFAULT_STAGE}/"


class HttpDataPlane:
    """Serves the stages of HTTP APIs that are deployed to it."""

    def __init__(
        self,
        *,
        parts: HttpApiParts,
        clock: Clock,
        ids: Ids,
        report: Report | None = None,
        journal: Callable[[Entry], None] | None = None,
    ) -> None:
        """`journal` takes what is to be told of each request, `report` what ends in a 5xx."""
        self.report = report
        self.failures: deque[Failure] = deque(maxlen=FAILURES_KEPT)
        self.watch: Watch | None = None
        """Is shown every request, each of them recorded, while it is not None."""
        self._parts = parts
        self._ids = ids
        self._clock = clock
        self._monotonic = clock.monotonic
        self._journal = journal
        self._reader = RequestReader(clock)
        self._id_prefix = ids.token(7)
        self._stages: dict[str, dict[str, StageProgram]] = {}

    def deploy(self, api: entities.Api, stage: entities.Stage, scope: Scope) -> None:
        """Put an API into service; requests in flight finish on the program that was there."""
        program = compile_program(api, stage, scope, self._parts)
        self._stages.setdefault(api.api_id, {})[stage.stage_name] = program

    def withdraw(self, api_id: str, stage_name: str) -> None:
        stages = self._stages.get(api_id, {})
        stages.pop(stage_name, None)
        self._parts.buckets.forget("route", api_id, stage_name)
        if not stages:
            self._stages.pop(api_id, None)

    def serves(self, api_id: str) -> bool:
        """Whether the API has a stage in service.

        Differs: an API without a stage is answered 403, as one that is not there; AWS says 404.
        """
        return api_id in self._stages

    def stages(self) -> Iterable[ServedStage]:
        """The stages in service."""
        return (served_stage(each) for api in self._stages.values() for each in api.values())

    def program(self, api_id: str, stage_name: str) -> StageProgram | None:
        """What a stage was compiled to, with the problems that were found."""
        return self._stages.get(api_id, {}).get(stage_name)

    def problems(self, api_id: str, stage_name: str) -> tuple[Problem, ...]:
        """What of a stage fails at run time."""
        program = self.program(api_id, stage_name)
        return () if program is None else program.problems

    def unemulated(self, api_id: str, stage_name: str) -> tuple[str, ...]:
        """What a stage asks for and does not get, as sentences."""
        program = self.program(api_id, stage_name)
        return () if program is None else program.unemulated

    async def handle(
        self,
        request: Request,
        api_id: str,
        path: str,
        *,
        stage: str = "",
        base_path: str = "",
        default_endpoint: bool = True,
        watch: Watch | None = None,
    ) -> Response:
        """Answer a request to `path`, undecoded and with the stage's name where it has one.

        A custom domain name says which `stage` it means, and which `base_path`, without slashes
        around it, was matched; its requests do not come by the default endpoint, and functions
        see the path as it was called. `watch` is shown what became of this one request.

        AWS: API Gateway developer guide, HTTP APIs: the first segment is the stage if it names
        one, else the `$default` stage has the request. A stage that is not there is 404, and so
        is a default endpoint that is switched off.
        Differs: a request line and headers over 10,240 bytes are 431; no record of AWS's answer.
        `/$default/...` is taken for the default stage, for addresses that name each stage.
        """
        began = self._monotonic()
        if path.startswith(_DEFAULT_PREFIX):
            path = path[len(_DEFAULT_PREFIX) - 1 :]
        stages = self._stages.get(api_id, {})
        program, rest = (stages.get(stage), path) if stage else _staged(stages, path)
        if program is None or (program.endpoint_disabled and default_endpoint):
            return self._unknown()
        received, found = self._receive(program, request, path, rest or "/", base_path)
        watch = watch or self.watch
        if watch is not None:
            received.recording = Recording(self._clock)
            record_match(received, program, rest or "/")
        cors = program.cors
        refusal: HttpRefusal | None = None
        asked = None if cors is None else _preflight(cors, received, found)
        try:
            response = await self._run(received, found) if asked is None else asked
        except HttpRefusal as error:
            refusal = error
            response = error.response()
            if error.status >= 500:
                self._tell(received, error)
        headers = [
            (lower, value)
            for name, value in response.headers
            if (lower := name.lower()) not in _HEADERS_DROPPED
        ]
        before = headers
        if cors is not None and asked is None:
            headers = cors.apply(received, before)
        headers.append((REQUEST_ID_HEADER, received.request_id))
        response.headers = headers
        if watch is not None:
            if cors is not None:
                record_cors(received, before, headers, preflight=asked is not None)
            record_end(received, response, refusal)
            watch(explained_of(program, received, response, refusal, self._monotonic() - began))
        if self._journal is not None:
            series = program.series if found is None else found.series
            latency_s = self._monotonic() - began
            self._keep(program, series, received, response, refusal, latency_s)
        return response

    async def _run(self, request: HttpRequest, route: RouteProgram | None) -> Response:
        """Let a request through its route; raises HttpRefusal where it does not get through."""
        _require_size(request.sent)
        if route is None:
            raise HttpRefusal(404, f"No route for {request.method} {request.path}")
        for gate in route.gates:
            pending = gate(request)
            if pending is not None:
                await pending
        if route.change_request is not None:
            route.change_request(request)
        began = self._monotonic()
        try:
            response = await route.send(request)
        finally:
            request.integration_s = self._monotonic() - began
        if route.change_response is not None:
            route.change_response(request, response)
        return response

    def _receive(
        self, program: StageProgram, request: Request, path: str, rest: str, base_path: str
    ) -> tuple[HttpRequest, RouteProgram | None]:
        """Read a request and find its route; `rest` is the part of `path` after the stage."""
        request_id = self._ids.request_id()
        headers, cookies, trace_id, moment = self._reader.receive(request, request_id)
        found = program.routes.find(request.method, rest)
        route: RouteProgram | None = None
        constants, parameters = program.constants, NO_PARAMETERS
        if found is not None:
            route, parameters = found
            constants = route.constants
        whole = (request.path if base_path else path) or "/"
        event_path, decoded = whole, rest
        if "%" in whole:
            event_path, decoded = unquote(whole), unquote(rest)
        return (
            HttpRequest(
                request,
                request.method,
                decoded,
                whole,
                event_path,
                event_path,
                request.query,
                headers,
                cookies,
                request.body,
                request.source_ip,
                f"{self._id_prefix}{request_id[28:]}=",
                trace_id,
                moment,
                constants,
                parameters,
                base_path=base_path,
            ),
            route,
        )

    def _keep(
        self,
        program: StageProgram,
        series: Series,
        request: HttpRequest,
        response: Response,
        refusal: HttpRefusal | None,
        latency_s: float,
    ) -> None:
        """Leave to the journal what is to be told of a request."""
        assert self._journal is not None
        self._journal(
            Sample(
                series,
                request.moment.epoch_ms,
                response.status,
                latency_s,
                request.integration_s,
                len(request.body) + len(response.body),
            )
        )
        log = program.access_log
        if log is not None:
            self._journal(Logged(log, request, response, refusal, latency_s))

    def _tell(self, request: HttpRequest, refusal: HttpRefusal) -> None:
        """Keep and report why a request ended in a 5xx of the gateway's own."""
        reason = f"{refusal.message}: {refusal.hint}" if refusal.hint else refusal.message
        self.failures.append(
            Failure(
                request_id=request.request_id,
                method=request.method,
                path=request.context_path,
                reason=reason,
            )
        )
        if self.report is not None:
            self.report(request.method, request.context_path, reason)

    def _unknown(self) -> Response:
        """The answer where there is no stage to say more."""
        response = HttpRefusal(404, "No stage").response()
        request_id = f"{self._id_prefix}{self._ids.request_id()[28:]}="
        response.headers.append((REQUEST_ID_HEADER, request_id))
        return response


def _staged(stages: Mapping[str, StageProgram], path: str) -> tuple[StageProgram | None, str]:
    """The stage that a path names by its first segment, and the rest of the path."""
    if len(stages) > 1 or DEFAULT_STAGE not in stages:
        name, slash, rest = path[1:].partition("/")
        program = stages.get(name)
        if program is not None and name != DEFAULT_STAGE:
            return program, slash + rest
    return stages.get(DEFAULT_STAGE), path


def _preflight(
    cors: CorsAnswers, request: HttpRequest, route: RouteProgram | None
) -> Response | None:
    """The gateway's own answer to OPTIONS, which a route may have for what is no preflight."""
    if request.method != "OPTIONS":
        return None
    response = cors.preflight(request)
    return Response(status=204) if response is None and route is None else response


def _require_size(request: Request) -> None:
    """Raise HttpRefusal for a request larger than API Gateway takes."""
    if len(request.body) > PAYLOAD_MAX_BYTES:
        raise HttpRefusal(413, f"Request payload of {len(request.body)} bytes is too large")
    size = len(request.path) + len(request.query)
    size += len("".join(chain.from_iterable(request.headers.fields)))
    if size > REQUEST_LINE_AND_HEADERS_MAX_BYTES:
        raise HttpRefusal(431, f"Request line and headers of {size} bytes are too large")
