"""The `mapped` style: the templates that make a plain event of a request, and of what a function
returns or raises the responses that the operation declares.

The event holds just what the operation declares: parameters typed and named, the body as `body`,
null for what was not sent. All of it is VTL that runs on AWS as it is. No value of a request can
change the shape of the event: text is always escaped, and what stands without quotes is matched
whole against a pattern first. Left to others: which operations there are, and whose they are.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamington.core.documents import Path
from lamington.core.errors import Position
from lamington.service.problems import Problems

JSON_MEDIA_TYPE = "application/json"
ERROR_KEY = "x-lamington-error"
VALUE_KEY = "x-lamington-value"
NAME_KEY = "x-lamington-name"

INTERNAL_ERROR = '{"message": "Internal server error"}'
MESSAGE = """{"message": $input.json('$.errorMessage')}"""

PLACES = {"path": "path", "query": "querystring", "header": "header"}
SEPARATORS = {"csv": ",", "ssv": " ", "tsv": "\t", "pipes": "[|]"}

# What may stand in JSON without quotes. Longer integers than 18 digits stay text: no 64-bit
# reader could hold them.
INTEGER = "-?(0|[1-9][0-9]{0,17})"
NUMBER = "-?(0|[1-9][0-9]{0,17})([.][0-9]{1,17})?([eE][+-]?[0-9]{1,2})?"

PARAMETER_NAME = re.compile(r"[a-zA-Z0-9._$-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of an operation: `key` is its name in the event, `place` as in OpenAPI."""

    name: str
    key: str
    place: str
    type: str = "string"
    item_type: str = "string"
    separator: str = ","
    default: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorResponse:
    """A declared response to exceptions whose message matches the pattern as a whole."""

    status_code: str
    pattern: str


def read_parameter(
    declared: Mapping[str, Any], where: Position, problems: Problems
) -> Parameter | None:
    """A declared parameter of a place that templates can read; None with a problem otherwise."""
    name, place = str(declared.get("name", "")), str(declared.get("in", ""))
    if place not in PLACES:
        problems.error(
            f"a parameter in `{place}` cannot be mapped",
            where=where,
            hint="take it from path, query, header or body, or give the operation"
            " `x-lamington-style: proxy`",
        )
        return None
    if not PARAMETER_NAME.fullmatch(name):
        problems.error(
            f"`{name}` cannot be a parameter of an API Gateway method",
            where=where,
            hint="letters, digits and `._$-`",
        )
        return None
    schema = declared if "type" in declared else declared.get("schema", {})
    schema = schema if isinstance(schema, dict) else {}
    items = schema.get("items", {})
    return Parameter(
        name=name,
        key=str(declared.get(NAME_KEY, name)),
        place=place,
        type=str(schema.get("type", "string")),
        item_type=str(items.get("type", "string")) if isinstance(items, dict) else "string",
        separator=_separator(declared, schema, place, where, problems),
        default=schema.get("default"),
    )


def _separator(
    declared: Mapping[str, Any],
    schema: Mapping[str, Any],
    place: str,
    where: Position,
    problems: Problems,
) -> str:
    if schema.get("type") != "array":
        return ","
    if "schema" in declared and place == "query":
        style = str(declared.get("style", "form"))
        form = {"spaceDelimited": "ssv", "pipeDelimited": "pipes"}.get(style, "csv")
        if style == "form" and declared.get("explode", True) is not False:
            form = "multi"
    else:
        form = str(declared.get("collectionFormat", "csv"))
    if form == "multi":
        problems.notice(
            "API Gateway's templates see only the last value of a repeated query parameter:"
            " the values are read from one, separated by commas",
            where=where,
            hint="declare `collectionFormat: csv` (OpenAPI 3: `explode: false`),"
            " or give the operation `x-lamington-style: proxy`",
        )
    return SEPARATORS.get(form, ",")


