"""The link to a runtime that speaks the HTTP Runtime API: the way to it is its own requests.

Left to others: what it may ask for and when (`runtime_api`).
"""

import asyncio

from lamington.functions.api_connection import ApiRequest
from lamington.functions.link import LinkedEnvironment, Request, RuntimeProcess, posted_failure
from lamington.functions.runtime_api import EnvironmentApi

EXIT_GRACE_S = 0.005


class ApiLink:
    """The engine's end of a runtime that speaks the HTTP Runtime API."""

    settles_apart = True

    def __init__(
        self,
        environment: LinkedEnvironment,
        api: EnvironmentApi,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.runtime = RuntimeProcess(environment, loop)
        self._api = api
        self._loop = loop
        self._stream: ApiRequest | None = None
        api.attach(self)

    # What the environment does.

    async def connect(self) -> None:
        """Nothing: the runtime connects to us."""

    def hand_over(self, request: Request, deadline_ms: int, attend_s: float) -> None:
        self._api.hand_over(request, deadline_ms)

    def pause(self) -> None:
        if self._stream is not None:
            self._stream.pause()

    def resume(self) -> None:
        if self._stream is not None:
            self._stream.resume()

    def process_exited(self) -> None:
        self.runtime.note_exit()
        # What it has posted may still be on its way.
        self._loop.call_later(EXIT_GRACE_S, self.runtime.tell_end)

    def close(self) -> None:
        """Let go of the environment and kill the process, if it still runs."""
        self._stream = None
        self._api.detach(self)
        self.runtime.close()

    # The API's side.

    def ready(self) -> None:
        self.runtime.initialise()

    def init_failed(self, error_type: str, posted: bytes) -> None:
        self.runtime.initialise(posted_failure(error_type, posted))

    def stream_began(self, request: ApiRequest) -> None:
        self._stream = request
        if self.runtime.environment is not None:
            content_type = request.field(b"content-type") or "application/octet-stream"
            self.runtime.environment.stream_began(content_type)

    def streamed(self, chunk: bytes) -> None:
        if self.runtime.environment is not None:
            self.runtime.environment.streamed(chunk)

    def received(self, kind: int, payload: bytes) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.resume()
        environment = self.runtime.environment
        if environment is not None:
            environment.received(kind, 0, 0, payload)
