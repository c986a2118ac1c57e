"""The functions behind Lambda authorizers: how one is called, and what is recorded of it.

They serve every kind of API. Left to others: what a function is asked (`lambda_authorizers`, and
the other kinds' own), and what its answer means (`authorizer_results`).
"""

import asyncio
import re
from dataclasses import dataclass

from lamington.core.aws import Scope
from lamington.core.clock import Clock
from lamington.core.errors import AwsError
from lamington.functions.invoke import Invocation, InvocationResult, Invoker
from lamington.gateway.integrations import Bounded, error_message
from lamington.gateway.permits import Permissions, compile_permit
from lamington.gateway.recording import Recording
from lamington.gateway.responses import Refusal

TIMEOUT_S = 29.0

AUTHORIZER_URI = re.compile(
    r"arn:[^:]+:apigateway:[^:]*:lambda:path/+2015-03-31/functions/(?P<arn>arn:[^:]+:lambda:.+)"
    r"/invocations"
)
"""An authorizer's URI: of a function that answers in one piece, by its whole ARN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizerNames:
    """What an authorizer of any kind of API is called, and the `role` that it calls with."""

    api_id: str
    authorizer_id: str
    name: str
    kind: str
    role: str


class AuthorizerFunction:
    """Invokes the function of an authorizer, and records what came of it.

    AWS: API Gateway developer guide, Lambda authorizers: an error that says `Unauthorized` is
    401, any other one, as everything that keeps the function from answering, 500.
    """

    __slots__ = (
        "_abandoned",
        "_clock",
        "_function_arn",
        "_invoker",
        "_names",
        "_permit",
        "_timeout_s",
    )

    def __init__(
        self,
        names: AuthorizerNames,
        function_arn: str,
        *,
        scope: Scope,
        invoker: Invoker,
        permitted: Permissions,
        clock: Clock,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """AWS: without a role, it needs the leave of the function's policy, for the authorizer."""
        self._names = names
        self._function_arn = function_arn
        self._invoker = invoker
        self._permit = compile_permit(
            permitted,
            function_arn,
            f"{names.api_id}/authorizers/{names.authorizer_id}",
            scope,
            role=names.role,
        )
        self._clock = clock
        self._timeout_s = timeout_s
        self._abandoned: set[asyncio.Task[None]] = set()

    @property
    def uri(self) -> str:
        """Where AWS's log says that the function was called."""
        region = self._function_arn.split(":")[3]
        return (
            f"https://lambda.{region}.amazonaws.com/2015-03-31/functions/{self._function_arn}"
            "/invocations"
        )

    async def call(self, payload: bytes, trace_id: str) -> InvocationResult:
        """Invoke the function; raises Refusal where it gives no result.

        Differs: an authorizer that takes too long is AUTHORIZER_FAILURE; no record of AWS's
        response type.
        """
        if not self._permit():
            raise configuration_error(
                "Invalid permissions on Lambda function",
                f"`{self._function_arn}` needs a permission for apigateway.amazonaws.com",
            )
        invocation = Invocation(
            function_arn=self._function_arn, payload=payload, trace_id=trace_id, checked=True
        )
        try:
            result = await Bounded(
                self._invoker.invoke(invocation), self._timeout_s, self._abandoned
            )
        except AwsError as error:
            raise configuration_error("Authorizer error", error.message) from None
        except TimeoutError:
            raise Refusal(
                "Execution failed due to a timeout error",
                response_type="AUTHORIZER_FAILURE",
                hint=f"the authorizer ran longer than {self._timeout_s:g} s; it was not stopped",
            ) from None
        if result.function_error:
            message = error_message(result.payload)
            if message == "Unauthorized":
                raise unauthorized("The authorizer said `Unauthorized`")
            raise configuration_error("Authorizer error", f"the function failed: {message}")
        return result

    def record_asked(
        self,
        recording: Recording | None,
        event: bytes,
        output: bytes,
        *,
        began: float,
        decision: str = "error",
        error: str = "",
        principal: str = "",
    ) -> None:
        """Record what the function was asked at a moment `began`, and what came of it."""
        if recording is None:
            return
        recording.add(
            "authorizer",
            name=self._names.name,
            kind=self._names.kind,
            authorizer_id=self._names.authorizer_id,
            cached=False,
            uri=self.uri,
            input=event.decode(),
            output=output.decode("utf-8", "replace"),
            decision=decision,
            error=error,
            latency_ms=round((self._clock.monotonic() - began) * 1000),
            principal=principal,
        )

    def record_kept(self, recording: Recording, *, decision: str, principal: str) -> None:
        """Record that what the authorizer said before still holds: nobody was asked."""
        recording.add(
            "authorizer",
            name=self._names.name,
            kind=self._names.kind,
            authorizer_id=self._names.authorizer_id,
            cached=True,
            decision=decision,
            latency_ms=0,
            principal=principal,
        )


def unauthorized(why: str) -> Refusal:
    return Refusal(f"Unauthorized request: {why}", response_type="UNAUTHORIZED")


def configuration_error(reason: str, hint: str = "") -> Refusal:
    return Refusal(
        f"Execution failed due to configuration error: {reason}",
        response_type="AUTHORIZER_CONFIGURATION_ERROR",
        hint=hint,
    )