def render_request_template(parameters: Sequence[Parameter], *, body: bool) -> str:
    """The template of an operation's event; one member a line, in the order declared."""
    setup: list[str] = []
    members: list[str] = []
    for number, parameter in enumerate(parameters, 1):
        variable = f"p{number}"
        setup.append(_lookup(parameter, variable))
        members.append(f"{_literal(json.dumps(parameter.key))}: {_value(parameter, variable)}")
    if body:
        # API Gateway shows an absent body as {}: only the missing header tells it from a sent one.
        setup.append(
            '#set($contentType = \'sent\')#if($input.body == "{}" || $input.body == "")'
            + _header_lookup("content-type", "contentType")
            + "#end"
        )
        members.append("\"body\": #if($contentType == '')null#{else}$input.json('$')#end")
    lines = ",\n".join(members)
    return "".join(f"{line}\n" for line in setup) + ("{\n" + lines + "\n}" if members else "{}")


def _lookup(parameter: Parameter, variable: str) -> str:
    if parameter.place == "header":
        return _header_lookup(parameter.name, variable)
    return f"#set(${variable} = $input.params().{PLACES[parameter.place]}.get('{parameter.name}'))"


def _header_lookup(name: str, variable: str) -> str:
    """Headers keep the case they were sent in, so that a plain look-up would miss them."""
    return (
        f"#set(${variable} = '')#foreach($h in $input.params().header.keySet())"
        f"#if($h.equalsIgnoreCase('{name}'))#set(${variable} = $input.params().header.get($h))"
        "#end#end"
    )


def _value(parameter: Parameter, variable: str) -> str:
    """JSON text of a parameter, or of its default where it was not sent."""
    absent = _literal(json.dumps(parameter.default))
    if parameter.type == "array":
        reference = f"${variable}"
        split = parameter.separator
        item = f"i{variable[1:]}"
        value = (
            f"[#foreach(${item} in {reference}.split('{split}'))"
            f"{_scalar(parameter.item_type, item)}#if($foreach.hasNext),#end#end]"
        )
        return f'#if(${variable} == ""){absent}#{{else}}{value}#end'
    value = _scalar(parameter.type, variable)
    if parameter.type in ("integer", "number", "boolean"):
        return f'#if(${variable} == ""){absent}#{{else}}{value}#end'
    if parameter.place == "path":
        return value
    if parameter.place == "query":
        sent = f"$input.params().querystring.containsKey('{parameter.name}') == true"
        return f"#if({sent}){value}#{{else}}{absent}#end"
    return f'#if(${variable} == ""){absent}#{{else}}{value}#end'


def _scalar(type_name: str, variable: str) -> str:
    text = _escaped(variable)
    match type_name:
        case "integer":
            test = f"${variable}.matches('{INTEGER}') == true"
        case "number":
            test = f"${variable}.matches('{NUMBER}') == true"
        case "boolean":
            test = f'${variable} == "true" || ${variable} == "false"'
        case _:
            return text
    return f"#if({test})${variable}#{{else}}{text}#end"


def _escaped(variable: str) -> str:
    r"""A variable's text as a JSON string: JavaScript's `\'` is none of JSON's escapes."""
    return f'"$util.escapeJavaScript(${variable}).replaceAll("\\\\\'", "\'")"'


def _literal(text: str) -> str:
    """JSON text that VTL must not read: what holds `$` or `#` is fenced."""
    if "$" not in text and "#" not in text:
        return text
    return "#[[" + text.replace("]#", "\\u005d#") + "]]#"


def read_error_patterns(
    responses: Mapping[str, Any], path: Path, positions: Any, problems: Problems
) -> list[ErrorResponse]:
    """The declared responses to exceptions, in the order of the file."""
    result: list[ErrorResponse] = []
    for code, response in responses.items():
        given = response.get(ERROR_KEY) if isinstance(response, dict) else None
        if given is None:
            continue
        patterns = [str(each) for each in given] if isinstance(given, list) else [str(given)]
        where = positions((*path, code, ERROR_KEY))
        for pattern in patterns:
            problem = _pattern_problem(pattern)
            if problem:
                problems.error(
                    f"`{pattern}` is no regular expression: {problem}",
                    where=where,
                    hint="it is matched against the whole message of the exception",
                )
        joined = "|".join(patterns)
        if "|" in joined:
            joined = f"(?:{joined})"
        result.append(ErrorResponse(status_code=str(code), pattern=joined))
    return result


