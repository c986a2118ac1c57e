"""Which door of the AWS port a request knocks at: a deployed API, or the engine itself.

Everything else is an AWS operation and goes to the dispatcher.
"""

import re
from dataclasses import dataclass

from lamington.core.http import Request

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
