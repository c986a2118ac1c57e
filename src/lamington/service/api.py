"""An API definition made complete: what the developer left out is generated, what is written by
hand is kept to the letter.

Generated for an operation that has no integration: the integration, in the `mapped` style or as
`proxy`, with its templates, response patterns and status codes; preflights where asked for. Left
to others: the templates of the mapped style (`mapped`), the stack around the API (`template`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from lamington.core.documents import Document
from lamington.core.errors import Position
from lamington.gateway.entities import INTEGRATION_TIMEOUT_DEFAULT_MS
from lamington.gateway.vtl.limits import TemplateLimits
from lamington.gateway.vtl.syntax import TemplateSyntaxError, parse_template
from lamington.service.cors import Cors, add_preflights, read_cors
from lamington.service.event import read_event
from lamington.service.functions import Function
from lamington.service.mapped import (
    JSON_MEDIA_TYPE,
    read_error_patterns,
    read_header_sources,
    render_request_template,
    render_responses,
)
from lamington.service.paths import Operation, read_operations
from lamington.service.problems import Problems
from lamington.service.sources import closest

INTEGRATION_KEY = "x-amazon-apigateway-integration"
AUTH_KEY = "x-amazon-apigateway-auth"
AUTHORIZER_KEY = "x-amazon-apigateway-authorizer"
FUNCTION_KEY = "x-lamington-function"
STYLE_KEY = "x-lamington-style"
STYLES = ("mapped", "proxy")
OWN_KEYS = "x-lamington-"
_KNOWN_KEYS = ("function", "style", "cors", "error", "value", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A line of the table of routes; `function` is "" where none is behind it."""

    method: str
    path: str
    function: str
    integration: str
    authorizer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteApi:
    """The definition that AWS takes, with ARNs as intrinsic functions; `invoked` functions need
    to permit it."""

    definition: dict[str, Any]
    routes: tuple[Route, ...]
    invoked: tuple[Function, ...]


def invocation_uri(function: Function) -> dict[str, str]:
    """The URI of an integration with a function of the same stack."""
    return {
        "Fn::Sub": "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31"
        f"/functions/${{{function.logical_id}.Arn}}/invocations"
    }


def complete_api(
    document: Document,
    *,
    service_name: str,
    functions: tuple[Function, ...],
    problems: Problems,
) -> CompleteApi:
    """Make the definition complete; what is wrong with it is gathered in `problems`."""
    completion = _Completion(document, service_name, functions, problems)
    return completion.complete()


