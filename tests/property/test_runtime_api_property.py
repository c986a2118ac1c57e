"""Whatever bytes arrive in whatever pieces, the API of an environment neither fails nor hangs."""

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api_world import ARN, RecordingEnvironment
from lamington.functions.api_connection import ApiServer, _Connection
from lamington.functions.api_link import ApiLink
from lamington.functions.link import Request
from lamington.functions.runtime_api import ApiFacts, EnvironmentApi

INVOCATION = b"/2018-06-01/runtime/invocation/"
STREAMING = b"Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
PATHS = [
    b"GET " + INVOCATION + b"next",
    b"POST " + INVOCATION + b"id/response",
    b"POST " + INVOCATION + b"id/error",
    b"POST " + INVOCATION + b"id/other",
    b"POST /2018-06-01/runtime/init/error",
    b"GET /2018-06-01/runtime/restore/next",
    b"POST /2018-06-01/runtime/restore/error",
    b"POST /2020-01-01/extension/register",
    b"GET /2020-01-01/extension/event/next",
    b"PUT /2022-07-01/telemetry",
    b"CONNECT sandbox:80",
    b"OPTIONS *",
    b"GET http://api/2018-06-01/ping",
    b"GET /\xff\xfe",
]
BODIES = [
    b"\r\n",
    b"Content-Length: 2\r\n\r\n{}",
    b"Content-Length: 200\r\n\r\n" + b"x" * 200,
    b"Content-Length: 99\r\n\r\nshort",
    b"Expect: 100-continue\r\nContent-Length: 500\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    STREAMING + b"\r\n3\r\nabc\r\n0\r\nLambda-Runtime-Function-Error-Body: !\r\n\r\n",
    STREAMING + b"\r\n3\r\nabc\r\n",
    b"Lambda-Extension-Name: a\r\nContent-Length: 13\r\n\r\n" + b'{"events":[]}',
    b"Lambda-Extension-Identifier: 0\r\n\r\n",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
    b"Connection: close\r\n\r\n",
]
REQUESTS = st.builds(
    lambda start, version, rest: start + b" HTTP/" + version + b"\r\nHost: a\r\n" + rest,
    st.sampled_from(PATHS),
    st.sampled_from([b"1.1", b"1.0", b"9"]),
    st.sampled_from(BODIES),
)


class Wire(asyncio.Transport):
    """A transport to nowhere; closing is told to the connection as a loop does."""

    def __init__(self, connection: _Connection) -> None:
        super().__init__()
        self.connection = connection
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed, "written after the end"
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


@given(
    pieces=st.lists(
        st.one_of(
            st.lists(REQUESTS, min_size=1, max_size=3).map(b"".join),
            st.binary(max_size=20),
            st.sampled_from([b"invoke", b"begin", b"close"]),
        ),
        max_size=8,
    ),
    cut=st.sampled_from([1, 7, 100, 5000]),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_bytes_break_the_api(pieces: list[bytes], cut: int) -> None:
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_run(pieces, cut, loop))
    finally:
        loop.close()


async def _run(pieces: list[bytes], cut: int, loop: asyncio.AbstractEventLoop) -> None:
    facts = ApiFacts(
        function_name="f",
        function_version="1",
        handler="h",
        account_id="0",
        response_max_bytes=100,
        runtime_speaks_api=True,
        snap_start=True,
    )
    environment = RecordingEnvironment()
    api = EnvironmentApi(facts, environment, loop)
    api.begin_init(["a"])
    link = ApiLink(environment, api, loop)
    server: ApiServer = api._server
    server._listener = asyncio.Server(loop, [], None, None, 0, None)  # type: ignore[arg-type]
    wire = _opened(server)
    for piece in pieces:
        if piece == b"invoke":
            link.hand_over(Request(loop.create_future(), "id", ARN, b"{}"), 1, 0.0)
        elif piece == b"begin":
            api.begin_init([])
        elif piece == b"close":
            wire.connection.connection_lost(None)
            wire = _opened(server)
        else:
            for at in range(0, len(piece), cut):
                if not wire.closed:
                    wire.connection.data_received(piece[at : at + cut])
        _require_answers(wire.written)
        if wire.closed:
            wire.connection.connection_lost(None)
            wire = _opened(server)
    probe = _opened(server)
    probe.connection.data_received(b"GET /2018-06-01/ping HTTP/1.1\r\n\r\n")
    assert probe.written.startswith(b"HTTP/1.1 200 OK\r\n")
    server._listener = None
    link.close()
    await api.close()


def _require_answers(written: bytes) -> None:
    """What was written is whole answers, one after the other."""
    while written:
        head, end, written = written.partition(b"\r\n\r\n")
        assert end
        assert head.startswith(b"HTTP/1.1 ")
        lengths = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
        size = int(lengths[0][16:]) if lengths else 0
        assert len(written) >= size
        written = written[size:]


def _opened(server: ApiServer) -> Wire:
    connection = _Connection(server)
    wire = Wire(connection)
    connection.connection_made(wire)
    return wire
