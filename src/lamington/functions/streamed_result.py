"""A function's answer that comes in pieces, between the environment that writes and who reads.

Left to others: who asks for it (`invoke`), and where the pieces come from (`environment`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from lamington.functions.link import Outcome, Request


class StreamedResult:
    """A function's answer as it comes.

    `content_type` is known at once, "" where the function does not stream; `function_error`,
    `error_payload` and `log_tail` are known when `chunks` has ended.
    """

    BUFFER_BYTES = 1024 * 1024
    """So much may wait for the caller before the function has to."""

    def __init__(self) -> None:
        self.request_id = ""
        self.executed_version = ""
        self.content_type = ""
        self.function_error = ""
        self.error_payload = b""
        self.log_tail = b""
        self.resume: Callable[[], None] = _nothing
        self._outcome: asyncio.Future[Outcome]
        self._changed = asyncio.Event()
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._began = False
        self._abandoned = False

    def begin(self, content_type: str) -> None:
        """Take note that the function streams; AWS has a content type for who gives none."""
        self.content_type = content_type or "application/octet-stream"
        self._began = True
        self._changed.set()

    def write(self, chunk: bytes) -> bool:
        """Take a piece; False where the function is to wait."""
        if self._abandoned:
            return True
        self._chunks.append(chunk)
        self._buffered += len(chunk)
        self._changed.set()
        return self._buffered < self.BUFFER_BYTES

    async def begun(self, request: Request, executed_version: str) -> None:
        """Wait for the first sign of the request's answer; raises what the invocation raises."""
        self.request_id = request.request_id
        self.executed_version = executed_version
        self._outcome = request.outcome
        self._outcome.add_done_callback(lambda _: self._changed.set())
        while not self._began and not self._outcome.done():
            self._changed.clear()
            await self._changed.wait()
        if not self._began:
            self._outcome.result()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The pieces of the answer; a caller who leaves lets the function run to its end."""
        try:
            while True:
                chunks, self._chunks = self._chunks, []
                if chunks:
                    self._buffered = 0
                    self.resume()
                for chunk in chunks:
                    yield chunk
                if self._chunks:
                    continue
                if self._outcome.done():
                    break
                self._changed.clear()
                await self._changed.wait()
            payload, self.function_error, self.log_tail = self._outcome.result()
            if self.function_error:
                self.error_payload = payload
            elif not self._began:
                yield payload
        finally:
            self._abandoned = True
            self._chunks.clear()
            self.resume()


def _nothing() -> None:
    """Stands for `resume` until a function streams."""
