"""JSON Web Tokens: whose they are and whether they hold, by the keys that their issuer publishes.

Used by Cognito authorizers of REST APIs and JWT authorizers of HTTP APIs. Left to both: where the
token stands in a request, scopes, and what becomes of the claims. PyJWT checks the signature;
the claims are checked here, by the engine's clock and with AWS's texts.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from lamington.core.clock import Clock
from lamington.core.errors import LamingtonError
from lamington.core.settings import setting_pairs

ALGORITHMS = ("RS256", "RS384", "RS512")
FETCH_TIMEOUT_S = 1.5
DOCUMENT_MAX_BYTES = 150_000
KEYS_KEPT_S = 7200.0
KEYS_ASKED_AGAIN_S = 10.0
"""A key id that is not known has its issuer asked again, but not more often than this."""

TOKENS_KEPT = 4096

Claims = Mapping[str, Any]

Fetch = Callable[[str], Awaitable[bytes]]
"""Gets a document of at most `DOCUMENT_MAX_BYTES`; raises OSError or ValueError."""


class TokenError(LamingtonError):
    """A token that does not hold; the message is what AWS calls the description of the error."""


async def fetch_document(url: str) -> bytes:
    """Get a document over HTTP in a thread of its own, so that nobody waits but who asked."""
    return await asyncio.to_thread(_fetch, url)


def _fetch(url: str) -> bytes:
    from http.client import HTTPException  # their imports would slow every start
    from urllib.request import Request, urlopen

    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"`{url}` is no HTTP address")
    request = Request(url, headers={"Accept": "application/json"})
    try:
        with urlopen(request, timeout=FETCH_TIMEOUT_S) as response:
            document: bytes = response.read(DOCUMENT_MAX_BYTES + 1)
    except HTTPException as error:
        raise ValueError(f"the answer is no HTTP: {error!r}") from None
    if len(document) > DOCUMENT_MAX_BYTES:
        raise ValueError(f"the document is larger than {DOCUMENT_MAX_BYTES} bytes")
    return document


class KeyFiles:
    """The files that stand for issuers' published keys, so that no network is needed.

    The setting is `issuer=file` pairs with commas between, or a directory: there an issuer's file
    has the name of the last part of its address, such as `eu-west-1_Abc123.json`.
    """

    def __init__(self, setting: str = "") -> None:
        """Raises UsageError for a setting of another form."""
        self._directory: Path | None = None
        self._files: dict[str, Path] = {}
        if not setting:
            return
        if "=" not in setting:
            self._directory = Path(setting)
            return
        for issuer, path in setting_pairs("jwks", setting).items():
            self._files[issuer.rstrip("/")] = Path(path)

    def find(self, issuer: str) -> Path | None:
        """The file of an issuer's keys, where there is one."""
        issuer = issuer.rstrip("/")
        found = self._files.get(issuer)
        if found is None and self._directory is not None:
            found = self._directory / f"{issuer.rpartition('/')[2]}.json"
            if not found.is_file():
                return None
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeySet:
    """Keys by their ids, and what they were read from: a moment, and a file's time of change."""

    keys: Mapping[str, Any]
    read_at: float
    changed_ns: int = 0


@dataclass(frozen=True, slots=True)
class _Verified:
    claims: Claims
    expires_s: float
    kept_until: float


