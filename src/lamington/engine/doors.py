"""Which door of the AWS port a request knocks at: a deployed API, a function URL, or the engine.

Everything else is an AWS operation and goes to the dispatcher.
"""

import re
from dataclasses import dataclass

from lamington.core.aws import AwsCaller, Scope
from lamington.core.http import Request
from lamington.functions.url_events import UrlCaller
from lamington.wire.services import parse_credential, scope_of

_API_HOST = re.compile(
    r"(?P<api>[a-z0-9]+)\.execute-api\."
    r"(?:localhost|localhost\.localstack\.cloud|[a-z0-9-]+\.(?:localhost|amazonaws\.com(?:\.cn)?))"
    r"(?::\d+)?",
    re.IGNORECASE,
)
_API_PATHS = (
    re.compile(r"/(?:_aws/)?execute-api/(?P<api>[a-z0-9]+)/(?P<stage>[\w-]+)(?P<path>/.*)?"),
    re.compile(r"/restapis/(?P<api>[a-z0-9]+)/(?P<stage>[\w-]+)/_user_request_(?P<path>/.*)?"),
)
_URL_HOST = re.compile(
    r"(?P<url>[a-z0-9]+)\.lambda-url\."
    r"(?:localhost|[a-z0-9-]+\.(?:localhost|localhost\.localstack\.cloud|on\.aws))(?::\d+)?",
    re.IGNORECASE,
)
_URL_PATH = "/_aws/lambda-url/"
_STAGE_PATH = re.compile(r"/+(?P<stage>[\w-]+)(?P<path>/.*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAddress:
    """A request to a deployed API; `path` is what follows the stage and begins with a slash."""

    api_id: str
    stage: str
    path: str


def parse_api_address(request: Request) -> ApiAddress | None:
    """The API that the request is addressed to, in any of the forms that scripts use.

    AWS: `{api}.execute-api.{region}.amazonaws.com/{stage}/...` by Host.
    Differs: path forms are taken too, since names under `localhost` do not resolve everywhere.
    """
    for form in _API_PATHS:
        found = form.fullmatch(request.path)
        if found:
            return ApiAddress(api_id=found["api"], stage=found["stage"], path=found["path"] or "/")
    host = _API_HOST.fullmatch(request.host)
    if host is None:
        return None
    found = _STAGE_PATH.fullmatch(request.path)
    if found is None:
        return ApiAddress(api_id=host["api"], stage="", path=request.path)
    return ApiAddress(api_id=host["api"].lower(), stage=found["stage"], path=found["path"] or "/")


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
    request: Request, caller: AwsCaller, default: Scope
) -> UrlCaller | None:
    """Who has signed a request to a function URL, None for nobody.

    AWS: SigV4 for the service `lambda`, in the header or in the query string.
    Differs: the signature itself is not verified; its access key is believed.
    """
    credential = parse_credential(request)
    if credential.service != "lambda" or not credential.access_key:
        return None
    scope = scope_of(request, credential, default)
    metadata = {"HTTPHeaders": request.headers, "SourceIp": request.source_ip}
    found = await caller.call("sts:GetCallerIdentity", {"RequestMetadata": metadata}, scope)
    return UrlCaller(
        access_key=credential.access_key,
        account_id=found["Account"],
        user_id=found["UserId"],
        arn=found["Arn"],
    )
