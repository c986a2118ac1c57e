"""Function URLs over the Lambda API of a test: one line makes a URL, one line asks it."""

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakes_functions import LambdaWorld, lambda_world
from lamington.core.clock import Ids
from lamington.core.http import Headers, Request, Response
from lamington.functions.function_urls import FunctionUrls
from lamington.functions.operations.function_urls import FunctionUrlOperations, RegistryPolicies
from lamington.functions.url_events import UrlCaller
from lamington.testing import RunningEngine

ENDPOINT = "http://127.0.0.1:4566"
CALLER = UrlCaller(
    access_key="AKIAEXAMPLE",
    account_id="111111111111",
    user_id="AIDAEXAMPLE",
    arn="arn:aws:iam::111111111111:user/ada",
)


@dataclass(kw_only=True)
class UrlWorld:
    """The function `f`, its URLs and who asks them."""

    api: LambdaWorld
    urls: FunctionUrls
    caller: UrlCaller | None = None

    async def create(self, *, permitted: bool = True, **params: Any) -> str:
        """Create `f` with a URL; returns the URL's id."""
        await self.api.create()
        if permitted:
            await self.permit()
        given = {"FunctionName": "f", "AuthType": "NONE", **params}
        created = await self.api.call("CreateFunctionUrlConfig", **given)
        return str(created["FunctionUrl"].rstrip("/").rpartition("/")[2])

    async def permit(self, *actions: str, **more: Any) -> None:
        """Let everybody call, by both statements where none is named."""
        both: dict[str, dict[str, Any]] = {
            "lambda:InvokeFunctionUrl": {"FunctionUrlAuthType": "NONE"},
            "lambda:InvokeFunction": {"InvokedViaFunctionUrl": True},
        }
        for action in actions or tuple(both):
            await self.api.call(
                "AddPermission",
                **{
                    "FunctionName": "f",
                    "StatementId": action.partition(":")[2],
                    "Action": action,
                    "Principal": "*",
                    **both[action],
                    **more,
                },
            )

    def answers(self, value: Any, *, error: str = "") -> None:
        """What the function answers from now on."""
        self.api.invoker.result.payload = (
            value if isinstance(value, bytes) else json.dumps(value).encode()
        )
        self.api.invoker.result.function_error = error

    async def ask(
        self,
        url_id: str,
        path: str = "/",
        method: str = "GET",
        headers: dict[str, str] | list[tuple[str, str]] | None = None,
        body: bytes = b"",
        *,
        host: str = "127.0.0.1:4566",
    ) -> Response:
        fields = list(headers.items()) if isinstance(headers, dict) else headers or []
        path, _, query = path.partition("?")
        request = Request(
            method=method,
            path=path,
            query=query,
            headers=Headers([("Host", host), *fields]),
            body=body,
            source_ip="1.2.3.4",
        )
        return await self.urls.handle(request, url_id, path)

    def event(self) -> dict[str, Any]:
        """The event that the function got last."""
        found: dict[str, Any] = json.loads(self.api.invoker.invocations[-1].payload)
        return found


@contextmanager
def url_world(directory: Path) -> Iterator[UrlWorld]:
    with lambda_world(directory) as api:
        ids = Ids()

        async def identify(request: Request) -> UrlCaller | None:
            return world.caller

        urls = FunctionUrls(
            invoker=api.invoker,
            policies=RegistryPolicies(api.registry),
            identify=identify,
            clock=api.clock,
            ids=ids,
        )
        operations = FunctionUrlOperations(
            registry=api.registry,
            store=api.store,
            urls=urls,
            clock=api.clock,
            ids=ids,
            endpoint=lambda: ENDPOINT,
        )
        api.caller.operations.update(operations.operations())
        world = UrlWorld(api=api, urls=urls)
        yield world


def make_function(engine: RunningEngine, name: str, files: dict[str, str], **more: Any) -> None:
    """Create a function of a live engine from these files, and wait until it is active."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for path, text in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = 0o644 << 16
            file.writestr(entry, text)
    client = engine.client("lambda")
    client.create_function(
        **{
            "FunctionName": name,
            "Runtime": "python3.11",
            "Handler": "app.handler",
            "Role": "arn:aws:iam::000000000000:role/anything",
            "Code": {"ZipFile": packed.getvalue()},
            **more,
        }
    )
    client.get_waiter("function_active_v2").wait(FunctionName=name)
