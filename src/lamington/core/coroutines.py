"""Coroutines begun by hand and finished in a task.

A task costs microseconds and a turn of the loop before it runs at all. What is done before it ever
waits needs none.
"""

from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class Resumed(Generic[Value]):
    """Awaits the rest of a coroutine that was begun by hand and is blocked on a future.

    `blocked` is what its first `send` returned: a future, or None where it only gave way.
    """

    __slots__ = ("_blocked", "_coroutine")

    def __init__(self, coroutine: Coroutine[Any, Any, Value], blocked: Any) -> None:
        self._coroutine = coroutine
        self._blocked = blocked

    def __await__(self) -> Generator[Any, None, Value]:
        blocked = self._blocked
        try:
            while True:
                if blocked is not None:
                    blocked._asyncio_future_blocking = True
                try:
                    yield blocked
                except BaseException as error:  # noqa: BLE001  # whatever it is, is the coroutine's
                    blocked = self._coroutine.throw(error)
                else:
                    blocked = self._coroutine.send(None)
        except StopIteration as end:
            value: Value = end.value
            return value


async def finish(coroutine: Coroutine[Any, Any, Value], blocked: Any) -> Value:
    """The rest of a coroutine, as a coroutine that a task can run."""
    return await Resumed(coroutine, blocked)
