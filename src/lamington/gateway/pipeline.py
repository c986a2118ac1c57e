"""The data plane of REST APIs: one request from method request to method response.

`MethodRequest -> IntegrationRequest -> IntegrationResponse -> MethodResponse`, each step a
function that `deployment` compiled. Bytes on the wire are the listener's, and which API and stage
an address names is known before a request comes here.
"""

import random
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain

from lamington.core.clock import MONTHS, Calendar, Clock, Ids
from lamington.core.http import Headers, Request, Response
from lamington.gateway.deployment import MethodProgram, StageProgram
from lamington.gateway.entities import PAYLOAD_MAX_BYTES, REQUEST_LINE_AND_HEADERS_MAX_BYTES
from lamington.gateway.integrations import IntegrationRequest, IntegrationResponse
from lamington.gateway.mapping import NO_IDENTITY, MethodRequest, RouteConstants, receive_headers
from lamington.gateway.recording import Recording
from lamington.gateway.responses import MethodResponse, Refusal
from lamington.gateway.router import Match

Report = Callable[[str, str, str], None]
"""Takes method, path and reason of a request that ends in a 5xx of the gateway's own."""

FAILURES_KEPT = 100

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_TEST_RESPONSE_HEADERS = frozenset({"x-amzn-requestid", "x-amz-apigw-id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a request ended in a 5xx of the gateway's own."""

    request_id: str
    method: str
    path: str
    reason: str


@dataclass(slots=True)
class Completed:
    """One request that was answered, for the journal: what was asked, by whom, how it went.

    Times are the clock's monotonic seconds. `integration_began` is 0 where the request did not
    come as far as its integration, `integration_ended` where that gave no answer; `integration`
    is the answer. `refusal` is why the response is a gateway response. `answer` is the response
    before what every response carries is added.
    """

    program: StageProgram
    method: MethodProgram | None
    request: MethodRequest
    began: float
    ended: float = 0.0
    integration_began: float = 0.0
    integration_ended: float = 0.0
    integration: IntegrationResponse | None = None
    refusal: Refusal | None = None
    answer: MethodResponse | None = None
    cached: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestInvocation:
    """What TestInvokeMethod shows of one run of a method."""

    __test__ = False  # no test class, whatever pytest makes of its name

    response: Response
    log: str
    latency_ms: int


class RestDataPlane:
    """Serves the stages that are deployed to it."""

    def __init__(
        self,
        *,
        clock: Clock,
        ids: Ids,
        report: Report | None = None,
        journal: "Callable[[Completed], None] | None" = None,
    ) -> None:
        self.programs: dict[tuple[str, str], StageProgram] = {}
        self.records_all = False
        """Whether every request is recorded, for somebody who watches."""
        self._journal = journal
        self._monotonic = clock.monotonic
        self.failures: deque[Failure] = deque(maxlen=FAILURES_KEPT)
        self._clock = clock
        self._ids = ids
        self.report = report
        self._id_prefix = ids.token(7)
        self._trace_prefix = ids.hexadecimal(12)
        self._calendar = Calendar(clock)

    def deploy(self, program: StageProgram) -> None:
        """Put a program into service; requests in flight finish on the one that was there."""
        self.programs[program.api_id, program.stage_name] = program

    def withdraw(self, api_id: str, stage: str) -> None:
        self.programs.pop((api_id, stage), None)

    async def handle(
        self, request: Request, api_id: str, stage: str, path: str, stage_in_path: bool = True
    ) -> Response:
        """Answer a request to `path`, the undecoded path after the stage.

        AWS: an API or a stage that is not there is 403 Forbidden.
        Differs: a request line and headers over 10,240 bytes are 431; no record of AWS's answer.
        """
        program = self.programs.get((api_id, stage))
        if program is None:
            return self._forbidden()
        canary = program.canary
        if canary is not None and random.random() * 100 < canary.percent:
            program = canary.program
        began = self._monotonic()
        method_request, match = self._receive(program, request, path, stage_in_path)
        method_request.is_canary = program.is_canary
        completed = Completed(
            program, None if match is None else match.target, method_request, began
        )
        try:
            _require_size(request)
            if match is None:
                raise _unknown_route(method_request)
            method = match.target
            if method.recorded or self.records_all:
                method_request.recording = Recording(self._clock)
            answer = await perform(method, completed, self._monotonic)
            traced = method.traced
        except Refusal as refusal:
            completed.refusal = refusal
            answer = self._refuse(program, refusal, method_request, match)
            traced = False
        return self._finished(completed, answer, traced)

    def _finished(self, completed: Completed, answer: MethodResponse, traced: bool) -> Response:
        """Compress what is to be compressed, and put the request into the journal."""
        compress = completed.program.compress
        if compress is not None:
            compress(completed.request, answer)
        if self._journal is not None:
            completed.ended = self._monotonic()
            completed.answer = answer
            self._journal(completed)
        return _response(answer, completed.request, traced)

    def _receive(
        self, program: StageProgram, request: Request, path: str, stage_in_path: bool
    ) -> tuple[MethodRequest, Match[MethodProgram] | None]:
        """Read a request and find its route.

        AWS: `X-HTTP-Method-Override` changes the method before that.
        """
        request_id = self._ids.request_id()
        moment = self._calendar.moment()
        trace_id = f"Root=1-{moment.epoch_hex}-{self._trace_prefix}{request_id[24:]}"
        fields = request.headers.fields
        headers, known = receive_headers(fields, request.source_ip, trace_id)
        parent = f"{self._trace_prefix[:4]}{request_id[24:]}"
        if "x-amzn-trace-id" in known:
            trace_id = _continued_trace(known["x-amzn-trace-id"], trace_id, parent)
            headers["X-Amzn-Trace-Id"] = trace_id
        else:
            trace_id = f"{trace_id};Parent={parent};Sampled=0"
        method = known.get("x-http-method-override") or request.method
        context_path = f"/{program.stage_name}{path}" if stage_in_path else path
        if not path or path.startswith("//"):
            path = "/" + path.lstrip("/")
        match = program.router.match(method, path)
        return (
            MethodRequest(
                method,
                path,
                context_path,
                {} if match is None else match.parameters,
                request.query,
                fields,
                headers,
                known,
                request.body,
                request.source_ip,
                known.get("host", ""),
                request_id,
                f"{self._id_prefix}{request_id[28:]}=",
                trace_id,
                moment,
                NO_IDENTITY,
            ),
            match,
        )

    def _forbidden(self) -> Response:
        request_id = self._ids.request_id()
        return Response(
            status=403,
            headers=[
                ("Content-Type", "application/json"),
                ("x-amzn-ErrorType", "ForbiddenException"),
                ("x-amzn-RequestId", request_id),
                ("x-amz-apigw-id", f"{self._id_prefix}{request_id[28:]}="),
            ],
            body=b'{"message":"Forbidden"}',
        )

    def _refuse(
        self,
        program: StageProgram,
        refusal: Refusal,
        request: MethodRequest,
        match: Match[MethodProgram] | None,
    ) -> MethodResponse:
        route = program.route if match is None else match.target.route
        if refusal.status >= 500:
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
        return program.gateway_responses.response(refusal, request, route)

    async def test_invoke(
        self,
        program: StageProgram,
        *,
        resource_id: str,
        http_method: str,
        path: str,
        query: str = "",
        headers: Headers | None = None,
        body: bytes = b"",
    ) -> TestInvocation:
        """Run one method as TestInvokeMethod does, with a log of each step's values.

        `path` is undecoded; routing is not asked, the method is the one named. Raises KeyError
        where the program has no such method.
        """
        method = program.methods[resource_id, http_method]
        request = Request(
            method=http_method if http_method != "ANY" else "GET",
            path=path,
            query=query,
            headers=headers or Headers(),
            body=body,
            source_ip="test-invoke-source-ip",
        )
        method_request, match = self._receive(program, request, path, False)
        method_request.headers = dict(request.headers.fields)
        method_request.host = "testPrefix.testDomainName"
        method_request.path_parameters = (
            match.parameters if match is not None and match.target is method else {}
        )
        began = self._clock.monotonic()
        log = _ExecutionLog(self._clock, method_request, method.route)
        try:
            answer = await _run_logged(method, method_request, log)
            traced = method.traced
        except Refusal as refusal:
            log.add(f"{refusal.message}: {refusal.hint}" if refusal.hint else refusal.message)
            answer = program.gateway_responses.response(refusal, method_request, method.route)
            traced = False
        log.add(f"Method completed with status: {answer.status}")
        response = _response(answer, method_request, traced)
        response.headers = [
            pair for pair in response.headers if pair[0].lower() not in _TEST_RESPONSE_HEADERS
        ]
        latency_ms = round((self._clock.monotonic() - began) * 1000)
        return TestInvocation(response=response, log=log.text(), latency_ms=latency_ms)


async def perform(
    method: MethodProgram, completed: Completed, monotonic: Callable[[], float]
) -> MethodResponse:
    """Take a request through its gates, its cache and its integration.

    Raises the Refusal that ends it.
    """
    request = completed.request
    for gate in method.gates:
        pending = gate(request)
        if pending is not None:
            await pending
    if "content-encoding" in request.known and request.body:
        request.body = _decompressed(request)
    cache = method.cache
    if cache is not None:
        kept = cache.find(request)
        completed.cached = kept is not None
        if kept is not None:
            return kept
    context = method.context(request)
    integration_request = method.map_request(request, context)
    recording = request.recording
    if recording is not None:
        _record_request(recording, integration_request)
    completed.integration_began = monotonic()
    response = await method.integration.send(integration_request)
    completed.integration_ended = monotonic()
    completed.integration = response
    if recording is not None:
        _record_response(recording, completed, response)
    answer = method.map_response(request, context, response)
    if cache is not None:
        cache.keep(request, answer)
    return answer


def _record_request(recording: Recording, request: IntegrationRequest) -> None:
    recording.add(
        "integration_request",
        headers=dict(request.parameters.headers),
        body=_shown(request.body),
    )


def _record_response(
    recording: Recording, completed: Completed, response: IntegrationResponse
) -> None:
    elapsed_s = completed.integration_ended - completed.integration_began
    recording.add(
        "integration_response",
        status=response.status,
        headers=dict(response.headers),
        body=_shown(response.body),
        latency_ms=round(elapsed_s * 1000),
        function_error=response.function_error,
        request_id=response.request_id,
    )


def _response(answer: MethodResponse, request: MethodRequest, traced: bool) -> Response:
    headers = answer.headers
    headers.append(("x-amzn-RequestId", request.request_id))
    headers.append(("x-amz-apigw-id", request.extended_request_id))
    if traced:
        headers.append(("X-Amzn-Trace-Id", request.trace_id))
    return Response(status=answer.status, headers=headers, body=answer.body, stream=answer.stream)


def _require_size(request: Request) -> None:
    """Raise a Refusal for a request larger than API Gateway takes."""
    if len(request.body) > PAYLOAD_MAX_BYTES:
        raise Refusal(
            f"Request payload of {len(request.body)} bytes is too large",
            response_type="REQUEST_TOO_LARGE",
        )
    size = len(request.path) + len(request.query)
    size += len("".join(chain.from_iterable(request.headers.fields)))
    if size > REQUEST_LINE_AND_HEADERS_MAX_BYTES:
        raise Refusal(
            f"Request line and headers of {size} bytes are too large",
            response_type="DEFAULT_4XX",
            status=431,
            client_message="Request Header Fields Too Large",
            error_type="RequestTooLargeException",
        )


_ZLIB_WINDOW = {"gzip": 31, "deflate": 15}


def _decompressed(request: MethodRequest) -> bytes:
    """Decompress a body, before any template or function sees it.

    AWS: API Gateway developer guide, payload compression; another coding, or a body that is not
    of the coding it names, is a 415.
    """
    coding = request.known["content-encoding"].strip().lower()
    if coding == "identity":
        return request.body
    if coding not in _ZLIB_WINDOW:
        raise Refusal(
            f"Content-Encoding {coding} is not supported", response_type="UNSUPPORTED_MEDIA_TYPE"
        )
    reader = zlib.decompressobj(_ZLIB_WINDOW[coding])
    try:
        body = reader.decompress(request.body, PAYLOAD_MAX_BYTES + 1)
    except zlib.error as error:
        raise Refusal(
            f"The body is not {coding}: {error}", response_type="UNSUPPORTED_MEDIA_TYPE"
        ) from None
    if len(body) > PAYLOAD_MAX_BYTES:
        raise Refusal("Request payload is too large", response_type="REQUEST_TOO_LARGE")
    return body


def _unknown_route(request: MethodRequest) -> Refusal:
    """AWS: never 404 or 405; an `Authorization` that is no signature is answered as a bad one."""
    value = request.known.get("authorization", "")
    if not value or value.startswith("AWS4-HMAC-SHA256"):
        return Refusal(
            f"No method for {request.method} {request.path}",
            response_type="MISSING_AUTHENTICATION_TOKEN",
        )
    part = value.rpartition(" ")[2]
    if "=" in part:
        message = "".join(
            f"Authorization header requires '{each}' parameter. "
            for each in ("Credential", "Signature", "SignedHeaders")
        )
        message += (
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
            f" Authorization={value}"
        )
    else:
        message = (
            f"'{part}' not a valid key=value pair (missing equal-sign) in Authorization header:"
            f" '{value}'."
        )
    return Refusal(
        f"No method for {request.method} {request.path}",
        response_type="MISSING_AUTHENTICATION_TOKEN",
        client_message=message,
        error_type="IncompleteSignatureException",
    )


def _continued_trace(sent: str, root: str, parent: str) -> str:
    """Complete a client's trace header.

    AWS: `Root` and `Parent` are kept, missing ones made; `Sampled` is 1 where a parent was given.
    """
    parts = dict(part.strip().partition("=")[::2] for part in sent.split(";"))
    sampled = parts.get("Sampled") or ("1" if "Parent" in parts else "0")
    root = f"Root={parts['Root']}" if parts.get("Root") else root
    return f"{root};Parent={parts.get('Parent') or parent};Sampled={sampled}"


class _ExecutionLog:
    """The lines of one execution, as TestInvokeMethod returns them.

    AWS: recorded execution logs.
    """

    def __init__(self, clock: Clock, request: MethodRequest, route: RouteConstants) -> None:
        self._clock = clock
        self._lines = [f"Execution log for request {request.request_id}"]
        self.add(f"Starting execution for request: {request.request_id}")
        self.add(f"HTTP Method: {request.method}, Resource Path: {route.resource_path}")
        self.add(f"Method request path: {_braced(request.path_parameters)}")
        self.add(f"Method request query string: {{{request.query}}}")
        self.add(f"Method request headers: {_braced(request.headers)}")
        self.add(f"Method request body before transformations: {_shown(request.body)}")

    def add(self, line: str) -> None:
        now = self._clock.now()
        self._lines.append(
            f"{_WEEKDAYS[now.weekday()]} {MONTHS[now.month - 1]} {now.day:02d}"
            f" {now.hour:02d}:{now.minute:02d}:{now.second:02d} UTC {now.year} : {line}"
        )

    def sent(self, request: IntegrationRequest) -> None:
        self.add(f"Endpoint request headers: {_braced(request.parameters.headers)}")
        self.add(f"Endpoint request body after transformations: {_shown(request.body)}")

    def received(self, response: IntegrationResponse, latency_ms: int) -> None:
        self.add(
            f"Received response. Status: {response.status}, Integration latency: {latency_ms} ms"
        )
        self.add(f"Endpoint response headers: {_braced(dict(response.headers))}")
        self.add(f"Endpoint response body before transformations: {_shown(response.body)}")

    def finished(self, response: MethodResponse) -> None:
        self.add(f"Method response body after transformations: {_shown(response.body)}")
        self.add(f"Method response headers: {_braced(dict(response.headers))}")
        self.add("Successfully completed execution")

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"

    def monotonic(self) -> float:
        return self._clock.monotonic()


async def _run_logged(
    method: MethodProgram, request: MethodRequest, log: _ExecutionLog
) -> MethodResponse:
    context = method.context(request)
    integration_request = method.map_request(request, context)
    log.sent(integration_request)
    began = log.monotonic()
    integration_response = await method.integration.send(integration_request)
    log.received(integration_response, round((log.monotonic() - began) * 1000))
    response = method.map_response(request, context, integration_response)
    log.finished(response)
    return response


def _braced(values: Mapping[str, str]) -> str:
    return f"{{{', '.join(f'{name}={value}' for name, value in values.items())}}}"


def _shown(body: bytes) -> str:
    return body.decode("utf-8", "replace")