class TokenVerifier:
    """Verifies tokens by their issuers' keys, and remembers those that held.

    A token that was verified is not verified again until it expires, or its issuer's keys are to
    be read anew; only its expiry is looked at. AWS does not say whether it remembers tokens; it
    keeps keys for up to two hours, so that no answer differs but by its time.

    AWS: API Gateway developer guide, JWT authorizers and quotas: 1,500 ms and 150,000 bytes for
    an issuer's documents, RSA algorithms alone.
    Differs: a key id that is not known has the issuer asked again, at most every ten seconds;
    AWS asks for a grace period of both keys instead.
    """

    def __init__(
        self, *, clock: Clock, files: KeyFiles | None = None, fetch: Fetch = fetch_document
    ) -> None:
        self._clock = clock
        self._files = files or KeyFiles()
        self._fetch = fetch
        self._key_sets: dict[str, _KeySet] = {}
        self._reading: dict[str, asyncio.Task[_KeySet]] = {}
        self._complained: set[str] = set()
        self._verified: OrderedDict[tuple[str, str, Sequence[str]], _Verified] = OrderedDict()

    def recall(
        self,
        token: str,
        *,
        issuer: str,
        audiences: tuple[str, ...] = (),
        now_s: float | None = None,
    ) -> Claims | None:
        """The claims of a token that was verified before, None where that is to be done (again).

        `now_s` is the time of the request, where it is known already.
        """
        known = (token, issuer, audiences)
        found = self._verified.get(known)
        if found is None:
            return None
        if now_s is None:
            now_s = self._clock.now().timestamp()
        if now_s >= found.expires_s or self._clock.monotonic() >= found.kept_until:
            del self._verified[known]
            return None
        self._verified.move_to_end(known)
        return found.claims

    async def verify(
        self, token: str, *, issuer: str, audiences: Sequence[str] = (), jwks_url: str = ""
    ) -> Claims:
        """The claims of a token that holds; raises TokenError.

        `audiences` are those of which the token must name one, any where there are none.
        `jwks_url` is where the issuer's keys are; without it the issuer's OpenID configuration
        tells.

        AWS: developer guide, JWT authorizers: signature, `iss`, `aud` or without it `client_id`,
        `exp`, `nbf` and `iat`, in this order.
        """
        audiences = tuple(audiences)
        now_s = self._clock.now().timestamp()
        claims = self.recall(token, issuer=issuer, audiences=audiences, now_s=now_s)
        if claims is not None:
            return claims
        header = _header_of(token)
        keys, kept_until = await self._keys(header, issuer, jwks_url)
        claims = _verified_claims(token, keys, header)
        _require_claims(claims, issuer, audiences, now_s)
        self._remember((token, issuer, audiences), claims, kept_until)
        return claims

    def _remember(
        self, known: tuple[str, str, Sequence[str]], claims: Claims, kept_until: float
    ) -> None:
        self._verified[known] = _Verified(claims, float(claims["exp"]), kept_until)
        if len(self._verified) > TOKENS_KEPT:
            self._verified.popitem(last=False)

    # Keys

    async def _keys(
        self, header: Mapping[str, Any], issuer: str, jwks_url: str
    ) -> tuple[Mapping[str, Any], float]:
        """An issuer's keys, read anew where they are old or the one asked for is not there."""
        path = self._files.find(issuer)
        source = jwks_url or issuer
        found = self._key_sets.get(source)
        now = self._clock.monotonic()
        if path is not None:
            changed_ns = _changed_ns(path, issuer)
            if found is None or found.changed_ns != changed_ns:
                found = _KeySet(keys=_file_keys(path), read_at=now, changed_ns=changed_ns)
                self._key_sets[source] = found
        elif (
            found is None
            or now >= found.read_at + KEYS_KEPT_S
            or (header.get("kid") not in found.keys and now >= found.read_at + KEYS_ASKED_AGAIN_S)
        ):
            found = await self._read_once(source, issuer, jwks_url)
        return found.keys, found.read_at + KEYS_KEPT_S

    async def _read_once(self, source: str, issuer: str, jwks_url: str) -> _KeySet:
        """Read an issuer's keys; requests that need them at the same time wait for one reading."""
        reading = self._reading.get(source)
        if reading is None:
            reading = asyncio.create_task(self._read(source, issuer, jwks_url))
            self._reading[source] = reading
            reading.add_done_callback(lambda done: self._reading.pop(source, None))
        return await asyncio.shield(reading)

    async def _read(self, source: str, issuer: str, jwks_url: str) -> _KeySet:
        if not jwks_url:
            configuration = await self._document(
                f"{issuer.rstrip('/')}/.well-known/openid-configuration",
                issuer,
                "OIDC discovery endpoint communication error",
                _parse_document,
            )
            jwks_url = str(configuration.get("jwks_uri") or "")
        found = await self._document(jwks_url, issuer, "JWKS communication error", _parse_keys)
        keys = _KeySet(keys=found, read_at=self._clock.monotonic())
        self._key_sets[source] = keys
        self._complained.discard(issuer)
        return keys

    async def _document(
        self,
        url: str,
        issuer: str,
        description: str,
        parse: Callable[[bytes], dict[str, Any]],
    ) -> dict[str, Any]:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                return parse(await self._fetch(url))
        except (OSError, ValueError) as error:  # a timeout is an OSError, bad JSON a ValueError
            reason = str(error) or "it did not answer in time"
        hint = (
            f"the keys of `{issuer}` could not be had from `{url}`: {reason}; without a network"
            f" give them as a file: `--jwks {issuer}=keys.json`"
        )
        if issuer not in self._complained:
            self._complained.add(issuer)
            logging.getLogger("lamington.gateway").warning("%s", hint)
        raise TokenError(description, hint=hint)


