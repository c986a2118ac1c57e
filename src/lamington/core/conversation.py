"""A WebSocket as values: who talks at this end, and what he may ask of the connection.

No sockets and no frames: the server has both, and a layer states here what is to be done with the
messages.
"""

from dataclasses import dataclass
from typing import Protocol


class WebSocket(Protocol):
    """An open connection, as the one who talks at this end sees it."""

    def send(self, message: bytes) -> bool:
        """Send one message of text, in UTF-8; False where the client does not read what it gets."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Say good-bye; `closed` of the conversation is called before this returns."""
        ...

    def abort(self) -> None:
        """End the connection without a word, as code 1006."""
        ...

    def hold(self) -> None:
        """Take no more messages until `go_on`; some that were read already may still come."""
        ...

    def go_on(self) -> None: ...


class Conversation(Protocol):
    """One who talks with a client: called by the server, never twice at a time."""

    def opened(self, socket: WebSocket) -> None: ...

    def received(self, message: str) -> None:
        """One whole message of text."""
        ...

    def active(self) -> None:
        """The client has sent a ping, a pong or a part of a message: it is there."""
        ...

    def closed(self, code: int, reason: str) -> None:
        """The connection has ended: called once, and without `opened` where the client left early.

        1005 stands for a client that gave no code, 1006 for one that did not say good-bye.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """What a response needs to turn its connection into a WebSocket.

    Larger frames or messages end the connection (1009), as binary ones do (1003) and messages
    that are no UTF-8 (1007).
    """

    conversation: Conversation
    frame_bytes_max: int
    message_bytes_max: int
