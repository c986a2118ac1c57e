"""Issuers of tokens over real HTTP: what is taken of them, and how long they may take."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lamington.core.clock import ManualClock, SystemClock
from lamington.gateway.authorization.json_web_tokens import (
    DOCUMENT_MAX_BYTES,
    TokenError,
    TokenVerifier,
    fetch_document,
)
from token_world import Issuer

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """An HTTP server whose every GET is answered so; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def document(body: bytes, status: int = 200) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


async def test_issuer_is_found_by_its_configuration_and_its_keys() -> None:
    clock = ManualClock()
    issuer = Issuer(clock)

    def answer(request: BaseHTTPRequestHandler) -> None:
        body = issuer.documents[f"https://issuer.example{request.path}"]
        here = f"http://{request.headers['Host']}"
        document(body.replace(b"https://issuer.example", here.encode()))(request)

    with serving(answer) as address:
        token = issuer.token(iss=address)
        claims = await TokenVerifier(clock=clock).verify(token, issuer=address)
    assert claims["sub"] == "user-1"


@pytest.mark.parametrize(
    "answer",
    [document(b"no", 500), document(b"no JSON"), document(b"[]"), document(b'{"keys": 1}')],
)
async def test_answer_that_is_no_key_set_is_an_error_of_communication(answer: Answer) -> None:
    issuer = Issuer(ManualClock())
    with serving(answer) as address:
        verifier = TokenVerifier(clock=issuer.clock)
        with pytest.raises(TokenError):
            await verifier.verify(issuer.token(), issuer=issuer.issuer, jwks_url=f"{address}/keys")


async def test_document_that_is_too_large_is_not_taken() -> None:
    with (
        serving(document(b" " * (DOCUMENT_MAX_BYTES + 1))) as address,
        pytest.raises(ValueError, match="larger than 150000 bytes"),
    ):
        await fetch_document(address)


async def test_answer_that_is_no_http_is_refused_in_words() -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"nonsense\r\n\r\n")

    with serving(answer) as address, pytest.raises(ValueError, match="no HTTP"):
        await fetch_document(address)


async def test_address_of_another_scheme_is_not_read() -> None:
    with pytest.raises(ValueError, match="no HTTP address"):
        await fetch_document("file:///etc/passwd")


async def test_slow_issuer_holds_up_nobody_and_is_given_up_in_time() -> None:
    hold = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        hold.wait(10)

    issuer = Issuer(ManualClock())
    verifier = TokenVerifier(clock=SystemClock())
    with serving(answer) as address:
        began = time.monotonic()
        asking = asyncio.create_task(
            verifier.verify(issuer.token(), issuer=issuer.issuer, jwks_url=address)
        )
        longest = 0.0
        while not asking.done():
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - before)
        took = time.monotonic() - began
        hold.set()
        with pytest.raises(TokenError) as refused:
            await asking
    assert refused.value.message == "JWKS communication error"
    assert 1.4 < took < 3
    assert longest < 0.5
