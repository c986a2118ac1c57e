"""The HTTP client behind integrations: one pool of connections for the engine.

It sends what it is given and returns what came, header case and body bytes unchanged: it follows
no redirect, keeps no cookie and decompresses nothing. What is to be sent, and what a failure means
to the gateway's client, is left to whoever uses it.
"""

import asyncio
import contextlib
import re
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamington.core.errors import LamingtonError

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

KEEP_ALIVE_S = 4.0
"""Below the five seconds after which the usual servers close: a connection is not used just when
its other end goes away."""

HEADER_FIELD_MAX_BYTES = 64 * 1024
CHUNK_BYTES = 64 * 1024


_ADDRESS = re.compile(r"https?://[^\s\x00-\x1f\x7f]+", re.IGNORECASE)
"""What may be sent to: a line break in an address would be a second request."""


class NetworkError(LamingtonError):
    """An endpoint that was not reached, or that broke off."""


class AddressError(LamingtonError):
    """An address or a header that no request can be made of."""


class TooLargeError(LamingtonError):
    """An answer that is larger than its reader takes."""

    def __init__(self, reported_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"Integration response of reported length {reported_bytes} is larger than allowed"
            f" maximum of {limit_bytes} bytes."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """A certificate to show to servers that ask for one, with its key; both PEM text."""

    certificate: str
    private_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How an endpoint is reached, the same for each request to it.

    `verifies_issuer` is whether its certificate has to come from an authority that this machine
    trusts; its name and dates have to be right in any case. `answer_bytes_max` is 0 for no limit.
    `server_name` is what a TLS server is asked for and has to prove, "" for the address's host.
    """

    timeout_s: float
    verifies_issuer: bool = True
    certificate: ClientCertificate | None = None
    server_name: str = ""
    answer_bytes_max: int = 0


@dataclass(slots=True)
class _Outgoing:
    method: str
    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes


@dataclass(slots=True)
class HttpAnswer:
    """What an endpoint answered; with a `stream` the body is still to come."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None


@dataclass(slots=True)
class _Contexts:
    """TLS settings by what they are asked for: they are costly to make."""

    trust_store: str
    made: dict[tuple[bool, ClientCertificate | None], ssl.SSLContext] = field(default_factory=dict)

    def of(self, terms: Terms) -> ssl.SSLContext:
        key = (terms.verifies_issuer, terms.certificate)
        context = self.made.get(key)
        if context is None:
            context = self.made[key] = _tls_context(*key, self.trust_store)
        return context


def _tls_context(
    verifies_issuer: bool, certificate: ClientCertificate | None, trust_store: str
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=trust_store or None)
    if not verifies_issuer:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        # The library takes certificates from files only; these live as long as it reads them.
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "client.pem"
            path.write_text(certificate.private_key + certificate.certificate)
            context.load_cert_chain(path)
    return context


class HttpClient:
    """Sends requests over pooled connections; opened by its first request, within the loop.

    The library is imported then, too: an engine without HTTP integrations does without it.

    Raises TimeoutError where the time of the terms is up, NetworkError, AddressError and
    TooLargeError.

    Differs: the certificates that are trusted are those of this machine, not AWS's list; private
    and local addresses may be reached.
    """

    def __init__(self, *, trust_store: str = "") -> None:
        """`trust_store` is a file of certificates in place of the system's."""
        self._contexts = _Contexts(trust_store)
        self._sessions: dict[bool, ClientSession] = {}

    async def send(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        terms: Terms,
    ) -> HttpAnswer:
        """Send one request and read its answer whole.

        It has a task of its own, which the library's timers need: who calls may have none yet.
        """
        sending = self._send(_Outgoing(method, url, headers, body), terms)
        return await asyncio.get_running_loop().create_task(sending)

    async def _send(self, request: _Outgoing, terms: Terms) -> HttpAnswer:
        import aiohttp

        try:
            response = await self._begin(
                request,
                terms,
                aiohttp.ClientTimeout(total=terms.timeout_s, ceil_threshold=terms.timeout_s),
            )
            try:
                return HttpAnswer(
                    response.status, _fields(response), await _whole_body(response, terms)
                )
            except BaseException:
                response.close()
                raise
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError, ValueError, EOFError) as error:
            raise _failure(error) from error

    async def open(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        terms: Terms,
    ) -> HttpAnswer:
        """Send one request and return once its head has come; the rest is its `stream`.

        The time of the terms counts for all of it. Whoever takes the stream closes it.
        """
        opening = self._open(_Outgoing(method, url, headers, body), terms)
        return await asyncio.get_running_loop().create_task(opening)

    async def _open(self, request: _Outgoing, terms: Terms) -> HttpAnswer:
        import aiohttp

        deadline = time.monotonic() + terms.timeout_s
        try:
            async with asyncio.timeout(terms.timeout_s):
                response = await self._begin(request, terms, aiohttp.ClientTimeout(total=None))
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError, ValueError, EOFError) as error:
            raise _failure(error) from error
        return HttpAnswer(
            response.status, _fields(response), stream=_pieces(response, deadline, request.url)
        )

    async def close(self) -> None:
        """End every connection; the next request opens new ones."""
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            await session.close()

    async def _begin(self, request: _Outgoing, terms: Terms, timing: Any) -> "ClientResponse":
        from yarl import URL

        url = request.url
        if not _ADDRESS.fullmatch(url):
            raise AddressError(f"Invalid endpoint address: {url!r}")
        session = self._sessions.get(terms.verifies_issuer) or self._open_session(terms)
        secure = url[:6].lower() == "https:"
        return await session.request(
            request.method,
            URL(url, encoded=True),
            headers=request.headers,
            data=request.body or None,
            allow_redirects=False,
            ssl=self._contexts.of(terms) if secure else True,
            server_hostname=(terms.server_name or None) if secure else None,
            timeout=timing,
        )

    def _open_session(self, terms: Terms) -> "ClientSession":
        import aiohttp

        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEEP_ALIVE_S,
            ssl=True if terms.verifies_issuer else _name_and_dates(),
        )
        session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            max_line_size=HEADER_FIELD_MAX_BYTES,
            max_field_size=HEADER_FIELD_MAX_BYTES,
        )
        self._sessions[terms.verifies_issuer] = session
        return session


