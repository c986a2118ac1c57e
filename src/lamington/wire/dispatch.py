"""Operation to method: over HTTP by the service models, in this process by name alone.

The dispatcher is also the guard of the control plane: a web page in the developer's browser must
not be able to make it act. What an operation does is left to the layers.
"""

import ipaddress
import logging
from collections.abc import Collection, Mapping
from dataclasses import replace

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Clock, Ids, SystemClock
from lamington.core.errors import AwsError
from lamington.core.http import Request, Response
from lamington.core.sigv4 import IncompleteSignature, SignatureError, Signer, authenticate
from lamington.wire.constraints import require_valid
from lamington.wire.parse import parse_request
from lamington.wire.permissions import decide, denial
from lamington.wire.serialize import (
    render_error,
    render_result,
    render_unknown_service_error,
)
from lamington.wire.services import (
    EMULATED,
    NotEmulated,
    Service,
    Services,
    form_fields,
    parse_credential,
    scope_of,
    service_name_of,
    spoken_by,
)
from lamington.wire.signers import KnownSigners

LOGGER = logging.getLogger("lamington.wire")

TRUSTED_HOSTS = ("localhost", "localhost.localstack.cloud")
TRUSTED_SUFFIXES = (
    ".localhost",
    ".localhost.localstack.cloud",
    ".amazonaws.com",
    ".amazonaws.com.cn",
)


REQUEST_METADATA = "RequestMetadata"
"""Operations find the HTTP request's headers and its sender under this name, which no model has;
callers in this process need not give it."""

XML_SERVICES = frozenset({"s3", "route53", "cloudfront", "s3control"})
"""Services whose clients read refusals as XML though they name no action."""


class InternalFailure(AwsError):
    status = 500
    fault = "Receiver"


class MissingAuthenticationTokenException(AwsError):
    status = 403


class AccessDeniedException(AwsError):
    status = 403


class _Unbelieved(AwsError):
    """A refused signature or permission, under the name that the service's protocol has for it."""

    status = 403

    def __init__(self, message: str, code: str = "AccessDenied") -> None:
        super().__init__(message)
        self._code = code

    @property
    def code(self) -> str:
        return self._code


