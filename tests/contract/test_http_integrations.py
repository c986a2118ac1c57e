"""HTTP integrations against a real server: what it gets, and what the client gets of it."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest

from fakes_gateway import header
from http_world import Backend, answer, gateway, http_method, serving
from lamington.gateway.entities import IntegrationResponse

LIMIT_S = 10.0


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    async with serving() as served:
        yield served


async def test_proxy_passes_the_request_and_the_answer(backend: Backend) -> None:
    backend.answer = answer("404 Not Found", b"no cake", "Content-Type: text/plain", "X-Own: 1")
    async with gateway({"POST /cakes": http_method(uri=f"{backend.url}/shop")}) as api:
        response = await api.send(
            "POST /cakes?a=1&b=x%20y", headers=[("X-Mixed-CASE", "v")], body=b"hello"
        )
    assert (response.status, response.body) == (404, b"no cake")
    assert header(response, "X-Own") == "1"
    request = backend.received[0]
    assert (request.method, request.target) == ("POST", "/shop?a=1&b=x%20y")
    assert request.header("X-Mixed-CASE") == "v"
    assert request.header("Host") == f"127.0.0.1:{backend.port}"
    assert request.body == b"hello"


async def test_connections_are_kept_and_used_again(backend: Backend) -> None:
    async with gateway({"GET /a": http_method(uri=backend.url)}) as api:
        for _ in range(5):
            assert (await api.send("GET /a")).status == 200
    assert (len(backend.received), backend.connections) == (5, 1)


async def test_address_without_a_path_is_the_root(backend: Backend) -> None:
    async with gateway({"GET /a": http_method(uri=backend.url)}) as api:
        await api.send("GET /a?x=1")
    assert backend.received[0].target == "/?x=1"


async def test_redirects_are_not_followed(backend: Backend) -> None:
    backend.answer = answer("302 Found", b"", "Location: /elsewhere")
    async with gateway({"GET /a": http_method(uri=backend.url)}) as api:
        response = await api.send("GET /a")
    assert (response.status, header(response, "Location")) == (302, "/elsewhere")
    assert len(backend.received) == 1


async def test_cookies_are_passed_and_never_kept(backend: Backend) -> None:
    backend.answer = answer("200 OK", b"", "Set-Cookie: a=1", "Set-Cookie: b=2")
    async with gateway({"GET /a": http_method(uri=backend.url)}) as api:
        response = await api.send("GET /a")
        await api.send("GET /a")
    assert [value for name, value in response.headers if name == "Set-Cookie"] == ["a=1", "b=2"]
    assert "cookie" not in backend.received[1].names()


async def test_slow_endpoint_is_504(backend: Backend) -> None:
    backend.gate = asyncio.Event()
    async with gateway({"GET /a": http_method(uri=backend.url, timeout_ms=50)}) as api:
        response = await api.send("GET /a")
        backend.gate.set()
    assert response.status == 504
    assert response.body == b'{"message":"Endpoint request timed out"}'


async def test_endpoint_that_is_not_there_is_504() -> None:
    async with serving() as gone:
        port = gone.port
    async with gateway({"GET /a": http_method(uri=f"http://127.0.0.1:{port}/")}) as api:
        response = await api.send("GET /a")
        assert "network error" in api.reason
    assert response.status == 504
    assert response.body == b'{"message":"Network error communicating with endpoint"}'


async def test_name_that_does_not_resolve_is_504() -> None:
    async with gateway({"GET /a": http_method(uri="http://nowhere.invalid/")}) as api:
        response = await api.send("GET /a")
    assert response.status == 504


async def test_endpoint_that_breaks_off_is_504(backend: Backend) -> None:
    backend.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"
    backend.pieces = asyncio.Queue()
    backend.pieces.put_nowait(None)
    async with gateway({"GET /a": http_method(uri=backend.url)}) as api:
        assert (await api.send("GET /a")).status == 504


async def test_answer_that_is_no_http_is_504(backend: Backend) -> None:
    backend.answer = b"SSH-2.0-nonsense\r\n\r\n"
    async with gateway({"GET /a": http_method(uri=backend.url)}) as api:
        assert (await api.send("GET /a")).status == 504


async def test_answer_over_the_limit_is_500_and_says_so(backend: Backend) -> None:
    size = 10 * 1024 * 1024 + 1
    backend.answer = answer("200 OK", bytes(size))
    async with gateway({"GET /a": http_method(uri=backend.url)}) as api:
        response = await api.send("GET /a")
        assert f"reported length {size} is larger" in api.reason
    assert response.status == 500


async def test_answer_of_the_limit_is_passed(backend: Backend) -> None:
    backend.answer = answer("200 OK", b"x" * (10 * 1024 * 1024))
    async with gateway({"GET /a": http_method(uri=backend.url)}) as api:
        response = await api.send("GET /a")
    assert len(response.body) == 10 * 1024 * 1024


async def test_chunked_answer_is_read_whole(backend: Backend) -> None:
    chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    backend.answer = answer("200 OK", chunks, "Transfer-Encoding: chunked")
    async with gateway({"GET /a": http_method(uri=backend.url)}) as api:
        response = await api.send("GET /a")
    assert response.body == b"abcde"
    assert header(response, "Transfer-Encoding") == ""


async def test_compressed_answer_reaches_a_proxys_client_readable(backend: Backend) -> None:
    body = gzip.compress(b"sweet")
    backend.answer = answer("200 OK", body, "Content-Encoding: gzip", "Content-Type: text/plain")
    async with gateway({"GET /a": http_method(uri=backend.url)}) as api:
        response = await api.send("GET /a", headers=[("Accept-Encoding", "gzip")])
    assert (response.body, header(response, "Content-Encoding")) == (b"sweet", "")
    assert backend.received[0].header("Accept-Encoding") == "gzip"


async def test_unknown_coding_is_left_alone(backend: Backend) -> None:
    backend.answer = answer("200 OK", b"\x00\xff", "Content-Encoding: br")
    async with gateway({"GET /a": http_method(uri=backend.url)}) as api:
        response = await api.send("GET /a")
    assert (response.body, header(response, "Content-Encoding")) == (b"\x00\xff", "br")


async def test_head_has_the_headers_and_no_body(backend: Backend) -> None:
    backend.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    async with gateway({"ANY /a": http_method("ANY", uri=backend.url)}) as api:
        response = await api.send("HEAD /a")
    assert backend.received[0].method == "HEAD"
    assert (response.status, response.body) == (200, b"")


async def test_mapped_integration_selects_by_status(backend: Backend) -> None:
    backend.answer = answer("409 Conflict", b'{"why": "eaten"}', "X-Reason: late")
    method = http_method(
        uri=f"{backend.url}/cakes/{{id}}",
        kind="HTTP",
        http_method="POST",
        statuses=("200", "409"),
        request_parameters={
            "integration.request.path.id": "method.request.path.id",
            "integration.request.querystring.q": "method.request.querystring.q",
            "integration.request.header.X-From": "'gateway'",
        },
        request_templates={"application/json": '{"in": $input.json("$")}'},
        responses=[
            IntegrationResponse(status_code="200"),
            IntegrationResponse(
                status_code="409",
                selection_pattern="4\\d{2}",
                response_parameters={
                    "method.response.header.X-Why": "integration.response.header.X-Reason"
                },
                response_templates={"application/json": '{"told": "$input.path("$.why")"}'},
            ),
        ],
    )
    async with gateway({"POST /cakes/{id}": method}) as api:
        response = await api.send(
            "POST /cakes/7?q=a%20b&dropped=1", headers=[("X-Client", "1")], body=b"[1]"
        )
    assert (response.status, response.body) == (409, b'{"told": "eaten"}')
    assert header(response, "X-Why") == "late"
    assert header(response, "X-Amzn-Trace-Id").startswith("Root=1-")
    request = backend.received[0]
    assert (request.target, request.body) == ("/cakes/7?q=a%20b", b'{"in": [1]}')
    assert "x-client" not in request.names()
    assert request.header("X-From") == "gateway"


async def test_path_override_of_a_template_fills_the_address(backend: Backend) -> None:
    method = http_method(
        uri=f"{backend.url}/{{where}}",
        kind="HTTP",
        http_method="POST",
        request_templates={
            "application/json": '#set($context.requestOverride.path.where = "there")'
            '#set($context.requestOverride.querystring.q = "1")'
            '#set($context.requestOverride.header.X-Set = "2"){}'
        },
    )
    async with gateway({"POST /a": method}) as api:
        assert (await api.send("POST /a", body=b"{}")).status == 200
    request = backend.received[0]
    assert (request.target, request.header("X-Set")) == ("/there?q=1", "2")


# VPC links


async def test_vpc_link_is_an_address_that_keeps_the_host(backend: Backend) -> None:
    method = http_method(
        uri="http://cakes.internal:8080/list", connection_type="VPC_LINK", connection_id="link1"
    )
    links = {"link1": f"127.0.0.1:{backend.port}"}
    async with gateway({"GET /a": method}, links=links) as api:
        assert (await api.send("GET /a?x=1")).status == 200
    request = backend.received[0]
    assert (request.target, request.header("Host")) == ("/list?x=1", "cakes.internal:8080")


async def test_vpc_link_may_be_a_stage_variable(backend: Backend) -> None:
    method = http_method(
        uri="http://cakes.internal/",
        connection_type="VPC_LINK",
        connection_id="${stageVariables.link}",
    )
    links = {"link2": f"127.0.0.1:{backend.port}"}
    async with gateway({"GET /a": method}, links=links, variables={"link": "link2"}) as api:
        assert (await api.send("GET /a")).status == 200


async def test_unknown_vpc_link_is_a_problem_and_500() -> None:
    method = http_method(uri="http://c/", connection_type="VPC_LINK", connection_id="lost")
    async with gateway({"GET /a": method}) as api:
        response = await api.send("GET /a")
        problem = str(api.program.problems[0])
    assert response.status == 500
    assert "LAMINGTON_VPC_LINKS=lost=" in problem


# Streaming


async def test_stream_passes_each_piece_as_it_comes(backend: Backend) -> None:
    backend.pieces = asyncio.Queue()
    backend.answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    method = http_method(uri=backend.url, response_transfer_mode="STREAM")
    async with gateway({"GET /a": method}) as api, asyncio.timeout(LIMIT_S):
        response = await api.send("GET /a")
        assert header(response, "Content-Type") == "text/event-stream"
        stream = response.stream
        assert stream is not None
        for piece in (b"one", b"two"):
            backend.pieces.put_nowait(piece)
            assert await anext(stream) == piece
        backend.pieces.put_nowait(None)
        assert [each async for each in stream] == []


async def test_stream_that_takes_too_long_is_cut(backend: Backend) -> None:
    backend.pieces = asyncio.Queue()
    backend.answer = b"HTTP/1.1 200 OK\r\n\r\n"
    method = http_method(uri=backend.url, response_transfer_mode="STREAM", timeout_ms=80)
    async with gateway({"GET /a": method}) as api, asyncio.timeout(LIMIT_S):
        response = await api.send("GET /a")
        assert response.stream is not None
        with pytest.raises(Exception, match="longer to answer"):
            await anext(response.stream)
        backend.pieces.put_nowait(None)
