"""The data plane of REST APIs: one request from method request to method response.

`MethodRequest -> IntegrationRequest -> IntegrationResponse -> MethodResponse`, each step a
function that `deployment` compiled. Bytes on the wire are the listener's, and which API and stage
an address names is known before a request comes here.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain

from lamington.core.clock import Calendar, Clock, Ids
from lamington.core.http import Headers, Request, Response
from lamington.core.sigv4 import IncompleteSignature, incomplete_message
from lamington.gateway.completed import Completed, execution_of, explained_of, served_stage
from lamington.gateway.deployment import MethodProgram, StageProgram
from lamington.gateway.entities import PAYLOAD_MAX_BYTES, REQUEST_LINE_AND_HEADERS_MAX_BYTES
from lamington.gateway.execution_logs import render_test_log
from lamington.gateway.explain import ServedStage, Watch
from lamington.gateway.mapping import NO_IDENTITY, MethodRequest, receive_headers
from lamington.gateway.recording import (
    Recording,
    record_answer,
    record_integration_request,
    record_integration_response,
)
from lamington.gateway.responses import MethodResponse, Refusal
from lamington.gateway.router import Match

Report = Callable[[str, str, str], None]
"""Takes method, path and reason of a request that ends in a 5xx of the gateway's own."""

FAILURES_KEPT = 100

_TEST_IDENTITY = {"apiKey": "test-invoke-api-key", "apiKeyId": "test-invoke-api-key-id"}
"""AWS: recorded; who calls TestInvokeMethod is not in it here."""