class _Completion:
    """One run over one definition."""

    def __init__(
        self,
        document: Document,
        service_name: str,
        functions: tuple[Function, ...],
        problems: Problems,
    ) -> None:
        self._document = document
        self._service_name = service_name
        self._functions = {function.name: function for function in functions}
        self._problems = problems
        # The document is kept between builds, so what is changed here is a copy.
        self._value: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document.value))

    def complete(self) -> CompleteApi:
        value = self._value
        self._check_version()
        self._check_own_keys(value, ())
        info = value.setdefault("info", {})
        if isinstance(info, dict):
            info.setdefault("title", self._service_name)
            info["version"] = str(info.get("version", "1.0"))
        cors = read_cors(value, self._document, (), self._problems)
        operations = read_operations(value, self._document, self._problems)
        routes = [self._complete_operation(operation, cors) for operation in operations]
        self._complete_authorizers()
        routes += [
            Route(method="OPTIONS", path=path, function="", integration="mock", authorizer="none")
            for path in add_preflights(value, operations, cors, self._document, self._problems)
        ]
        definition = _without_own_keys(value)
        text = msgspec.json.encode(definition).decode()
        invoked = [
            function
            for function in self._functions.values()
            if f"${{{function.logical_id}.Arn}}" in text
            or f'["{function.logical_id}","Arn"]' in text
        ]
        self._check_timeouts(invoked)
        return CompleteApi(definition=definition, routes=tuple(routes), invoked=tuple(invoked))

    def _check_timeouts(self, invoked: list[Function]) -> None:
        for function in invoked:
            timeout_s = function.properties.get("Timeout")
            if isinstance(timeout_s, int) and timeout_s * 1000 > INTEGRATION_TIMEOUT_DEFAULT_MS:
                self._problems.notice(
                    f"`{function.name}` may take {timeout_s} s, but API Gateway waits"
                    f" {INTEGRATION_TIMEOUT_DEFAULT_MS // 1000} s for it",
                    where=function.settings.position(("Timeout",)) if function.settings else None,
                )

    def _where(self, *place: str | int) -> Position:
        return self._document.position(place)

    def _check_version(self) -> None:
        value = self._value
        if "openapi" in value:
            version = str(value["openapi"])
            value["openapi"] = version if version.count(".") == 2 else "3.0.1"
            known = version.startswith("3.0")
        else:
            version = str(value.get("swagger", ""))
            value["swagger"] = "2.0"
            known = version in ("2.0", "2")
        if not known:
            self._problems.error(
                f"version `{version}` of OpenAPI is not one that API Gateway takes"
                if version
                else "the API definition does not say which version of Swagger it is in",
                where=self._where("openapi" if "openapi" in value else "swagger"),
                hint='begin it with `swagger: "2.0"` or `openapi: "3.0.1"`',
            )

    def _check_own_keys(self, value: Any, place: tuple[str | int, ...]) -> None:
        if isinstance(value, list):
            for index, item in enumerate(value):
                self._check_own_keys(item, (*place, index))
        elif isinstance(value, dict):
            for key, item in value.items():
                if key.startswith(OWN_KEYS) and key[len(OWN_KEYS) :] not in _KNOWN_KEYS:
                    known = [OWN_KEYS + each for each in _KNOWN_KEYS]
                    self._problems.error(
                        f"`{key}` is not a key of Lamington's",
                        where=self._where(*place, key),
                        hint=closest(key, known),
                    )
                self._check_own_keys(item, (*place, key))

    def _complete_operation(self, operation: Operation, cors: Cors | None) -> Route:
        integration = operation.value.get(INTEGRATION_KEY)
        if integration is not None:
            return self._keep_integration(operation, integration)
        function = self._function_of(operation)
        style = self._style_of(operation)
        if function is not None:
            uri = invocation_uri(function)
            own = read_cors(operation.item, self._document, operation.place[:2], self._problems)
            if style == "proxy":
                if own or cors:
                    self._problems.notice(
                        f"`{operation.title}` is of the proxy style: `{function.name}` itself has"
                        " to answer with the headers of CORS",
                        where=self._where(*operation.place),
                    )
                generated: dict[str, Any] = {
                    "type": "aws_proxy",
                    "httpMethod": "POST",
                    "uri": uri,
                    "passthroughBehavior": "when_no_match",
                }
                operation.value.setdefault("responses", {"200": {"description": "Success"}})
            else:
                generated = self._mapped_integration(operation, uri, own or cors)
            operation.value[INTEGRATION_KEY] = generated
        return self._route(operation, function.name if function else "", style)

    def _route(self, operation: Operation, function: str, integration: str) -> Route:
        return Route(
            method=operation.method,
            path=operation.path,
            function=function,
            integration=integration,
            authorizer=self._authorizer_of(operation),
        )

    def _authorizer_of(self, operation: Operation) -> str:
        auth = operation.value.get(AUTH_KEY)
        if isinstance(auth, dict) and str(auth.get("type", "")).upper() == "AWS_IAM":
            return "AWS_IAM"
        security = operation.value.get("security", self._value.get("security", []))
        names = [name for each in security if isinstance(each, dict) for name in each]
        return ", ".join(names) or "none"

    def _style_of(self, operation: Operation) -> str:
        for value, place in (
            (operation.value, operation.place),
            (operation.item, operation.place[:2]),
            (self._value, ()),
        ):
            if STYLE_KEY in value:
                style = str(value[STYLE_KEY])
                if style not in STYLES:
                    self._problems.error(
                        f"`{style}` is not a style of integration",
                        where=self._where(*place, STYLE_KEY),
                        hint="`mapped` (the default) or `proxy`",
                    )
                return style
        return STYLES[0]

    def _function_of(self, operation: Operation) -> Function | None:
        """By `x-lamington-function`, or by `operationId`."""
        names = list(self._functions)
        given = operation.value.get(FUNCTION_KEY)
        if given is not None:
            function = self._find(str(given))
            if function is None:
                self._problems.error(
                    f"`{operation.title}` names the function `{given}`, which does not exist",
                    where=self._where(*operation.place, FUNCTION_KEY),
                    hint=closest(str(given), names) or "put its handler into `functions/`",
                )
            return function
        operation_id = operation.value.get("operationId")
        function = self._find(str(operation_id)) if operation_id else None
        if function is None:
            self._problems.error(
                f"`{operation.title}` has no function: its operationId `{operation_id}` names none"
                if operation_id
                else f"`{operation.title}` names no function",
                where=self._where(*operation.place, *(["operationId"] if operation_id else [])),
                hint="give it the function's name as `operationId` or `x-lamington-function`; "
                + (closest(str(operation_id or ""), names) or "there are no functions yet"),
            )
        return function

    def _find(self, name: str) -> Function | None:
        """A function by its name or directory; case and punctuation do not tell names apart."""
        name = name.removeprefix("./").strip("/").removeprefix("functions/")
        if name in self._functions:
            return self._functions[name]
        plain = _plain(name)
        alike = [each for each in self._functions.values() if _plain(each.name) == plain]
        return alike[0] if len(alike) == 1 and plain else None

    def _mapped_integration(
        self, operation: Operation, uri: Mapping[str, str], cors: Cors | None
    ) -> dict[str, Any]:
        value, place, problems = operation.value, operation.place, self._problems
        parameters, body = read_event(operation, self._value, self._document, problems)
        responses = value.setdefault("responses", {})
        if not isinstance(responses, dict):
            problems.error("`responses` is a map", where=self._where(*place, "responses"))
            responses = value["responses"] = {}
        here = (*place, "responses")
        errors = read_error_patterns(responses, here, self._document.position, problems)
        headers = read_header_sources(responses, here, self._document.position, problems)
        success = self._success_of(operation, responses, {each.status_code for each in errors})
        responses.setdefault(success, {"description": "Success"})
        responses.setdefault("500", {"description": "Internal server error"})
        if cors is not None:
            cors.declare_on(responses, headers, openapi="openapi" in self._value)
        template = render_request_template(parameters, body=body)
        return {
            "type": "aws",
            "httpMethod": "POST",
            "uri": uri,
            # Anything else would hand a body of another type to the function as its event.
            "passthroughBehavior": "never",
            "requestTemplates": dict.fromkeys(self._media_types_of(operation), template),
            "responses": render_responses(success, errors, headers),
        }

    def _media_types_of(self, operation: Operation) -> list[str]:
        """The JSON types that the operation consumes; a body of another is answered 415."""
        declared: list[Any] = []
        body = operation.value.get("requestBody")
        if isinstance(body, dict) and isinstance(body.get("content"), dict):
            declared = list(body["content"])
        elif "swagger" in self._value:
            declared = operation.value.get("consumes") or self._value.get("consumes") or []
        types = [str(each).partition(";")[0].strip().lower() for each in declared]
        unmapped = [each for each in types if not each.endswith(("/json", "+json"))]
        if unmapped:
            self._problems.notice(
                f"`{operation.title}`: a body of type `{unmapped[0]}` cannot be mapped and is"
                " answered 415",
                where=self._where(*operation.place),
                hint="give the operation `x-lamington-style: proxy`, or its own integration",
            )
        mapped = [each for each in types if each not in unmapped]
        return mapped if JSON_MEDIA_TYPE in mapped else [JSON_MEDIA_TYPE, *mapped]

    def _success_of(
        self, operation: Operation, responses: Mapping[str, Any], taken: set[str]
    ) -> str:
        """The first declared success that no exception leads to."""
        codes = [code for code in responses if re.fullmatch(r"[23]\d\d", code)]
        wrong = [
            code
            for code in responses
            if not re.fullmatch(r"[1-5]\d\d|default", code) and not code.startswith("x-")
        ]
        for code in wrong:
            self._problems.error(
                f"`{code}` is not a status code",
                where=self._where(*operation.place, "responses", code),
            )
        free = [code for code in codes if code not in taken]
        return free[0] if free else "200"

    def _keep_integration(self, operation: Operation, integration: Any) -> Route:
        """A hand-written integration: only a function's name becomes its ARN."""
        place = (*operation.place, INTEGRATION_KEY)
        if not isinstance(integration, dict):
            self._problems.error("an integration is a map", where=self._where(*place))
            return self._route(operation, "", "")
        kind = str(integration.get("type", "")).lower()
        function = None
        if kind in ("aws", "aws_proxy"):
            function = self._resolve_uri(integration, "uri", place, operation.title)
        self._check_credentials(integration, "credentials", place)
        self._check_templates(integration, place)
        self._check_statuses(operation, integration, place)
        return self._route(operation, function.name if function else "", kind)

    def _resolve_uri(
        self, holder: dict[str, Any], key: str, place: tuple[str | int, ...], title: str
    ) -> Function | None:
        uri = holder.get(key)
        if not isinstance(uri, str):
            text = msgspec.json.encode(uri).decode()
            logical_ids = re.findall(r"\$\{(\w+)\.Arn\}|\[\"(\w+)\",\"Arn\"\]", text)
            by_id = {each.logical_id: each for each in self._functions.values()}
            found = [by_id.get(left or right) for left, right in logical_ids]
            return next((each for each in found if each), None)
        if uri.startswith("arn:") or "${" in uri or "://" in uri:
            return None
        function = self._find(uri)
        if function is None:
            self._problems.error(
                f"`{title}` leads to `{uri}`, which is neither a function nor an ARN",
                where=self._where(*place, key),
                hint=closest(uri, list(self._functions)) or "put its handler into `functions/`",
            )
            return None
        holder[key] = invocation_uri(function)
        return function

    def _check_credentials(
        self, holder: dict[str, Any], key: str, place: tuple[str | int, ...]
    ) -> None:
        credentials = holder.get(key)
        if isinstance(credentials, str) and not (
            credentials.startswith("arn:") or "${" in credentials
        ):
            del holder[key]
            self._problems.notice(
                f"`{key}: {credentials}` is no ARN of a role and is left out",
                where=self._where(*place, key),
                hint="none is needed: the stack permits the API to invoke the function",
            )

    def _check_templates(
        self, integration: Mapping[str, Any], place: tuple[str | int, ...]
    ) -> None:
        holders = [(integration, "requestTemplates", place)]
        responses = integration.get("responses")
        if isinstance(responses, dict):
            holders += [
                (response, "responseTemplates", (*place, "responses", pattern))
                for pattern, response in responses.items()
                if isinstance(response, dict)
            ]
        for holder, key, here in holders:
            templates = holder.get(key)
            for media_type, text in templates.items() if isinstance(templates, dict) else ():
                if isinstance(text, str):
                    self._check_one(text, media_type, (*here, key, media_type))

    def _check_one(self, text: str, media_type: str, place: tuple[str | int, ...]) -> None:
        try:
            parse_template(text, TemplateLimits())
        except TemplateSyntaxError as error:
            self._problems.error(
                f"the mapping template for `{media_type}` is not valid VTL at line {error.line},"
                f" column {error.column} of the template: {error.message}",
                where=self._where(*place),
                hint=error.hint or "API Gateway would answer each request there with status 500",
            )

    def _check_statuses(
        self,
        operation: Operation,
        integration: Mapping[str, Any],
        place: tuple[str | int, ...],
    ) -> None:
        """Each status that an integration leads to is one that the operation declares."""
        responses = integration.get("responses")
        declared = operation.value.get("responses")
        codes = set(declared) if isinstance(declared, dict) else set()
        seen: dict[str, str] = {}
        for pattern, response in responses.items() if isinstance(responses, dict) else ():
            if not isinstance(response, dict):
                continue
            code = str(response.get("statusCode", ""))
            where = self._where(*place, "responses", pattern, "statusCode")
            if code not in codes:
                self._problems.notice(
                    f"the status {code} is not among the `responses` of `{operation.title}`",
                    where=where,
                    hint=f"declare it: API Gateway answers only with declared ones; add `{code}`",
                )
            elif code in seen:
                self._problems.notice(
                    f"the status {code} is that of pattern `{seen[code]}` already",
                    where=where,
                    hint="API Gateway keeps one pattern for each status: join them by `|`",
                )
            seen.setdefault(code, pattern)

    def _complete_authorizers(self) -> None:
        """A Lambda authorizer may name a function of the service as well."""
        components = self._value.get("components")
        for holder, place in (
            (self._value.get("securityDefinitions"), ("securityDefinitions",)),
            (
                components.get("securitySchemes") if isinstance(components, dict) else None,
                ("components", "securitySchemes"),
            ),
        ):
            for name, scheme in holder.items() if isinstance(holder, dict) else ():
                authorizer = scheme.get(AUTHORIZER_KEY) if isinstance(scheme, dict) else None
                if isinstance(authorizer, dict) and "authorizerUri" in authorizer:
                    here = (*place, name, AUTHORIZER_KEY)
                    self._resolve_uri(authorizer, "authorizerUri", here, f"authorizer {name}")
                    self._check_credentials(authorizer, "authorizerCredentials", here)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _without_own_keys(value: Any) -> Any:
    """The definition as AWS is to see it: no keys of ours, and no null, which no stack may hold."""
    if isinstance(value, dict):
        return {
            key: _without_own_keys(each)
            for key, each in value.items()
            if each is not None and not key.startswith(OWN_KEYS)
        }
    if isinstance(value, list):
        return [_without_own_keys(each) for each in value if each is not None]
    return value
