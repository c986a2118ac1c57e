"""An engine, or a whole service, for the time of a test, on free ports and without a trace.

```python
with running_service(Path("bakery")) as service:
    assert service.get("/cakes").status == 200
    service.client("lambda").list_functions()
```
"""

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lamington.core.http import Headers
from lamington.core.settings import Settings, load_settings
from lamington.engine.engine import Engine
from lamington.service.local import RaisedStack, raise_stack
from lamington.service.package import Builder

Value = TypeVar("Value")

STEP_LIMIT_S = 60


class RunningEngine:
    """An engine on a thread of its own; its methods may be called from any other."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self.engine = engine
        self.scope = engine.scope
        self._loop = loop

    @property
    def endpoint_url(self) -> str:
        return self.engine.aws_endpoint

    def run(self, coroutine: Coroutine[Any, Any, Value]) -> Value:
        """Run a coroutine on the engine's loop and return what it returns."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(STEP_LIMIT_S)

    def client(self, service: str, account_id: str = "", region: str = "") -> Any:
        """A boto3 client of this engine."""
        import boto3

        session: Any = boto3.Session(
            region_name=region or self.scope.region,
            aws_access_key_id=account_id or self.scope.account_id,
            aws_secret_access_key="test",
        )
        return session.client(service, endpoint_url=self.endpoint_url)

    def raise_service(self, root: Path, parameters: Mapping[str, str] | None = None) -> RaisedStack:
        """Build the service in a directory and bring its stack to what was built."""
        built = Builder(root, root / ".lamington" / "build").build()
        return self.run(raise_stack(built, built.stack_name, self.engine, parameters or {}))


class Answer:
    """An HTTP answer, whatever its status."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class RunningService:
    """One service raised on an engine of its own and served at `url`."""

    def __init__(self, engine: RunningEngine, url: str) -> None:
        self.engine = engine
        self.client = engine.client
        self.url = url

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, b"", headers)

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request to the service; `path` is sent as it is."""
        import http.client

        host = self.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=STEP_LIMIT_S)
        try:
            connection.request(method, path, body or None, dict(headers or {}))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        return Answer(answer.status, Headers(answer.getheaders()), content)


@contextlib.contextmanager
def running_engine(data: Path | None = None, **settings: Any) -> Iterator[RunningEngine]:
    """An engine on a free port; its state is kept where `data` is given and gone otherwise."""
    with contextlib.ExitStack() as stack:
        directory = data or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        loaded = load_settings({}, **{"data": directory, "port": 0, "aws_port": 0, **settings})
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="engine", daemon=True)
        thread.start()
        stack.callback(_end_loop, loop, thread)
        # All of an engine lives on one thread: its database, too, is opened there.
        engine = asyncio.run_coroutine_threadsafe(_make(loaded), loop).result(STEP_LIMIT_S)
        running = RunningEngine(engine, loop)
        stack.callback(lambda: running.run(engine.stop()))
        running.run(engine.start())
        yield running


@contextlib.contextmanager
def running_service(
    root: Path,
    parameters: Mapping[str, str] | None = None,
    data: Path | None = None,
    **settings: Any,
) -> Iterator[RunningService]:
    """A service raised and served on a free port."""
    with running_engine(data, **settings) as engine:
        raised = engine.raise_service(root, parameters)
        api_id, stage = raised.outputs["ApiId"], raised.outputs["ApiStage"]
        port = engine.run(engine.engine.serve(api_id, stage))
        yield RunningService(engine, f"http://127.0.0.1:{port}")


async def _make(settings: Settings) -> Engine:
    return Engine(settings)


def _end_loop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    thread.join(STEP_LIMIT_S)
    loop.close()
