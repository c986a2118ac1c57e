"""The floor: a bare event loop that hands each request to one worker process and back.

No routing, no event, no logs: nothing that runs functions in processes can be under it.
"""

import asyncio
import os
import socket
import struct
import sys
from collections import deque
from typing import cast

import httptools
import uvloop

LENGTH = struct.Struct(">I")


def work(link: socket.socket) -> None:
    pending = b""
    while True:
        while len(pending) < 4 or len(pending) < 4 + LENGTH.unpack_from(pending)[0]:
            chunk = link.recv(65536)
            if not chunk:
                return
            pending += chunk
        size = 4 + LENGTH.unpack_from(pending)[0]
        frame, pending = pending[:size], pending[size:]
        body = frame[4:] or b'{"message": "Hello, World!"}'
        link.sendall(LENGTH.pack(len(body)) + body)


class Worker(asyncio.Protocol):
    def __init__(self) -> None:
        self.waiting: deque[tuple[Front, bytes]] = deque()
        self.current: Front | None = None
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def submit(self, front: "Front", body: bytes) -> None:
        if self.current is None:
            self.current = front
            self.transport.write(LENGTH.pack(len(body)) + body)
        else:
            self.waiting.append((front, body))

    def data_received(self, data: bytes) -> None:
        self.received += data
        size = 4 + LENGTH.unpack_from(self.received)[0] if len(self.received) >= 4 else 0
        if not size or len(self.received) < size:
            return
        body, self.received = self.received[4:size], self.received[size:]
        front, self.current = self.current, None
        if self.waiting:
            following, request = self.waiting.popleft()
            self.submit(following, request)
        assert front is not None
        front.answer(body)


class Front(asyncio.Protocol):
    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        body, self.body = self.body, b""
        self.worker.submit(self, body)

    def answer(self, body: bytes) -> None:
        if self.transport.is_closing():
            return  # the client has left: its answer is dropped
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % len(body)
            + body
        )


async def main(port: int) -> None:
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        work(theirs)
        os._exit(0)
    theirs.close()
    loop = asyncio.get_running_loop()
    ours.setblocking(False)
    worker = Worker()
    await loop.create_connection(lambda: worker, sock=ours)
    server = await loop.create_server(lambda: Front(worker), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
