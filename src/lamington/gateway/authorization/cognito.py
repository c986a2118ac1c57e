"""User pools as authorizers of REST APIs: the token in a header, and its claims for the API.

Left to others: whether a token holds (`json_web_tokens`), and who asks for this gate (`gate`).
"""

import base64
import binascii
from collections import OrderedDict
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

import msgspec

from lamington.core.aws import Arn, Scope
from lamington.core.clock import MONTHS, Clock
from lamington.core.errors import LamingtonError
from lamington.gateway.authorization.json_web_tokens import (
    KEYS_KEPT_S,
    Claims,
    TokenError,
    TokenVerifier,
    audiences_of,
    bearer_token,
    scopes_of,
)
from lamington.gateway.entities import Authorizer, Method
from lamington.gateway.mapping import Gate, MethodRequest
from lamington.gateway.responses import Refusal
from lamington.gateway.templates import Note
from lamington.gateway.vtl.java_regex import JavaPattern, compile_java_regex
from lamington.gateway.vtl.limits import TemplateError

HEADER_SOURCE = "method.request.header."
TOKENS_KEPT = 1024
EXPIRED_MESSAGE = "The incoming token has expired"

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DATES = frozenset({"exp", "iat", "nbf"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pool:
    """A user pool as the issuer of tokens."""

    issuer: str
    jwks_url: str


@dataclass(frozen=True, slots=True)
class _Admitted:
    authorizer: Mapping[str, Any]
    until_ms: float


def compile_cognito(
    authorizer: Authorizer,
    method: Method,
    tokens: TokenVerifier,
    clock: Clock,
    note: Note | None = None,
) -> Gate:
    """Compile the check of a user pool's token.

    What a token was found to be is kept by the header's text until it expires: the same token
    again costs one look.

    AWS: API Gateway developer guide, user pools as authorizers: without scopes on the method an
    identity token, with some an access token that has one of them.
    """
    definition = authorizer.definition
    pools = tuple(filter(None, (_pool(each) for each in definition.get("providerARNs") or ())))
    if not pools and note is not None:
        note("The method's authorizer names no user pool")
    expression = str(definition.get("identityValidationExpression") or "")
    return _CognitoGate(
        authorizer=authorizer,
        header=_header(str(definition.get("identitySource") or "")),
        pools=pools,
        scopes=frozenset(method.authorization_scopes),
        audience=_audience_pattern(expression, note),
        tokens=tokens,
        clock=clock,
    )


class _CognitoGate:
    """One method's check, and the tokens that passed it."""

    __slots__ = (
        "_audience",
        "_authorizer",
        "_clock",
        "_header",
        "_known",
        "_pools",
        "_scopes",
        "_tokens",
    )

    def __init__(
        self,
        *,
        authorizer: Authorizer,
        header: str,
        pools: Sequence[_Pool],
        scopes: frozenset[str],
        audience: JavaPattern | None,
        tokens: TokenVerifier,
        clock: Clock,
    ) -> None:
        self._authorizer = authorizer
        self._header = header
        self._pools = pools
        self._scopes = scopes
        self._audience = audience
        self._tokens = tokens
        self._clock = clock
        self._known: OrderedDict[str, _Admitted] = OrderedDict()

    def __call__(self, request: MethodRequest) -> Awaitable[None] | None:
        value = request.known.get(self._header, "")
        found = self._known.get(value)
        if found is None:
            return self._ask(request, value)
        if request.moment.epoch_ms >= found.until_ms:
            del self._known[value]
            return self._ask(request, value)
        self._known.move_to_end(value)
        request.authorizer = found.authorizer
        if request.recording is not None:
            self._record(request, found.authorizer, cached=True, decision="allow", latency_ms=0)
        return None

    async def _ask(self, request: MethodRequest, value: str) -> None:
        began = self._clock.monotonic()
        try:
            claims = await self._claims(value)
        except TokenError as error:
            self._refuse(request, error)
        authorizer = {"claims": claim_texts(claims)}
        request.authorizer = authorizer
        now_ms = self._clock.now().timestamp() * 1000
        until_ms = min(float(claims["exp"]) * 1000, now_ms + KEYS_KEPT_S * 1000)
        self._known[value] = _Admitted(authorizer, until_ms)
        if len(self._known) > TOKENS_KEPT:
            self._known.popitem(last=False)
        if request.recording is not None:
            latency_ms = round((self._clock.monotonic() - began) * 1000)
            self._record(request, authorizer, cached=False, decision="allow", latency_ms=latency_ms)

    async def _claims(self, value: str) -> Claims:
        """The claims of a token that this method takes; raises TokenError."""
        token = bearer_token(value)
        if not token:
            raise TokenError("no token was sent")
        pool = self._issuer_of(token)
        claims = await self._tokens.verify(token, issuer=pool.issuer, jwks_url=pool.jwks_url)
        wanted = "access" if self._scopes else "id"
        if claims.get("token_use") != wanted:
            raise TokenError(f"the token is no {wanted} token")
        if self._scopes and self._scopes.isdisjoint(scopes_of(claims)):
            raise TokenError("the token has none of the method's scopes")
        if self._audience is not None and not _matches(self._audience, audiences_of(claims)):
            raise TokenError("the token's audience does not match the authorizer's expression")
        return claims

    def _issuer_of(self, token: str) -> _Pool:
        """The pool that a token says it is from; what it says is verified after that."""
        issuer = unverified_claims(token).get("iss")
        for pool in self._pools:
            if pool.issuer == issuer:
                return pool
        raise TokenError("the token is from none of the authorizer's user pools")

    def _refuse(self, request: MethodRequest, error: TokenError) -> NoReturn:
        """AWS: 401 for whatever is wrong; an expired token is told so (recorded)."""
        if request.recording is not None:
            why = f"{error.message}: {error.hint}" if error.hint else error.message
            self._record(request, why, cached=False, decision="deny", latency_ms=0)
        expired = error.message == "the token has expired"
        raise Refusal(
            f"Unauthorized request: {request.request_id}",
            response_type="UNAUTHORIZED",
            hint=error.hint or error.message,
            client_message=EXPIRED_MESSAGE if expired else "",
        ) from error

    def _record(
        self,
        request: MethodRequest,
        output: object,
        *,
        cached: bool,
        decision: str,
        latency_ms: int,
    ) -> None:
        assert request.recording is not None
        request.recording.add(
            "authorizer",
            name=self._authorizer.name,
            kind="COGNITO_USER_POOLS",
            authorizer_id=self._authorizer.authorizer_id,
            cached=cached,
            input=f"header {self._header}",
            output=output,
            decision=decision,
            latency_ms=latency_ms,
            principal="",
        )


def unverified_claims(token: str) -> dict[str, Any]:
    """What a token says of itself; {} for what is no token."""
    part = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def claim_texts(claims: Claims) -> dict[str, str]:
    """Claims as a REST API has them: texts, whatever they were.

    AWS: recorded events: `exp` and `iat` as Java writes a date, other numbers as they are, lists
    with commas between.
    """
    return {name: _claim_text(name, value) for name, value in claims.items()}


def _claim_text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _date_text(value) if name in _DATES else str(value)
    if isinstance(value, list):
        return ",".join(_claim_text("", each) for each in value)
    return msgspec.json.encode(value).decode()


def _date_text(seconds: float) -> str:
    try:
        at = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError):
        return str(seconds)
    return (
        f"{_WEEKDAYS[at.weekday()]} {MONTHS[at.month - 1]} {at.day:02d}"
        f" {at.hour:02d}:{at.minute:02d}:{at.second:02d} UTC {at.year}"
    )


def _pool(arn_text: str) -> _Pool | None:
    """A pool by its ARN, `arn:aws:cognito-idp:{region}:{account}:userpool/{pool}`."""
    try:
        arn = Arn.parse(arn_text)
    except LamingtonError:
        return None
    kind, _, pool_id = arn.resource.partition("/")
    if arn.service != "cognito-idp" or kind != "userpool" or not pool_id:
        return None
    suffix = Scope(account_id=arn.account_id, region=arn.region).url_suffix
    issuer = f"https://cognito-idp.{arn.region}.{suffix}/{pool_id}"
    return _Pool(issuer=issuer, jwks_url=f"{issuer}/.well-known/jwks.json")


def _header(identity_source: str) -> str:
    """The header that the token is in, in lower case."""
    name = identity_source.partition(",")[0].strip()
    if name.startswith(HEADER_SOURCE):
        return name.removeprefix(HEADER_SOURCE).lower()
    return "authorization"


def _audience_pattern(expression: str, note: Note | None) -> JavaPattern | None:
    """An expression that is none matches nothing: nobody is let in by a slip."""
    if not expression:
        return None
    try:
        return compile_java_regex(expression)
    except TemplateError as error:
        if note is not None:
            note(f"`identityValidationExpression` is not valid: {error}")
        return compile_java_regex("(?!)")


def _matches(pattern: JavaPattern, audiences: Sequence[str]) -> bool:
    try:
        return any(pattern.admit(each).fullmatch(each) for each in audiences)
    except TemplateError:
        return False
