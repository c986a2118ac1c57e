"""Operation to method: over HTTP by the service models, in this process by name alone.

The dispatcher is also the guard of the control plane: a web page in the developer's browser must
not be able to make it act. What an operation does is left to the layers.
"""

import ipaddress
import logging
from collections.abc import Collection, Mapping

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Ids
from lamington.core.errors import AwsError
from lamington.core.http import Request, Response
from lamington.wire.constraints import require_valid
from lamington.wire.parse import parse_request
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


class Dispatcher:
    """Every AWS operation that the engine has, for HTTP clients and, as AwsCaller, for itself."""

    def __init__(
        self,
        operations: Mapping[str, Operation],
        ids: Ids,
        *,
        default_scope: Scope | None = None,
        hosts: Collection[str] = (),
    ) -> None:
        """`operations` are named `service:Operation`, and more may be put in later, since some
        call others; `hosts` are further names of this machine that a Host header may hold."""
        self._operations = operations
        self._ids = ids
        self._default_scope = default_scope or Scope()
        self._hosts = frozenset(host.lower() for host in hosts)
        self._services = Services()

    async def call(self, operation: str, params: Params, scope: Scope) -> Result:
        """Call an operation in this process: no model is loaded and nothing is validated here."""
        return await self._require(operation)(params, scope)

    async def handle(self, request: Request) -> Response:
        """Answer one AWS request; whatever happens, in a form that its client can read.

        Differs: signatures are not verified; they tell the service, the account and the region.
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
            operation, params = parse_request(request, service)
            method = self._require(f"{name}:{operation}")
            require_valid(service, operation, params)
            params[REQUEST_METADATA] = {
                "HTTPHeaders": request.headers,
                "SourceIp": request.source_ip,
            }
            scope = scope_of(request, credential, self._default_scope)
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
