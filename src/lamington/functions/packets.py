"""Sockets of packets to the processes of the launcher: orders with descriptors, never waiting.

Left to others: what the packets say (`sandbox`, `launcher`).
"""

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

PACKET_BYTES = 65536

Packet = tuple[bytes, list[int]]
"""What is said, and the descriptors that go with it."""

_CREDENTIALS: Final = struct.Struct("iII")
_SCM_CREDENTIALS = 2


class PacketSocket:
    """Our end of a socket of packets; what does not fit in it is sent when it does.

    A descriptor given to `send` is the socket's from then on, and is closed once it is sent.
    """

    def __init__(self, ours: socket.socket, readable: Callable[[], None]) -> None:
        """`readable` is called in the loop when `receive` has something to return."""
        self._loop = asyncio.get_running_loop()
        self._socket = ours
        self._backlog: deque[Packet] = deque()
        self._kept: list[Packet] | None = None
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._loop.add_reader(ours.fileno(), readable)

    def fileno(self) -> int:
        return self._socket.fileno()

    def keep(self) -> None:
        """Keep what is sent from now on, so that it can be said to somebody else."""
        self._kept = []

    def forget(self) -> None:
        """Let go of what was kept: it has been heard."""
        kept, self._kept = self._kept, None
        _close(kept or ())

    def send(self, data: bytes, descriptors: list[int]) -> None:
        """Send a packet; one that nobody is there for is dropped."""
        if self._socket.fileno() < 0:
            _close([(data, descriptors)])
            return
        if self._backlog:
            self._backlog.append((data, descriptors))
            return
        try:
            socket.send_fds(self._socket, [data], descriptors)
        except BlockingIOError:
            self._backlog.append((data, descriptors))
            self._loop.add_writer(self._socket.fileno(), self._send_backlog)
            return
        except OSError:
            # The other end is closed, which `receive` tells.
            pass
        if self._kept is None:
            _close([(data, descriptors)])
        else:
            self._kept.append((data, descriptors))

    def receive(self) -> tuple[bytes, int] | None:
        """The next packet and its sender's process; None for none, b"" at the end of all."""
        try:
            data, ancillary, _, _ = self._socket.recvmsg(
                PACKET_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size)
            )
        except BlockingIOError:
            return None
        except OSError:
            return b"", 0
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == _SCM_CREDENTIALS:
                return data, int(_CREDENTIALS.unpack(content)[0])
        return data, 0

    def give_up(self) -> list[Packet]:
        """Close the socket; what it kept or could not send is the caller's."""
        packets = [*(self._kept or ()), *self._backlog]
        self._kept = None
        self._backlog.clear()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()
        return packets

    def close(self) -> None:
        """Close the socket, and what was to be sent by it."""
        _close(self.give_up())

    def _send_backlog(self) -> None:
        self._loop.remove_writer(self._socket.fileno())
        waiting, self._backlog = self._backlog, deque()
        for data, descriptors in waiting:
            self.send(data, descriptors)


def _close(packets: Iterable[Packet]) -> None:
    for _, descriptors in packets:
        for each in descriptors:
            os.close(each)
