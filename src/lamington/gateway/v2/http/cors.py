"""Cross-origin requests: an HTTP API's own answers to a browser's questions, rendered once."""

from lamington.core.http import Response
from lamington.gateway.v2 import entities
from lamington.gateway.v2.http.requests import HttpRequest

PREFIX = "access-control-"

Fields = list[tuple[str, str]]

_SCHEMES = ("http://*", "https://*")


class CorsAnswers:
    """The headers of a CORS configuration."""

    __slots__ = ("_any", "_exact", "_fields", "_preflight_fields", "_schemes")

    def __init__(self, cors: entities.Cors) -> None:
        self._exact = frozenset(cors.allow_origins)
        self._any = "*" in self._exact and not cors.allow_credentials
        self._schemes = tuple(each[:-1] for each in _SCHEMES if each in self._exact)
        fields: Fields = []
        if cors.allow_credentials:
            fields.append(("access-control-allow-credentials", "true"))
        preflight = list(fields)
        if cors.expose_headers:
            fields.append(("access-control-expose-headers", ",".join(cors.expose_headers)))
        if cors.allow_methods:
            preflight.append(("access-control-allow-methods", ",".join(cors.allow_methods)))
        if cors.allow_headers:
            preflight.append(("access-control-allow-headers", ",".join(cors.allow_headers)))
        if cors.max_age_s is not None:
            preflight.append(("access-control-max-age", str(cors.max_age_s)))
        self._fields = tuple(fields)
        self._preflight_fields = tuple(preflight)

    def preflight(self, request: HttpRequest) -> Response | None:
        """The answer to a preflight request, None where the request is no such.

        AWS: API Gateway developer guide, CORS for HTTP APIs: whether or not a route has OPTIONS,
        and before any authorizer.
        """
        origin = request.headers.get("origin", "")
        if not origin or "access-control-request-method" not in request.headers:
            return None
        return Response(status=204, headers=self._allowed(origin, self._preflight_fields))

    def apply(self, request: HttpRequest, headers: Fields) -> Fields:
        """The headers of an answer: those of a backend go, the configuration's come.

        AWS: same place; an origin that is not allowed gets none.
        """
        kept = [pair for pair in headers if not pair[0].startswith(PREFIX)]
        origin = request.headers.get("origin")
        if origin:
            kept += self._allowed(origin, self._fields)
        return kept

    def _allowed(self, origin: str, fields: tuple[tuple[str, str], ...]) -> Fields:
        if self._any:
            allowed = "*"
        elif origin in self._exact or origin.startswith(self._schemes):
            allowed = origin
        else:
            return []
        return [("access-control-allow-origin", allowed), *fields]
