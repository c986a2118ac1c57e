"""Which door of the AWS port a request knocks at: a deployed API, a function URL, or the engine.

Everything else is an AWS operation and goes to the dispatcher.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lamington.core.aws import Scope
from lamington.core.clock import Clock
from lamington.core.http import Request, Response
from lamington.core.policies import evaluate
from lamington.core.sigv4 import IncompleteSignature, Signers, authenticate, parse_signature
from lamington.functions.url_events import UrlCaller
from lamington.gateway.domains import HEALTH_PATHS, Domains
from lamington.gateway.pipeline import RestDataPlane
from lamington.gateway.v2.http.plane import HttpDataPlane
from lamington.gateway.v2.websocket.entrance import WebSocketEntrance
from lamington.gateway.v2.websocket.parts import MANAGEMENT_PREFIX

_API_HOST = re.compile(
    r"(?P<api>[a-z0-9]+)\.execute-api\."
    r"(?:localhost|localhost\.localstack\.cloud|[a-z0-9-]+\.(?:localhost|amazonaws\.com(?:\.cn)?))"
    r"(?::\d+)?",
    re.IGNORECASE,
)
_API_PATH = re.compile(r"/(?:_aws/)?execute-api/(?P<api>[a-z0-9]+)(?P<path>/.*)?", re.DOTALL)
_USER_REQUEST = re.compile(
    r"/restapis/(?P<api>[a-z0-9]+)/(?P<stage>[\w-]+)/_user_request_(?P<path>/.*)?", re.DOTALL
)
_URL_HOST = re.compile(
    r"(?P<url>[a-z0-9]+)\.lambda-url\."
    r"(?:localhost|[a-z0-9-]+\.(?:localhost|localhost\.localstack\.cloud|on\.aws))(?::\d+)?",
    re.IGNORECASE,
)
_URL_PATH = "/_aws/lambda-url/"
_STAGE_PATH = re.compile(r"/+(?P<stage>[\w-]+)(?P<path>/.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAddress:
    """A request to a deployed API; `path` begins with a slash, and mostly with the stage."""

    api_id: str
    path: str


def parse_api_address(request: Request) -> ApiAddress | None:
    """The API that the request is addressed to, in any of the forms that scripts use.

    AWS: `{api}.execute-api.{region}.amazonaws.com/{stage}/...` by Host.
    Differs: path forms are taken too, since names under `localhost` do not resolve everywhere.
    """
    path = request.path
    found = _API_PATH.fullmatch(path)
    if found:
        return ApiAddress(api_id=found["api"], path=found["path"] or "/")
    found = _USER_REQUEST.fullmatch(path)
    if found:
        return ApiAddress(api_id=found["api"], path=f"/{found['stage']}{found['path'] or '/'}")
    host = request.host
    if ".execute-api." not in host.lower():
        return None
    named = _API_HOST.fullmatch(host)
    return None if named is None else ApiAddress(api_id=named["api"].lower(), path=path)


def split_stage(path: str) -> tuple[str, str]:
    """The stage that a path begins with, and the rest of it; no stage where it can be none.

    AWS: extra slashes before the stage are tolerated (recorded).
    """
    found = _STAGE_PATH.fullmatch(path)
    return ("", path) if found is None else (found["stage"], found["path"] or "/")


class ApiDoor:
    """Finds the API that a request is for, whatever its protocol and its domain name."""

    def __init__(
        self,
        *,
        rest: RestDataPlane,
        http: HttpDataPlane,
        web_socket: WebSocketEntrance,
        domains: Domains,
    ) -> None:
        self._rest = rest
        self._http = http
        self._web_socket = web_socket
        self._domains = domains

    def answer(self, request: Request) -> Response | Awaitable[Response] | None:
        """Answer a request to an API; None where it is for none."""
        address = parse_api_address(request)
        if address is None:
            found = self._answer_domain(request) if self._domains.known else None
            if found is None and request.path.startswith(MANAGEMENT_PREFIX):
                return self._web_socket.manage(request, request.path)
            return found
        api_id, path = address.api_id, address.path
        if self._http.serves(api_id):
            return self._http.handle(request, api_id, path)
        stage, rest = split_stage(path)
        if self._web_socket.serves(api_id):
            return self._web_socket.handle(request, api_id, stage, rest)
        return self._rest.handle(request, api_id, stage, rest, True)

    def server_of(self, api_id: str, stage: str) -> Callable[[Request], Awaitable[Response]]:
        """What answers requests to a stage at the root of a port, as a domain of its own would."""
        rest, http, web_socket = self._rest, self._http, self._web_socket
        if http.serves(api_id):
            return lambda request: http.handle(
                request, api_id, request.path, stage=stage, default_endpoint=False
            )
        if web_socket.serves(api_id):
            return lambda request: web_socket.handle(
                request, api_id, stage, request.path, default_endpoint=False
            )
        return lambda request: rest.handle(request, api_id, stage, request.path, False)

    def _answer_domain(self, request: Request) -> Response | Awaitable[Response] | None:
        """Answer a request to a custom domain name.

        AWS: API Gateway developer guide, custom domain names; `/ping` and `/sping` are health
        checks of its own.
        Differs: a health check is answered with 200 and no body; no record of AWS's.
        """
        if not self._domains.has(request.host):
            return None
        if request.path in HEALTH_PATHS:
            return Response(status=200)
        found = self._domains.match(request.host, request.path, request.headers)
        if found is None:
            return self._rest.handle(request, "", "", request.path, False)
        api_id, stage, path = found.api_id, found.stage, found.path
        if self._http.serves(api_id):
            return self._http.handle(
                request,
                api_id,
                path,
                stage=stage,
                base_path=found.base_path,
                default_endpoint=False,
            )
        if not stage:
            stage, path = split_stage(path)
        if self._web_socket.serves(api_id):
            return self._web_socket.handle(request, api_id, stage, path, default_endpoint=False)
        return self._rest.handle(request, api_id, stage, path, False, base_path=found.base_path)


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlAddress:
    """A request to a function URL; `path` is undecoded and begins with a slash."""

    url_id: str
    path: str


def parse_url_address(request: Request) -> UrlAddress | None:
    """The function URL that the request is addressed to, in any of the forms that scripts use.

    AWS: `{id}.lambda-url.{region}.on.aws` by Host.
    Differs: a path form is taken too, since names under `localhost` do not resolve everywhere.
    """
    if request.path.startswith(_URL_PATH):
        url_id, _, path = request.path[len(_URL_PATH) :].partition("/")
        return UrlAddress(url_id=url_id, path=f"/{path}")
    host = request.host
    if ".lambda-url." not in host.lower():
        return None
    found = _URL_HOST.fullmatch(host)
    return None if found is None else UrlAddress(url_id=found["url"].lower(), path=request.path)


async def identify_url_caller(
    request: Request, signers: Signers, clock: Clock, default: Scope
) -> UrlCaller | None:
    """Who has signed a request to a function URL, None for nobody.

    AWS: SigV4 for the service `lambda`, in the header or in the query string. Raises
    SignatureError for a signature that does not hold.
    Differs: an `Authorization` that is no signature counts as none.
    """
    try:
        signature = parse_signature(request)
    except IncompleteSignature:
        return None
    if signature is None or signature.service != "lambda":
        return None
    signer = authenticate(request, signers, clock.now())
    if signer is None:
        return None
    account_id = signer.of_account(default.account_id)
    policies = signer.policies
    return UrlCaller(
        access_key=signer.access_key,
        account_id=account_id,
        user_id=signer.user_id or account_id,
        arn=signer.arn
        or Scope(account_id=account_id, region=default.region).global_arn("iam", "root"),
        decide=None
        if policies is None
        else lambda action, resource: evaluate(policies(), action, resource),
    )
