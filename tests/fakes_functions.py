"""Fakes for the Lambda API: an invoker without processes, and a caller of operations in process."""

import asyncio
import contextlib
import io
import zipfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import url2pathname

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Ids, ManualClock
from lamington.core.store import Store
from lamington.functions.entities import FunctionVersion, InvalidParameterValueException
from lamington.functions.invoke import Invocation, InvocationResult
from lamington.functions.link import InitFailure
from lamington.functions.log_store import LogStore
from lamington.functions.operations.functions import FunctionOperations
from lamington.functions.operations.logs import LogOperations
from lamington.functions.operations.registry import FunctionRegistry
from lamington.functions.packages import Packages
from lamington.functions.url_responses import StreamedAnswer
from lamington.stack.entities import ValidationError

SCOPE = Scope(account_id="111111111111", region="us-east-1")
ARN = "arn:aws:lambda:us-east-1:111111111111:function"
ROLE = "arn:aws:iam::111111111111:role/r"


@dataclass
class FakeStream:
    """A streamed answer of these pieces; a failure shows after the last of them."""

    pieces: list[bytes] = field(default_factory=list)
    content_type: str = ""
    executed_version: str = "$LATEST"
    request_id: str = "id-1"
    failure: str = ""
    function_error: str = ""
    error_payload: bytes = b'{"errorType":"Error","errorMessage":"no"}'
    log_tail: bytes = b"START\n"
    closed: bool = False

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            for piece in self.pieces:
                yield piece
            self.function_error = self.failure
        finally:
            self.closed = True


@dataclass
class FakeInvoker:
    """Answers every invocation with the same result and remembers what it was told."""

    result: InvocationResult = field(
        default_factory=lambda: InvocationResult(
            status=200, payload=b'"done"', executed_version="$LATEST", request_id="id-1"
        )
    )
    invocations: list[Invocation] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    snapshots: list[str] = field(default_factory=list)
    snapshot_failure: InitFailure | None = None
    kept_ready: dict[tuple[str, str], int] = field(default_factory=dict)
    unready: str = ""
    streamed: "FakeStream" = field(default_factory=lambda: FakeStream())
    may_replace: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.may_replace.set()

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        self.invocations.append(invocation)
        return self.result

    def knows(self, function_arn: str) -> bool:
        return False

    def forget(self, function_name: str, scope: Scope) -> None:
        self.forgotten.append(function_name)

    async def replace(self, function_name: str, scope: Scope) -> None:
        """Take as long as `may_replace` says: an update is in progress until then."""
        await self.may_replace.wait()
        self.replaced.append(function_name)

    async def prepare_snapshot(self, version: FunctionVersion, scope: Scope) -> InitFailure | None:
        self.snapshots.append(f"{version.function_name}:{version.version}")
        return self.snapshot_failure

    def expect(self, function_name: str, scope: Scope) -> None:
        self.expected.append(function_name)

    async def invoke_streamed(self, invocation: Invocation) -> StreamedAnswer:
        self.invocations.append(invocation)
        return self.streamed

    def set_provisioned(self, scope: Scope, function_name: str, version: str, count: int) -> None:
        self.kept_ready[function_name, version] = count

    def provisioned(self, scope: Scope, function_name: str, version: str) -> tuple[int, int, str]:
        """All that was asked for is there at once, or nothing for the reason `unready`."""
        count = 0 if self.unready else self.kept_ready.get((function_name, version), 0)
        return count, count, self.unready


@dataclass
class OperationsCaller:
    """An AwsCaller over a table of operations, which remembers what was called."""

    operations: dict[str, Operation]
    called: list[tuple[str, Params]] = field(default_factory=list)

    async def call(self, operation: str, params: Params, scope: Scope) -> Result:
        if operation == "cloudformation:DescribeStackResources":
            raise ValidationError(f"Stack for {params['PhysicalResourceId']} does not exist")
        self.called.append((operation, params))
        return await self.operations[operation](params, scope)

    def names(self) -> list[str]:
        return [operation.partition(":")[2] for operation, _ in self.called]


@dataclass(kw_only=True)
class LambdaWorld:
    """The Lambda and Logs APIs over a store of their own, with a clock that stands still."""

    store: Store
    clock: ManualClock
    registry: FunctionRegistry
    invoker: FakeInvoker
    logs: LogStore
    objects: dict[tuple[str, str], bytes]
    caller: OperationsCaller
    functions: FunctionOperations

    async def call(self, operation: str, **params: Any) -> Result:
        """Call an operation and let what it began come to its end; the answer is the first."""
        answer = await self.begin(operation, **params)
        await self.functions.settled()
        return answer

    async def begin(self, operation: str, **params: Any) -> Result:
        """Call an operation and return with its answer, while its work is still to be done."""
        service = "logs" if operation[0] == "@" else "lambda"
        return await self.caller.call(f"{service}:{operation.lstrip('@')}", params, SCOPE)

    async def create(self, name: str = "f", **params: Any) -> Result:
        return await self.call("CreateFunction", **self.creation(name, **params))

    def creation(self, name: str, **params: Any) -> dict[str, Any]:
        """What CreateFunction needs."""
        defaults: dict[str, Any] = {
            "FunctionName": name,
            "Runtime": "python3.12",
            "Handler": "app.handler",
            "Role": ROLE,
            "Code": {"ZipFile": archive()},
        }
        return defaults | params

    async def publish_layer(self, name: str = "l", **params: Any) -> Result:
        defaults: dict[str, Any] = {"LayerName": name, "Content": {"ZipFile": archive()}}
        return await self.call("PublishLayerVersion", **(defaults | params))


@contextlib.contextmanager
def lambda_world(directory: Path) -> Iterator[LambdaWorld]:
    store, clock, ids, invoker = Store(directory), ManualClock(), Ids(), FakeInvoker()
    registry = FunctionRegistry(store, clock, ids)
    logs = LogStore(store, clock, 1_000_000)
    objects: dict[tuple[str, str], bytes] = {}

    async def fetch_object(bucket: str, key: str, version: str, scope: Scope) -> bytes:
        if (bucket, key) not in objects:
            raise InvalidParameterValueException(
                "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The"
                " specified key does not exist."
            )
        return objects[bucket, key]

    functions = FunctionOperations(
        registry=registry,
        invoker=invoker,
        packages=Packages(store),
        fetch_object=fetch_object,
    )
    caller = OperationsCaller(functions.operations() | LogOperations(logs, clock).operations())
    try:
        yield LambdaWorld(
            store=store,
            clock=clock,
            registry=registry,
            invoker=invoker,
            logs=logs,
            objects=objects,
            caller=caller,
            functions=functions,
        )
    finally:
        store.close()


def fetched(location: str) -> bytes:
    """What is behind the file URL that GetFunction shows."""
    return Path(url2pathname(location.removeprefix("file://"))).read_bytes()


def archive(text: str = "def handler(event, context): pass", name: str = "app.py") -> bytes:
    """A zip archive of one file."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as zipped:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = 0o644 << 16
        zipped.writestr(entry, text)
    return written.getvalue()


def archive_with_link(destination: str, name: str = "link") -> bytes:
    """A zip archive of one symbolic link."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as zipped:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = 0o120777 << 16
        zipped.writestr(entry, destination)
    return written.getvalue()
