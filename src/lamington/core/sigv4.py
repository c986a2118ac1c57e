"""Signature Version 4: who signed a request, verified where the secret is known.

In a header or in the query. Left to others: what the signer may do, and how each service words a
refusal.

Differs: signatures of version 4A (ECDSA) are not read; a body that is signed as `UNSIGNED-PAYLOAD`
or in chunks is taken as it comes.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import ClassVar, Protocol
from urllib.parse import quote, unquote_plus

from lamington.core.errors import LamingtonError
from lamington.core.http import Request, parse_query
from lamington.core.policies import Policy

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW = timedelta(minutes=5)
PRESIGNED_MAX_S = 604_800
SIGNING_KEYS_KEPT = 256
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
PLAIN_PATH_SERVICES = frozenset({"s3"})
"""Services that sign the path as it is sent; the others normalise it and encode it once more."""

Policies = Callable[[], Sequence[Policy]]


class SignatureError(LamingtonError):
    """A request that is signed, but not so that it can be believed.

    `code` is what JSON services call it, `query_code` what those of the `query` protocol do.
    """

    code: ClassVar[str]
    query_code: ClassVar[str]


class IncompleteSignature(SignatureError):
    code = "IncompleteSignatureException"
    query_code = "IncompleteSignature"


class InvalidSignature(SignatureError):
    code = "InvalidSignatureException"
    query_code = "SignatureDoesNotMatch"


class UnknownKey(SignatureError):
    code = "UnrecognizedClientException"
    query_code = "InvalidClientTokenId"


class ExpiredKey(SignatureError):
    code = "ExpiredTokenException"
    query_code = "ExpiredToken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Whose an access key is.

    An empty `secret` is one that nobody here knows: the signature cannot be verified. An empty
    `account_id` means the account that owns what is called. `names` are the further ARNs that
    policies may call the signer by, such as its role's. `policies` is None for one who may do
    everything.
    """

    access_key: str
    secret: str = ""
    session_token: str = ""
    account_id: str = ""
    arn: str = ""
    user_id: str = ""
    names: frozenset[str] = frozenset()
    expires: datetime | None = None
    policies: Policies | None = None

    def of_account(self, account_id: str) -> str:
        return self.account_id or account_id


class Signers(Protocol):
    """Knows who owns access keys, or believes those that it does not know."""

    def find(self, access_key: str, session_token: str) -> Signer | None:
        """The owner of a key, None for one that may not be believed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature as a request carries it; `expires_s` is None for one in a header."""

    access_key: str
    day: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    time: str
    session_token: str = ""
    expires_s: int | None = None
    credential_scope: str = field(default="")


def parse_signature(request: Request) -> Signature | None:
    """The signature of a request, None for one that has none.

    Raises IncompleteSignature for an `Authorization` that is there and is no signature.
    """
    header = request.headers.get("authorization")
    if header:
        return _from_header(request, header)
    if "X-Amz-Signature=" in request.query or "X-Amz-Credential=" in request.query:
        return _from_query(request)
    return None


def authenticate(
    request: Request, signers: Signers, now: datetime, service: str = ""
) -> Signer | None:
    """Who signed a request, None for nobody; `service` is the one it must be signed for.

    Raises SignatureError.
    """
    signature = parse_signature(request)
    if signature is None:
        return None
    if service and signature.service != service:
        raise InvalidSignature(f"Credential should be scoped to correct service: '{service}'. ")
    signer = signers.find(signature.access_key, signature.session_token)
    if signer is None:
        raise UnknownKey("The security token included in the request is invalid.")
    if signer.secret:
        if not hmac.compare_digest(signature.session_token.encode(), signer.session_token.encode()):
            raise UnknownKey("The security token included in the request is invalid.")
        if signer.expires is not None and signer.expires <= now:
            raise ExpiredKey("The security token included in the request is expired")
        verify(signature, request, signer.secret, now)
    return signer


# Reading.

_PARAMETERS = ("Credential", "Signature", "SignedHeaders")
_TIME = re.compile(r"[0-9]{8}T[0-9]{6}Z")