def _fields(response: "ClientResponse") -> list[tuple[str, str]]:
    return [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers
    ]


async def _whole_body(response: "ClientResponse", terms: Terms) -> bytes:
    limit = terms.answer_bytes_max
    if not limit:
        return await response.read()
    reported = response.content_length or 0
    if response.method != "HEAD" and reported > limit:
        raise TooLargeError(reported, limit)
    if 0 < reported <= CHUNK_BYTES:
        return await response.read()
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise TooLargeError(len(body), limit)
    response.release()
    return bytes(body)


async def _pieces(response: "ClientResponse", deadline: float, url: str) -> AsyncIterator[bytes]:
    import aiohttp

    try:
        while True:
            async with asyncio.timeout(deadline - time.monotonic()):
                chunk = await response.content.readany()
            if not chunk:
                response.release()
                return
            yield chunk
    except TimeoutError:
        raise NetworkError(f"{url} took longer to answer than its integration may") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise _failure(error) from error
    finally:
        response.close()


def _failure(error: BaseException) -> LamingtonError:
    if isinstance(error, LamingtonError):
        return error
    if isinstance(error, ValueError) and not isinstance(error, ssl.SSLError):
        return AddressError(f"Invalid endpoint address: {error}")
    return NetworkError(str(error) or type(error).__name__)


def _name_and_dates() -> Any:
    """What checks a server's certificate where its issuer may be anybody.

    AWS: `insecureSkipVerification` leaves out the trusted authority alone; the expiration date and
    the host name are checked all the same.
    """
    import aiohttp

    class _NameAndDates(aiohttp.Fingerprint):  # the library's own hook
        def __init__(self) -> None:
            super().__init__(bytes(32))

        def check(self, transport: asyncio.Transport) -> None:
            connection = transport.get_extra_info("ssl_object")
            if connection is None or connection.context.verify_mode != ssl.CERT_NONE:
                return
            encoded = connection.getpeercert(binary_form=True)
            reason = _certificate_fault(encoded, connection.server_hostname or "")
            if reason:
                raise _CertificateMismatch(reason)

    class _CertificateMismatch(aiohttp.ServerFingerprintMismatch):
        def __init__(self, reason: str) -> None:
            super().__init__(b"", b"", "", 0)
            self.reason = reason

        def __str__(self) -> str:
            return self.reason

    return _NameAndDates()


def _certificate_fault(encoded: bytes, host: str) -> str:
    """What is wrong with a certificate whoever issued it, "" for nothing."""
    import datetime
    import ipaddress

    from cryptography import x509

    certificate = x509.load_der_x509_certificate(encoded)
    now = datetime.datetime.now(datetime.UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return "certificate has expired or is not yet valid"
    names: list[str] = []
    with contextlib.suppress(x509.ExtensionNotFound):
        alternatives = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
        names = alternatives.get_values_for_type(x509.DNSName)
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(host) in alternatives.get_values_for_type(x509.IPAddress):
                return ""
    if not any(_is_name_of(name.lower(), host.lower()) for name in names):
        return f"Host name '{host}' does not match the certificate subject provided by the peer"
    return ""


def _is_name_of(pattern: str, host: str) -> bool:
    if pattern.startswith("*."):
        return host.partition(".")[2] == pattern[2:]
    return pattern == host