_TEST_RESPONSE_HEADERS = frozenset({"x-amzn-requestid", "x-amz-apigw-id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a request ended in a 5xx of the gateway's own."""

    request_id: str
    method: str
    path: str
    reason: str


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
        journal: Callable[[Completed], None] | None = None,
        forget: Callable[[str, str], None] | None = None,
    ) -> None:
        """`forget` is told of a stage that is withdrawn: what is cached of it goes with it."""
        self._forget = forget
        self.programs: dict[tuple[str, str], StageProgram] = {}
        self.watch: Watch | None = None
        """Is shown every request, each of them recorded, while it is not None."""
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

    def stages(self) -> Iterable[ServedStage]:
        """The stages in service."""
        return map(served_stage, self.programs.values())

    def withdraw(self, api_id: str, stage: str) -> None:
        self.programs.pop((api_id, stage), None)
        if self._forget is not None:
            self._forget(api_id, stage)

    async def handle(
        self,
        request: Request,
        api_id: str,
        stage: str,
        path: str,
        stage_in_path: bool = True,
        watch: Watch | None = None,
        base_path: str = "",
    ) -> Response:
        """Answer a request to `path`, the undecoded path after the stage.

        `stage_in_path` tells the API's default endpoint from a domain name of its own, which
        has taken `base_path` off the path.

        `watch` is shown what became of this one request, step by step.

        AWS: an API or a stage that is not there is 403 Forbidden, and so is the default endpoint
        of an API that has it disabled.
        Differs: a request line and headers over 10,240 bytes are 431; no record of AWS's answer.
        """
        program = self._find(api_id, stage, stage_in_path)
        if program is None:
            return self._forbidden()
        began = self._monotonic()
        method_request, match = self._receive(program, request, path, stage_in_path)
        method_request.is_canary = program.is_canary
        if base_path:
            method_request.facts = {"customDomain.basePathMatched": base_path}
        watch = watch or self.watch
        completed = Completed(
            program, None if match is None else match.target, method_request, began
        )
        if watch is not None or (match is not None and match.target.recorded):
            method_request.recording = Recording(self._clock)
        try:
            _require_size(request)
            if request.query:
                _require_encoded(request.query)
            if match is None:
                raise _unknown_route(method_request)
            method = match.target
            answer = await perform(method, completed, self._monotonic)
            traced = method.traced
        except Refusal as refusal:
            completed.refusal = refusal
            answer = self._refuse(program, refusal, method_request, match)
            traced = False
        if program.compress is not None:
            pending = program.compress(method_request, answer)
            if pending is not None:
                await pending
        response = self._finished(completed, answer, traced)
        if watch is not None:
            completed.ended = self._monotonic()
            completed.answer = answer
            watch(explained_of(completed))
        return response

    def _find(self, api_id: str, stage: str, is_default: bool) -> StageProgram | None:
        """The program that is to serve a request: a stage's own, or now and then its canary's."""
        program = self.programs.get((api_id, stage))
        if program is None or (program.is_closed and is_default):
            return None
        canary = program.canary
        if canary is not None and random.random() * 100 < canary.percent:
            return canary.program
        return program

    def _finished(self, completed: Completed, answer: MethodResponse, traced: bool) -> Response:
        """Put the request into the journal."""
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
        context_path = f"/{program.stage_name}{path}" if stage_in_path else request.path
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
                sent=request,
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
        answer = program.gateway_responses.response(refusal, request, route)
        if request.recording is not None:
            record_answer(
                request.recording,
                "gateway_response",
                status=answer.status,
                headers=answer.headers,
                body=answer.body,
                type=refusal.response_type,
                why=refusal.message,
                hint=refusal.hint,
            )
        return answer

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
        method_request.identity = _TEST_IDENTITY
        method_request.path_parameters = (
            match.parameters if match is not None and match.target is method else {}
        )
        method_request.recording = Recording(self._clock)
        completed = Completed(program, method, method_request, self._monotonic())
        try:
            answer = await perform(method, completed, self._monotonic)
            traced = method.traced
        except Refusal as refusal:
            completed.refusal = refusal
            answer = program.gateway_responses.response(refusal, method_request, method.route)
            traced = False
        completed.ended = self._monotonic()
        completed.answer = answer
        log = render_test_log(execution_of(completed))
        response = _response(answer, method_request, traced)
        response.headers = [
            pair for pair in response.headers if pair[0].lower() not in _TEST_RESPONSE_HEADERS
        ]
        latency_ms = round(completed.latency_s * 1000)
        return TestInvocation(response=response, log=log, latency_ms=latency_ms)


async def perform(
    method: MethodProgram, completed: Completed, monotonic: Callable[[], float]
) -> MethodResponse:
    """Take a request through its gates, its cache and its integration.

    Raises the Refusal that ends it.
    """
    request = completed.request
    recording = request.recording
    if recording is not None:
        _record_match(recording, method, request)
    for gate in method.gates:
        pending = gate(request)
        if pending is not None:
            await pending
    cache = method.cache
    if cache is not None:
        kept = cache.find(request)
        completed.cached = kept is not None
        if kept is not None:
            return kept
    context = method.context(request)
    integration_request = method.map_request(request, context)
    if recording is not None:
        record_integration_request(
            recording,
            uri=integration_request.uri or method.integration.uri,
            method=integration_request.method,
            headers=integration_request.headers or integration_request.parameters.headers.items(),
            body=integration_request.body,
        )
    completed.integration_began = monotonic()
    response = await method.integration.send(integration_request)
    completed.integration_ended = monotonic()
    completed.integration = response
    if recording is not None:
        record_integration_response(
            recording,
            status=response.status,
            headers=response.headers,
            body=response.body,
            latency_s=completed.integration_ended - completed.integration_began,
            function_error=response.function_error,
            request_id=response.request_id,
        )
    answer = method.map_response(request, context, response)
    if recording is not None:
        record_answer(
            recording,
            "method_response",
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
        )
    if cache is not None:
        cache.keep(request, answer)
    return answer


def _record_match(recording: Recording, method: MethodProgram, request: MethodRequest) -> None:
    recording.add(
        "match",
        resource=method.route.resource_path,
        method=method.http_method,
        path_parameters=dict(request.path_parameters),
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


def _require_encoded(query: str) -> None:
    """Raise a Refusal for a character that a client has to encode in a query string.

    AWS: developer guide, known issues. Differs: the body is a likely one.
    """
    if "|" in query or "{" in query or "}" in query:
        raise Refusal(
            "The query string has `|`, `{` or `}`, which are to be percent-encoded",
            response_type="DEFAULT_4XX",
            client_message="Bad Request",
        )


def _unknown_route(request: MethodRequest) -> Refusal:
    """AWS: never 404 or 405; an `Authorization` that is no signature is answered as a bad one."""
    value = request.known.get("authorization", "")
    if not value or value.startswith("AWS4-HMAC-SHA256"):
        return Refusal(
            f"No method for {request.method} {request.path}",
            response_type="MISSING_AUTHENTICATION_TOKEN",
        )
    return Refusal(
        f"No method for {request.method} {request.path}",
        response_type="MISSING_AUTHENTICATION_TOKEN",
        client_message=incomplete_message(value),
        error_type=IncompleteSignature.code,
    )


def _continued_trace(sent: str, root: str, parent: str) -> str:
    """Complete a client's trace header.

    AWS: `Root` and `Parent` are kept, missing ones made; `Sampled` is 1 where a parent was given.
    """
    parts = dict(part.strip().partition("=")[::2] for part in sent.split(";"))
    sampled = parts.get("Sampled") or ("1" if "Parent" in parts else "0")
    root = f"Root={parts['Root']}" if parts.get("Root") else root
    return f"{root};Parent={parts.get('Parent') or parent};Sampled={sampled}"