def _from_header(request: Request, header: str) -> Signature:
    algorithm, _, rest = header.strip().partition(" ")
    if algorithm != ALGORITHM:
        raise IncompleteSignature(incomplete_message(header))
    parameters = {}
    for part in rest.split(","):
        name, separator, value = part.strip().partition("=")
        if not separator:
            raise IncompleteSignature(
                f"'{part.strip()}' not a valid key=value pair (missing equal-sign) in"
                f" Authorization header: '{header}'."
            )
        parameters[name] = value
    time = _time_of(request)
    missing = [name for name in _PARAMETERS if not parameters.get(name)]
    if missing or not time:
        raise IncompleteSignature(_missing_message(missing, time, header))
    return _signature(
        credential=parameters["Credential"],
        signed_headers=parameters["SignedHeaders"],
        signature=parameters["Signature"],
        time=time,
        session_token=request.headers.get("x-amz-security-token"),
    )


def incomplete_message(header: str) -> str:
    """What AWS says of an `Authorization` of another kind where it expects a signature."""
    part = header.strip().rpartition(" ")[2]
    if "=" in part:
        return _missing_message(_PARAMETERS, "", header)
    return (
        f"'{part}' not a valid key=value pair (missing equal-sign) in Authorization header:"
        f" '{header}'."
    )


def _missing_message(names: Sequence[str], time: str, header: str) -> str:
    message = "".join(f"Authorization header requires '{name}' parameter. " for name in names)
    if not time:
        message += (
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        )
    return f"{message.rstrip()} Authorization={header}"


def _time_of(request: Request) -> str:
    """When a request says that it was signed; `Date` counts where it has the ISO form."""
    return request.headers.get("x-amz-date") or request.headers.get("date")


def _from_query(request: Request) -> Signature:
    values = dict(parse_query(request.query))
    names = ("Algorithm", "Credential", "Signature", "SignedHeaders", "Date", "Expires")
    missing = [f"X-Amz-{name}" for name in names if not values.get(f"X-Amz-{name}")]
    if missing:
        raise IncompleteSignature(
            "".join(f"AWS query-string parameters must include '{name}'. " for name in missing)
            + "Re-examine the query-string parameters."
        )
    expires = values["X-Amz-Expires"]
    if values["X-Amz-Algorithm"] != ALGORITHM or not expires.isdecimal():
        raise IncompleteSignature(
            f"Unsupported AWS 'algorithm': '{values['X-Amz-Algorithm']}'."
            if expires.isdecimal()
            else "X-Amz-Expires should be a number"
        )
    return _signature(
        credential=values["X-Amz-Credential"],
        signed_headers=values["X-Amz-SignedHeaders"],
        signature=values["X-Amz-Signature"],
        time=values["X-Amz-Date"],
        session_token=values.get("X-Amz-Security-Token", ""),
        expires_s=min(int(expires), PRESIGNED_MAX_S),
    )


def _signature(
    *,
    credential: str,
    signed_headers: str,
    signature: str,
    time: str,
    session_token: str,
    expires_s: int | None = None,
) -> Signature:
    parts = credential.split("/")
    if len(parts) < 5:
        raise IncompleteSignature(
            "Credential must have exactly 5 slash-delimited elements, e.g."
            f" keyid/date/region/service/term, got '{credential}'"
        )
    *key, day, region, service, term = parts
    if term != "aws4_request":
        raise InvalidSignature(
            f"Credential should be scoped with a valid terminator: 'aws4_request', not '{term}'."
        )
    return Signature(
        access_key="/".join(key),
        day=day,
        region=region,
        service=service,
        signed_headers=tuple(signed_headers.lower().split(";")),
        signature=signature,
        time=time,
        session_token=session_token,
        expires_s=expires_s,
        credential_scope="/".join(parts[-4:]),
    )


# Verifying.


def verify(signature: Signature, request: Request, secret: str, now: datetime) -> None:
    """Make sure that whoever signed knows the secret, and did it a short while ago.

    AWS: IAM user guide, create a signed AWS API request; the refusal shows what was signed here.
    Raises InvalidSignature.
    """
    _require_time(signature, now)
    if "host" not in signature.signed_headers:
        raise InvalidSignature(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
        )
    canonical = canonical_request(signature, request)
    text = string_to_sign(signature, canonical)
    expected = _signed(signature, secret, text)
    if not hmac.compare_digest(expected, signature.signature.encode()):
        raise InvalidSignature(
            "The request signature we calculated does not match the signature you provided."
            " Check your AWS Secret Access Key and signing method. Consult the service"
            " documentation for details.\n\nThe Canonical String for this request should have"
            f" been\n'{canonical}'\n\nThe String-to-Sign should have been\n'{text}'\n"
        )


