"""A real HTTP server on the loopback that remembers bytes, and an API in front of it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fakes_gateway import SCOPE, FakeInvoker, FakePermissions, small_api, small_stage
from lamington.core.aws import Scope
from lamington.core.clock import Ids, ManualClock
from lamington.core.http import Headers, Request, Response
from lamington.gateway.deployment import StageProgram, compile_stage
from lamington.gateway.entities import (
    IntegrationResponse,
    Method,
    MethodIntegration,
    MethodResponseDefinition,
)
from lamington.gateway.http_client import ClientCertificate, HttpClient
from lamington.gateway.http_integrations import HttpParts
from lamington.gateway.pipeline import RestDataPlane
from lamington.gateway.stage_parts import StageParts


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came over the wire; header names in their own case."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes
    peer_certificate: bytes | None = None

    def header(self, name: str) -> str | None:
        """The value under exactly this name, None where there is none."""
        return next((value for key, value in self.fields if key == name), None)

    def names(self) -> set[str]:
        return {name.lower() for name, _ in self.fields}


@dataclass
class Backend:
    """Answers every request with `answer`, raw bytes, and keeps what it got."""

    answer: bytes = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    gate: asyncio.Event | None = None
    pieces: "asyncio.Queue[bytes | None] | None" = None
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *lines = head.split("\r\n")[:-2]
                method, target, _ = line.split(" ")
                fields = tuple(
                    (name, value.strip())
                    for name, _, value in (each.partition(":") for each in lines)
                )
                sizes = [value for name, value in fields if name.lower() == "content-length"]
                body = await reader.readexactly(int(sizes[0])) if sizes else b""
                connection: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
                certificate = connection.getpeercert(binary_form=True) if connection else None
                self.received.append(Received(method, target, fields, body, certificate))
                if self.gate is not None:
                    await self.gate.wait()
                writer.write(self.answer)
                await writer.drain()
                while self.pieces is not None:
                    piece = await self.pieces.get()
                    if piece is None:
                        writer.close()
                        return
                    writer.write(piece)
                    await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def serving(
    backend: Backend | None = None, context: ssl.SSLContext | None = None
) -> AsyncIterator[Backend]:
    """The backend, listening on a free port of the loopback."""
    backend = backend or Backend()
    server = await asyncio.start_server(backend.serve, "127.0.0.1", 0, ssl=context)
    backend.port = server.sockets[0].getsockname()[1]
    try:
        yield backend
    finally:
        server.close()


class FakeLinks:
    """VPC links by id."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses

    def address(self, connection_id: str, scope: Scope) -> str:
        return self._addresses.get(connection_id, "")


class FakeCertificates:
    def __init__(self, certificates: Mapping[str, ClientCertificate]) -> None:
        self._certificates = certificates

    def certificate(self, certificate_id: str, scope: Scope) -> ClientCertificate | None:
        return self._certificates.get(certificate_id)


def http_method(
    verb: str = "GET",
    *,
    uri: str,
    kind: str = "HTTP_PROXY",
    http_method: str = "ANY",
    statuses: Sequence[str] = ("200",),
    responses: Sequence[IntegrationResponse] = (IntegrationResponse(status_code="200"),),
    authorization_type: str = "NONE",
    **integration: Any,
) -> Method:
    return Method(
        http_method=verb,
        authorization_type=authorization_type,
        responses=tuple(MethodResponseDefinition(status_code=each) for each in statuses),
        integration=MethodIntegration(
            type=kind, uri=uri, http_method=http_method, responses=tuple(responses), **integration
        ),
    )


class HttpGateway:
    """An API whose methods have HTTP integrations."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        *,
        links: Mapping[str, str] | None = None,
        certificates: Mapping[str, ClientCertificate] | None = None,
        trust_store: str = "",
        variables: Mapping[str, str] | None = None,
        client_certificate_id: str = "",
        **members: Any,
    ) -> None:
        self.client = HttpClient(trust_store=trust_store)
        self.plane = RestDataPlane(clock=ManualClock(), ids=Ids())
        self.program: StageProgram = compile_stage(
            api=small_api(methods, **members),
            stage=small_stage(
                variables=dict(variables or {}), client_certificate_id=client_certificate_id
            ),
            scope=SCOPE,
            parts=StageParts(
                invoker=FakeInvoker({}),
                permitted=FakePermissions(),
                http=HttpParts(
                    client=self.client,
                    vpc_links=FakeLinks(links or {}),
                    certificates=FakeCertificates(certificates or {}),
                ),
            ),
        )
        self.plane.deploy(self.program)

    async def send(
        self,
        target: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Response:
        """Send `"GET /pets?x=1"`."""
        method, _, address = target.partition(" ")
        path, _, query = address.partition("?")
        request = Request(
            method=method,
            path=f"/dev{path}",
            query=query,
            headers=Headers([("Host", "abc123.localhost"), *headers]),
            body=body,
        )
        return await self.plane.handle(request, "abc123", "dev", path)

    @property
    def reason(self) -> str:
        """Why the last request failed."""
        return self.plane.failures[-1].reason


@contextlib.asynccontextmanager
async def gateway(methods: Mapping[str, Method], **members: Any) -> AsyncIterator[HttpGateway]:
    """A gateway whose connections are closed afterwards."""
    opened = HttpGateway(methods, **members)
    try:
        yield opened
    finally:
        await opened.client.close()


def answer(status: str = "200 OK", body: bytes = b"{}", *lines: str) -> bytes:
    """A response's bytes; `lines` are header lines."""
    head = [f"HTTP/1.1 {status}", *lines]
    if not any(line.lower().startswith("transfer-encoding") for line in lines):
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body