def _changed_ns(path: Path, issuer: str) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        raise TokenError(
            "JWKS communication error",
            hint=f"the keys of `{issuer}` are to be in `{path}`: {error.strerror}",
        ) from None


def _file_keys(path: Path) -> Mapping[str, Any]:
    try:
        return _parse_keys(path.read_bytes())
    except (OSError, ValueError) as error:
        raise TokenError(
            "JWKS communication error", hint=f"`{path}` cannot be read: {error}"
        ) from None


def _parse_document(text: bytes) -> dict[str, Any]:
    """Raises ValueError for what is no JSON object; msgspec's errors are such ones."""
    document = msgspec.json.decode(text)
    if not isinstance(document, dict):
        raise ValueError("the document is no JSON object")
    return document


def _parse_keys(text: bytes) -> dict[str, Any]:
    """The RSA keys of a key set that are for signatures, by their ids; others are passed over.

    Raises ValueError for what is no key set.
    """
    from jwt.algorithms import RSAAlgorithm
    from jwt.exceptions import InvalidKeyError

    keys: dict[str, Any] = {}
    entries = _parse_document(text).get("keys")
    if not isinstance(entries, list):
        raise ValueError("the document has no list of keys")
    for each in entries:
        if not isinstance(each, dict) or each.get("kty") != "RSA" or each.get("use") == "enc":
            continue
        try:
            keys[str(each.get("kid", ""))] = RSAAlgorithm.from_jwk(each)
        except (InvalidKeyError, ValueError):
            continue
    return keys


def _header_of(token: str) -> Mapping[str, Any]:
    """The header of a token, unverified; raises TokenError where it is no token."""
    import jwt

    if token.count(".") != 2:
        raise TokenError("token contains an invalid number of segments")
    if not token.isascii():
        raise TokenError("token is malformed")
    try:
        header: dict[str, Any] = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError:
        raise TokenError("token is malformed") from None
    if header.get("alg") not in ALGORITHMS:
        raise TokenError(f"signing method {header.get('alg')} is invalid")
    return header


def _verified_claims(token: str, keys: Mapping[str, Any], header: Mapping[str, Any]) -> Claims:
    import jwt

    key = keys.get(str(header.get("kid", "")))
    if key is None:
        raise TokenError("the token is signed by an unknown key")
    try:
        payload: bytes = jwt.PyJWS().decode(token, key, algorithms=list(ALGORITHMS))
        claims = msgspec.json.decode(payload)
    except (jwt.InvalidTokenError, msgspec.DecodeError):
        raise TokenError("the token signature is invalid") from None
    if not isinstance(claims, dict):
        raise TokenError("token is malformed")
    return claims


def _require_claims(claims: Claims, issuer: str, audiences: Sequence[str], now_s: float) -> None:
    """AWS: the texts for an audience and an expiry are recorded, the others are likely ones."""
    if claims.get("iss") != issuer:
        raise TokenError("the token does not have a valid issuer")
    if audiences and not set(audiences).intersection(audiences_of(claims)):
        raise TokenError("the token does not have a valid audience")
    if now_s >= _moment(claims.get("exp"), 0.0):
        raise TokenError("the token has expired")
    if now_s < _moment(claims.get("nbf"), now_s):
        raise TokenError("the token is not valid yet")
    if now_s < _moment(claims.get("iat"), now_s):
        raise TokenError("the token was issued in the future")


def audiences_of(claims: Claims) -> tuple[str, ...]:
    """Whom a token is for: `aud`, or `client_id` where there is no `aud`."""
    named = claims["aud"] if "aud" in claims else claims.get("client_id")
    if isinstance(named, str):
        return (named,)
    return tuple(map(str, named)) if isinstance(named, list) else ()


def scopes_of(claims: Claims) -> tuple[str, ...]:
    """A token's scopes: `scope` or `scp`, a text with spaces between or a list."""
    named = claims.get("scope", claims.get("scp"))
    if isinstance(named, str):
        return tuple(named.split())
    return tuple(map(str, named)) if isinstance(named, list) else ()


def _moment(value: Any, otherwise: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return otherwise
    return float(value)


def bearer_token(value: str) -> str:
    """The token of a header's value, which may have `Bearer ` before it."""
    return value[7:].strip() if value[:7].lower() == "bearer " else value.strip()
