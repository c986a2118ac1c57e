"""CORS where it is asked for by `x-lamington-cors`: preflights and the headers of answers.

API Gateway has no CORS of its own for REST APIs: everything here is written into the definition.
Left to others: proxy and hand-written integrations, which send their own headers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lamington.core.documents import Document
from lamington.service.paths import VERBS, Operation
from lamington.service.problems import Problems
from lamington.service.sources import closest

CORS_KEY = "x-lamington-cors"
GATEWAY_RESPONSES_KEY = "x-amazon-apigateway-gateway-responses"
ALLOW_HEADERS_DEFAULT = "Content-Type,X-Amz-Date,Authorization,X-Api-Key,X-Amz-Security-Token"
_MEMBERS = ("allowOrigins", "allowHeaders", "allowMethods", "exposeHeaders", "maxAge")
_INTEGRATION_KEY = "x-amazon-apigateway-integration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """What other origins may do; the names are those of HTTP APIs' `x-amazon-apigateway-cors`."""

    allow_origin: str = "*"
    allow_headers: str = ALLOW_HEADERS_DEFAULT
    allow_methods: str = ""
    expose_headers: str = ""
    max_age_s: int | None = None

    def answer_headers(self) -> dict[str, str]:
        headers = {"Access-Control-Allow-Origin": self.allow_origin}
        if self.expose_headers:
            headers["Access-Control-Expose-Headers"] = self.expose_headers
        return headers

    def preflight_headers(self, methods: str) -> dict[str, str]:
        headers = {
            "Access-Control-Allow-Origin": self.allow_origin,
            "Access-Control-Allow-Headers": self.allow_headers,
            "Access-Control-Allow-Methods": self.allow_methods or methods,
        }
        if self.max_age_s is not None:
            headers["Access-Control-Max-Age"] = str(self.max_age_s)
        return headers

    def declare_on(
        self, responses: dict[str, Any], headers: dict[str, dict[str, str]], *, openapi: bool
    ) -> None:
        """Add the headers to each declared response and to what gives them their values."""
        for code, response in responses.items():
            if not isinstance(response, dict):
                continue
            for name, value in self.answer_headers().items():
                declared = response.setdefault("headers", {})
                declared.setdefault(name, _string_header(openapi))
                headers.setdefault(code, {}).setdefault(name, f"'{value}'")


def _string_header(openapi: bool) -> dict[str, Any]:
    return {"schema": {"type": "string"}} if openapi else {"type": "string"}


def read_cors(
    value: dict[str, Any], document: Document, place: tuple[str | int, ...], problems: Problems
) -> Cors | None:
    """What a definition or a path asks for; None where it asks for nothing."""
    given = value.get(CORS_KEY)
    where = document.position((*place, CORS_KEY))
    if given is None or given is False:
        return None
    if given is True:
        return Cors()
    if not isinstance(given, dict):
        problems.error(f"`{CORS_KEY}` is true or a map", where=where)
        return None
    for key in given:
        if key not in _MEMBERS:
            problems.error(
                f"`{key}` is not a member of `{CORS_KEY}`",
                where=document.position((*place, CORS_KEY, key)),
                hint=closest(key, _MEMBERS),
            )
    origins = _listed(given.get("allowOrigins", "*"))
    if "," in origins:
        problems.error(
            "several origins cannot be allowed: the header that API Gateway sends is fixed",
            where=document.position((*place, CORS_KEY, "allowOrigins")),
            hint="name one origin or `*`, or let a proxy function answer with the caller's",
        )
    age = given.get("maxAge")
    return Cors(
        allow_origin=origins,
        allow_headers=_listed(given.get("allowHeaders", ALLOW_HEADERS_DEFAULT)),
        allow_methods=_listed(given.get("allowMethods", "")),
        expose_headers=_listed(given.get("exposeHeaders", "")),
        max_age_s=age if isinstance(age, int) else None,
    )


def _listed(value: Any) -> str:
    text = ",".join(str(each) for each in value) if isinstance(value, list) else str(value)
    return text.replace("'", "")


def add_preflights(
    value: dict[str, Any],
    operations: Sequence[Operation],
    cors: Cors | None,
    document: Document,
    problems: Problems,
) -> list[str]:
    """Give each path that asks for CORS an OPTIONS method; the paths that got one."""
    added: list[str] = []
    openapi = "openapi" in value
    paths = value.get("paths")
    for path, item in paths.items() if isinstance(paths, dict) else ():
        if not isinstance(item, dict):
            continue
        own = read_cors(item, document, ("paths", path), problems) or cors
        methods = [each for each in operations if each.path == path]
        if own is None or not methods or "options" in item:
            continue
        item["options"] = _preflight(own, methods, openapi)
        added.append(path)
    if cors is not None:
        responses = value.setdefault(GATEWAY_RESPONSES_KEY, {})
        for kind in ("DEFAULT_4XX", "DEFAULT_5XX"):
            parameters = {
                f"gatewayresponse.header.{name}": f"'{text}'"
                for name, text in cors.answer_headers().items()
            }
            responses.setdefault(kind, {"responseParameters": parameters})
    return added


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _preflight(cors: Cors, operations: Sequence[Operation], openapi: bool) -> dict[str, Any]:
    verbs = [each.method for each in operations if each.method != "ANY"]
    if len(verbs) < len(operations):
        verbs = [verb.upper() for verb in VERBS if verb != "options"]
    headers = cors.preflight_headers(",".join([*verbs, "OPTIONS"]))
    preflight: dict[str, Any] = {
        "summary": "CORS preflight",
        "security": [],
        "responses": {
            "204": {
                "description": "What other origins may do",
                "headers": {name: _string_header(openapi) for name in headers},
            }
        },
        _INTEGRATION_KEY: {
            "type": "mock",
            "passthroughBehavior": "when_no_match",
            "requestTemplates": {"application/json": '{"statusCode": 204}'},
            "responses": {
                "default": {
                    "statusCode": "204",
                    "responseParameters": {
                        f"method.response.header.{name}": f"'{text}'"
                        for name, text in headers.items()
                    },
                }
            },
        },
    }
    names = [
        parameter
        for operation in operations
        for parameter in _list(operation.value.get("parameters"))
        if isinstance(parameter, dict) and parameter.get("in") == "path"
    ]
    unique = {str(each.get("name")): each for each in names}
    return preflight | ({"parameters": list(unique.values())} if unique else {})