def _require_time(signature: Signature, now: datetime) -> None:
    if _TIME.fullmatch(signature.time) is None:
        raise IncompleteSignature(
            "Date must be in ISO-8601 'basic format'. Got"
            f" '{signature.time}'. See http://en.wikipedia.org/wiki/ISO_8601"
        )
    if not signature.time.startswith(signature.day):
        raise InvalidSignature(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from"
            f" HTTP: '{signature.day}' != '{signature.time[:8]}', from '{signature.time}'."
        )
    try:
        signed = _moment(signature.time)
    except ValueError:
        raise IncompleteSignature(f"'{signature.time}' is no date") from None
    lasts = SKEW if signature.expires_s is None else timedelta(seconds=signature.expires_s)
    if signed + lasts < now:
        raise InvalidSignature(
            f"Signature expired: {signature.time} is now earlier than {_shown(now - lasts)}"
            f" ({_shown(now)} - {_minutes(lasts)}.)"
        )
    if signed - SKEW > now:
        raise InvalidSignature(
            f"Signature not yet current: {signature.time} is still later than"
            f" {_shown(now + SKEW)} ({_shown(now)} + {_minutes(SKEW)}.)"
        )


def _moment(text: str) -> datetime:
    """The moment of a time such as `20260131T120000Z`: a tenth of what `strptime` takes."""
    day = (int(text[:4]), int(text[4:6]), int(text[6:8]))
    return datetime(*day, int(text[9:11]), int(text[11:13]), int(text[13:15]), tzinfo=UTC)


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%SZ")


def _minutes(duration: timedelta) -> str:
    return f"{duration.total_seconds() / 60:g} min"


def canonical_request(signature: Signature, request: Request) -> str:
    """What was signed of a request, in the one form that both sides make of it."""
    headers = "".join(
        f"{name}:{_header_text(request.headers.all(name))}\n" for name in signature.signed_headers
    )
    plain = signature.service in PLAIN_PATH_SERVICES
    return "\n".join(
        (
            request.method.upper(),
            (request.path or "/") if plain else quote(_normalised(request.path), safe="/~"),
            _canonical_query(request.query),
            headers,
            ";".join(signature.signed_headers),
            _payload_hash(signature, request),
        )
    )


def string_to_sign(signature: Signature, canonical: str) -> str:
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{ALGORITHM}\n{signature.time}\n{signature.credential_scope}\n{digest}"


def _signed(signature: Signature, secret: str, text: str) -> bytes:
    key = _signing_key(secret, signature.day, signature.region, signature.service)
    return hmac.digest(key, text.encode("utf-8", "surrogateescape"), "sha256").hex().encode()


@lru_cache(maxsize=SIGNING_KEYS_KEPT)
def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """A key for a day, a region and a service; clients, too, make it once a day."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _header_text(values: Sequence[str]) -> str:
    return ",".join(" ".join(value.split()) for value in values)


def _normalised(path: str) -> str:
    """A path without empty segments, `.` and `..`; a slash at its end stays."""
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    ends = "/" if path.endswith("/") and segments else ""
    return f"/{'/'.join(segments)}{ends}"


def _canonical_query(query: str) -> str:
    pairs = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if part and name != "X-Amz-Signature":
            pairs.append((_encoded(name), _encoded(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _encoded(text: str) -> str:
    decoded = unquote_plus(text, errors="surrogateescape")
    return quote(decoded, safe="-_.~", errors="surrogateescape")


def _payload_hash(signature: Signature, request: Request) -> str:
    given = request.headers.get("x-amz-content-sha256")
    if given == UNSIGNED_PAYLOAD or given.startswith("STREAMING-"):
        return given
    if signature.expires_s is not None and signature.service in PLAIN_PATH_SERVICES:
        return UNSIGNED_PAYLOAD
    return hashlib.sha256(request.body).hexdigest()