class Dispatcher:
    """Every AWS operation that the engine has, for HTTP clients and, as AwsCaller, for itself."""

    def __init__(
        self,
        operations: Mapping[str, Operation],
        ids: Ids,
        *,
        default_scope: Scope | None = None,
        hosts: Collection[str] = (),
        signers: KnownSigners | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`operations` are named `service:Operation`, and more may be put in later, since some
        call others; `hosts` are further names of this machine that a Host header may hold.
        Without `signers` every caller is believed."""
        self._operations = operations
        self._ids = ids
        self._default_scope = default_scope or Scope()
        self._hosts = frozenset(host.lower() for host in hosts)
        self._services = Services()
        self._signers = signers
        self._clock = clock or SystemClock()

    async def call(self, operation: str, params: Params, scope: Scope) -> Result:
        """Call an operation in this process: no model is loaded and nothing is validated here."""
        return await self._require(operation)(params, scope)

    def emulates(self, service: str, operation: str = "") -> bool:
        """Whether a service is one of the engine's, by its signing name, and has an operation."""
        if operation:
            return f"{service}:{operation}" in self._operations
        return service in EMULATED

    async def handle(self, request: Request) -> Response:
        """Answer one AWS request; whatever happens, in a form that its client can read.

        AWS: a signature is verified, and the policies of whoever signed are asked.
        Differs: unless the setting `auth` is `enforce`, keys that are not known are believed,
        unsigned requests are taken, and no policy is asked.
        """
        request_id = self._ids.request_id()
        service: Service | None = None
        try:
            self.require_trusted(request)
            credential = parse_credential(request)
            name = service_name_of(request, credential)
            if not name:
                raise MissingAuthenticationTokenException(
                    f"`{request.method} {request.path}` names no AWS service: it has neither a"
                    " signature, an X-Amz-Target, an Action nor the path of an emulated service"
                )
            service = spoken_by(request, self._services.require(name))
            signer = self._authenticate(request, service)
            operation, params = parse_request(request, service)
            method = self._require(f"{name}:{operation}")
            require_valid(service, operation, params)
            scope = scope_of(request, credential, self._default_scope)
            if signer is not None:
                scope = replace(scope, account_id=signer.of_account(scope.account_id))
                _require_permission(signer, service, operation, request, params, scope)
            params[REQUEST_METADATA] = {
                "HTTPHeaders": request.headers,
                "SourceIp": request.source_ip,
                "Signer": signer,
            }
            return render_result(service, operation, await method(params, scope), request_id)
        except AwsError as error:
            return _refusal(request, service, error, request_id)
        except Exception:
            LOGGER.exception("%s %s failed (%s)", request.method, request.path, request_id)
            failure = InternalFailure(
                "Lamington failed in answering this request; its log has the reason"
                f" under {request_id}"
            )
            return _refusal(request, service, failure, request_id)

    def _authenticate(self, request: Request, service: Service) -> Signer | None:
        """Who signed a request; None for nobody, where that is believed."""
        if self._signers is None:
            return None
        enforced = self._signers.enforce
        try:
            signer = authenticate(request, self._signers, self._clock.now())
        except IncompleteSignature as error:
            if not enforced:
                return None
            raise _unbelieved(error, service) from None
        except SignatureError as error:
            raise _unbelieved(error, service) from None
        if signer is None and enforced:
            raise MissingAuthenticationTokenException("Missing Authentication Token")
        return signer

    def _require(self, operation: str) -> Operation:
        found = self._operations.get(operation)
        if found is None:
            service, _, name = operation.partition(":")
            if service not in EMULATED:
                raise NotEmulated(f"Lamington does not emulate the service `{service}` yet")
            raise NotEmulated(f"Lamington does not emulate `{name}` of the service `{service}` yet")
        return found

    def require_trusted(self, request: Request) -> None:
        """Refuse what a web page could send: another origin's requests, and foreign Hosts.

        A foreign Host is what a page's own name looks like once it resolves to this machine.
        """
        host = request.host
        if host and not self._is_trusted_host(host):
            raise AccessDeniedException(
                f"The Host `{host}` is not one of this engine's names; use `localhost`, or name it"
                " when the engine is started"
            )
        origin = request.headers.get("origin")
        site = request.headers.get("sec-fetch-site")
        is_foreign = origin and origin.partition("://")[2].lower() != host.lower()
        if is_foreign or site in ("cross-site", "same-site"):
            whose = f" of `{origin}`" if origin else ""
            raise AccessDeniedException(f"The AWS endpoint takes no requests from web pages{whose}")

    def _is_trusted_host(self, host: str) -> bool:
        name = _host_name(host)
        if name in TRUSTED_HOSTS or name in self._hosts or name.endswith(TRUSTED_SUFFIXES):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


def _unbelieved(error: SignatureError, service: Service) -> AwsError:
    is_query = service.protocol == "query"
    return _Unbelieved(error.message, error.query_code if is_query else error.code)


def _require_permission(
    signer: Signer,
    service: Service,
    operation: str,
    request: Request,
    params: Params,
    scope: Scope,
) -> None:
    decision, action, resource = decide(signer, service.name, operation, request, params, scope)
    if decision != "allow":
        who = signer.arn or scope.global_arn("iam", "root")
        code = "AccessDenied" if service.protocol == "query" else "AccessDeniedException"
        raise _Unbelieved(denial(who, action, resource, decision), code)


def _host_name(host: str) -> str:
    """The name or address of a Host header, without its port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")


def _refusal(
    request: Request, service: Service | None, error: AwsError, request_id: str
) -> Response:
    if service is None:
        return render_unknown_service_error(
            error,
            is_xml=any(name == "Action" for name, _ in form_fields(request))
            or service_name_of(request, parse_credential(request)) in XML_SERVICES,
            is_json="x-amz-target" in request.headers,
            request_id=request_id,
        )
    return render_error(service, error, request_id)