def _pattern_problem(pattern: str) -> str:
    """Why a pattern cannot be Java's; what only Java knows is let through."""
    if re.search(r"\\[pPzZGQEhHvVRX]|&&|\(\?<[a-zA-Z]", pattern):
        return ""
    try:
        re.compile(pattern)
    except re.error as error:
        return str(error)
    return ""


def render_responses(
    success: str, errors: Sequence[ErrorResponse], headers: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, Any]]:
    """The `responses` of an integration: the default, the declared errors, the catch-all.

    AWS does not say which of two matching patterns it takes, so the catch-all excludes what is
    declared. Two patterns cannot share a status code: a declared 500 is joined with it.
    """
    declared = [each for each in errors if each.status_code != "500"]
    internal = next((each for each in errors if each.status_code == "500"), None)
    result = {"default": _response(success, _success_template(success), headers)}
    for each in declared:
        result[f"(?s){each.pattern}"] = _response(each.status_code, MESSAGE, headers)
    excluded = "|".join(each.pattern for each in declared)
    catch_all = f"(?s)(?!(?:{excluded})(?![\\s\\S])).+" if excluded else "(?s).+"
    template = INTERNAL_ERROR
    if internal is not None:
        pattern = f"(?s){internal.pattern}".replace("'", "''")
        template = (
            "#set($message = $input.path('$.errorMessage'))"
            f"#if($message.matches('{pattern}') == true){MESSAGE}#{{else}}{INTERNAL_ERROR}#end"
        )
    result[catch_all] = _response("500", template, headers)
    return result


def _success_template(status_code: str) -> str:
    """The function's result, byte for byte.

    An exception without a message matches no pattern on AWS, so it is caught here.
    """
    result = "#set($nothing = '')" if status_code in ("204", "205", "304") else "$input.body"
    return (
        "#set($result = $input.path('$'))"
        "#if($result.containsKey('errorMessage') == true && $result.errorMessage == \"\")"
        f"#set($context.responseOverride.status = 500){INTERNAL_ERROR}#{{else}}{result}#end"
    )


def _response(
    status_code: str, template: str, headers: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    parameters = {
        f"method.response.header.{name}": source
        for name, source in headers.get(status_code, {}).items()
    }
    response: dict[str, Any] = {
        "statusCode": status_code,
        "responseTemplates": {JSON_MEDIA_TYPE: template},
    }
    return response | ({"responseParameters": parameters} if parameters else {})


def read_header_sources(
    responses: Mapping[str, Any], path: Path, positions: Any, problems: Problems
) -> dict[str, dict[str, str]]:
    """Where each declared response header's value comes from, by status code."""
    result: dict[str, dict[str, str]] = {}
    for code, response in responses.items():
        headers = response.get("headers") if isinstance(response, dict) else None
        for name, header in (headers or {}).items() if isinstance(headers, dict) else ():
            header = header if isinstance(header, dict) else {}
            schema = header.get("schema", header)
            value = header.get(VALUE_KEY)
            if value is None and isinstance(schema, dict) and "default" in schema:
                value = f"'{schema['default']}'"
            where = positions((*path, code, "headers", name))
            if value is None:
                problems.notice(
                    f"nothing gives the response header `{name}` a value",
                    where=where,
                    hint=f"give it `{VALUE_KEY}`: `$.member` of the result, or `'text'`",
                )
                continue
            source = _header_source(str(value))
            if source:
                result.setdefault(str(code), {})[str(name)] = source
            else:
                problems.error(
                    f"`{value}` is no source of a response header",
                    where=where,
                    hint="`$.member` of the result, `'text'` in quotes, `context.…`,"
                    " `stageVariables.…` or `integration.response.…`",
                )
    return result


def _header_source(value: str) -> str:
    if value.startswith("$."):
        return f"integration.response.body.{value[2:]}"
    if len(value) > 1 and value[0] == value[-1] == "'":
        return value
    known = ("integration.response.", "context.", "stageVariables.")
    return value if value.startswith(known) else ""
