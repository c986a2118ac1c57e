"""Models as judges of request bodies: whether a body is valid, and if not why, in AWS's words.

jsonschema-rs judges; what it finds invalid is then gone through once more for the sentences, in
the order of the validator whose sentences AWS shows. Which model judges is `validation`'s.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from lamington.core.errors import LamingtonError
from lamington.gateway.definition_schemas import MODEL_PLACE
from lamington.gateway.entities import RestApi

if TYPE_CHECKING:
    import jsonschema_rs

DRAFT_4 = "http://json-schema.org/draft-04/schema#"
VALUES_EXPLAINED_MAX = 2_000
REFERENCES_MAX = 100

_MODEL = re.compile(r"https?://apigateway\.amazonaws\.com/restapis/[^/]*/models/([A-Za-z0-9]+)")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_FORMATS: Mapping[str, Callable[[str], bool]] = {
    "date": lambda text: True,
    "time": lambda text: True,
    "uuid": lambda text: _UUID.fullmatch(text) is not None,
}
_FORMAT_FAULTS: Mapping[str, str] = {
    "date-time": 'string "{}" is invalid against requested date format(s)'
    " [yyyy-MM-dd'T'HH:mm:ssZ, yyyy-MM-dd'T'HH:mm:ss.[0-9]{{1,12}}Z]",
    "email": 'string "{}" is not a valid email address',
    "hostname": 'string "{}" is not a valid hostname',
    "ipv4": 'string "{}" is not a valid IPv4 address',
    "ipv6": 'string "{}" is not a valid IPv6 address',
    "regex": 'string "{}" is not a valid ECMA 262 regular expression',
    "uri": 'string "{}" is not a valid URI',
    "uuid": 'input string "{}" is not a valid UUID',
}


class SchemaError(LamingtonError):
    """A model that cannot judge: no JSON Schema of draft 4, or with a reference to nowhere."""


@dataclass(frozen=True, slots=True)
class ModelJudge:
    """A compiled model. `accepts` is the verdict, `faults` the sentences for a refused value."""

    accepts: Callable[[Any], bool]
    faults: Callable[[Any], list[str]]


def compile_model(api: RestApi, name: str) -> ModelJudge:
    """Compile a model of the API, with all models that it refers to; raises SchemaError.

    AWS: JSON Schema draft 4 whatever `$schema` says. Formats that draft 4 does not have, such as
    `date`, are not checked, save `uuid` (the behaviour of the validator whose sentences AWS shows).
    Differs: of a body with more than 2,000 values only that many are gone through for sentences.
    """
    # Four megabytes that an engine without models need not have.
    import jsonschema_rs

    def retrieve(uri: str) -> dict[str, Any]:
        found = _MODEL.fullmatch(uri)
        if found is None:
            raise SchemaError(f"`{uri}` is no model of this API")
        return _document(api, found[1])

    place = MODEL_PLACE.format(api_id=api.api_id) + name
    document = _document(api, name)
    try:
        validator = jsonschema_rs.Draft4Validator(
            document, formats=dict(_FORMATS), base_uri=place, retriever=retrieve
        )
        registry = jsonschema_rs.Registry(
            [(place, document)], draft=jsonschema_rs.Draft4, retriever=retrieve
        )
    except (ValueError, jsonschema_rs.ReferencingError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise SchemaError(f"Model `{name}` does not compile: {reason}") from None
    resolver = registry.resolver(place)

    def accepts(value: Any) -> bool:
        try:
            return validator.is_valid(value)
        except ValueError:
            return False  # The value is deeper than the judge goes.

    def faults(value: Any) -> list[str]:
        report = _Report()
        with suppress(_TooManyValues, RecursionError):
            _process(document, resolver, value, report)
        return report.faults or [_first_fault(validator, value)]

    return ModelJudge(accepts, faults)


def is_schema(schema: Mapping[str, Any]) -> bool:
    """Whether an object is a schema of draft 4, whatever `$schema` it names."""
    import jsonschema_rs

    return jsonschema_rs.meta.is_valid({**schema, "$schema": DRAFT_4})


def _document(api: RestApi, name: str) -> dict[str, Any]:
    model = api.models.get(name)
    if model is None:
        raise SchemaError(f"Model `{name}` does not exist")
    try:
        document = msgspec.json.decode(model.schema or "{}")
    except (msgspec.DecodeError, RecursionError):
        raise SchemaError(f"Model `{name}` is not JSON") from None
    if not isinstance(document, dict):
        raise SchemaError(f"Model `{name}` is no schema")
    # A schema's own `id` would move the place that its references start from.
    return {key: each for key, each in document.items() if key != "id"} | {"$schema": DRAFT_4}


def _first_fault(validator: "jsonschema_rs.Draft4Validator", value: Any) -> str:
    """What the judge itself says, for a value that was not gone through to the end."""
    try:
        for error in validator.iter_errors(value):
            return error.message
    except ValueError as error:
        return str(error)
    return "instance is not valid"


# The sentences


class _TooManyValues(LamingtonError):
    pass


@dataclass(slots=True)
class _Report:
    """The sentences so far; sub-schemas have reports of their own, on one common count."""

    faults: list[str] = field(default_factory=list)
    counted: list[int] = field(default_factory=lambda: [0])

    def accepts(self, schema: Any, resolver: "jsonschema_rs.Resolver", value: Any) -> bool:
        part = _Report(counted=self.counted)
        _process(schema, resolver, value, part)
        return not part.faults


def _process(schema: Any, resolver: "jsonschema_rs.Resolver", value: Any, report: _Report) -> None:
    """Go through the keywords by name, then the members unless there is a fault by then."""
    report.counted[0] += 1
    if report.counted[0] > VALUES_EXPLAINED_MAX:
        raise _TooManyValues("too many values")
    for _ in range(REFERENCES_MAX):
        if not isinstance(schema.get("$ref"), str):
            break
        found = resolver.lookup(schema["$ref"])
        schema, resolver = found.contents, found.resolver
    kind = _type_of(value)
    for keyword in sorted(schema):
        report.faults += _plain_faults(keyword, schema, kind, value)
        _combined(keyword, schema, resolver, value, report)
    if kind == "string" and "format" in schema and not _holds({"format": schema["format"]}, value):
        text = _FORMAT_FAULTS.get(schema["format"], 'string "{}" is not valid')
        report.faults.append(text.format(value))
    if not report.faults:
        _process_members(schema, resolver, value, report)


def _process_members(
    schema: Mapping[str, Any], resolver: "jsonschema_rs.Resolver", value: Any, report: _Report
) -> None:
    if isinstance(value, list):
        for index, item in enumerate(value):
            chosen = _item_schema(schema, index)
            if chosen is not None:
                _process(chosen, resolver, item, report)
    elif isinstance(value, dict):
        for name in sorted(value):
            for chosen in _member_schemas(schema, name):
                _process(chosen, resolver, value[name], report)


def _item_schema(schema: Mapping[str, Any], index: int) -> Mapping[str, Any] | None:
    items = schema.get("items")
    if isinstance(items, list):
        further = schema.get("additionalItems")
        chosen = items[index] if index < len(items) else further
    else:
        chosen = items
    return chosen if isinstance(chosen, dict) else None


def _member_schemas(schema: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    chosen = [schema["properties"][name]] if name in schema.get("properties", ()) else []
    for pattern, each in schema.get("patternProperties", {}).items():
        if _holds({"pattern": pattern}, name):
            chosen.append(each)
    further = schema.get("additionalProperties")
    if not chosen and isinstance(further, dict):
        chosen.append(further)
    return chosen


def _holds(schema: dict[str, Any], value: Any) -> bool:
    import jsonschema_rs

    return jsonschema_rs.is_valid(
        schema, value, draft=jsonschema_rs.Draft4, formats=dict(_FORMATS), offline=True
    )


def _combined(
    keyword: str,
    schema: Mapping[str, Any],
    resolver: "jsonschema_rs.Resolver",
    value: Any,
    report: _Report,
) -> None:
    """The faults of keywords that are made of other schemas."""
    if keyword in ("allOf", "anyOf", "oneOf"):
        schemas = schema[keyword]
        matched = sum(report.accepts(each, resolver, value) for each in schemas)
        if keyword == "allOf" and matched < len(schemas):
            text = "all required schemas (matched only {} out of {})"
        elif keyword == "oneOf" and matched != 1:
            text = "exactly one schema (matched {} out of {})"
        elif keyword == "anyOf" and not matched:
            text = "at least one required schema among {1}"
        else:
            return
        report.faults.append("instance failed to match " + text.format(matched, len(schemas)))
    elif keyword == "not":
        if report.accepts(schema[keyword], resolver, value):
            report.faults.append("instance matched a schema which it should not have")
    elif keyword == "dependencies" and isinstance(value, dict):
        for name, needed in sorted(schema[keyword].items()):
            if name not in value:
                continue
            if isinstance(needed, dict):
                _process(needed, resolver, value, report)
            elif missing := [each for each in needed if each not in value]:
                report.faults.append(
                    f'property "{name}" of object has missing property dependencies (schema'
                    f" requires {_json(sorted(needed))}; missing: {_json(sorted(missing))})"
                )


def _plain_faults(keyword: str, schema: dict[str, Any], kind: str, value: Any) -> list[str]:
    """The fault of a keyword that speaks of one value alone."""
    if keyword in ("additionalProperties", "additionalItems"):
        return _additional_faults(keyword, schema, value)
    word = _WORDS.get((keyword, kind)) or _WORDS.get((keyword, ""))
    if word is None:
        return []
    rule = {keyword: schema[keyword]}
    if keyword in ("minimum", "maximum"):
        companion = f"exclusive{keyword.capitalize()}"
        rule[companion] = schema.get(companion, False)
    return [] if _holds(rule, value) else [word(schema[keyword], value)]


def _additional_faults(keyword: str, schema: Mapping[str, Any], value: Any) -> list[str]:
    if schema[keyword] is not False:
        return []
    if keyword == "additionalItems":
        items = schema.get("items")
        if isinstance(value, list) and isinstance(items, list) and len(value) > len(items):
            return [
                f"schema only allows {len(items)} elements in array but instance has"
                f" {len(value)} elements"
            ]
        return []
    if not isinstance(value, dict):
        return []
    unwanted = sorted(name for name in value if not _member_schemas(schema, name))
    text = "object instance has properties which are not allowed by the schema: "
    return [text + _json(unwanted)] if unwanted else []


_Word = Callable[[Any, Any], str]


def _word_type(wanted: Any, value: Any) -> str:
    allowed = {wanted} if isinstance(wanted, str) else set(wanted)
    if "number" in allowed:
        allowed.add("integer")
    return (
        f"instance type ({_type_of(value)}) does not match any allowed primitive type"
        f" (allowed: {_json(sorted(allowed))})"
    )


def _word_required(wanted: Any, value: Any) -> str:
    missing = sorted(name for name in wanted if name not in value)
    return f"object has missing required properties ({_json(missing)})"


def _word_minimum(limit: Any, value: Any) -> str:
    if value < limit:
        return (
            "numeric instance is lower than the required minimum"
            f" (minimum: {_json(limit)}, found: {_json(value)})"
        )
    return f"numeric instance is not strictly greater than the required minimum {_json(limit)}"


def _word_maximum(limit: Any, value: Any) -> str:
    if value > limit:
        return (
            "numeric instance is greater than the required maximum"
            f" (maximum: {_json(limit)}, found: {_json(value)})"
        )
    return f"numeric instance is not strictly lower than the required maximum {_json(limit)}"


_WORDS: Mapping[tuple[str, str], _Word] = {
    ("type", ""): _word_type,
    ("enum", ""): lambda wanted, value: (
        f"instance value ({_json(value)}) not found in enum (possible values: {_json(wanted)})"
    ),
    ("minLength", "string"): lambda limit, value: (
        f'string "{value}" is too short (length: {len(value)}, required minimum: {limit})'
    ),
    ("maxLength", "string"): lambda limit, value: (
        f'string "{value}" is too long (length: {len(value)}, maximum allowed: {limit})'
    ),
    ("pattern", "string"): lambda pattern, value: (
        f'ECMA 262 regex "{pattern}" does not match input string "{value}"'
    ),
    ("minimum", "integer"): _word_minimum,
    ("minimum", "number"): _word_minimum,
    ("maximum", "integer"): _word_maximum,
    ("maximum", "number"): _word_maximum,
    ("multipleOf", "integer"): lambda divisor, value: (
        f"remainder of division is not zero ({_json(value)} / {_json(divisor)})"
    ),
    ("multipleOf", "number"): lambda divisor, value: (
        f"remainder of division is not zero ({_json(value)} / {_json(divisor)})"
    ),
    ("minItems", "array"): lambda limit, value: (
        f"array is too short: must have at least {limit} elements but instance has"
        f" {len(value)} elements"
    ),
    ("maxItems", "array"): lambda limit, value: (
        f"array is too long: must have at most {limit} elements but instance has"
        f" {len(value)} elements"
    ),
    ("uniqueItems", "array"): lambda wanted, value: "array must not contain duplicate elements",
    ("required", "object"): _word_required,
    ("minProperties", "object"): lambda limit, value: (
        f"object has too few properties (found {len(value)} but schema requires at least {limit})"
    ),
    ("maxProperties", "object"): lambda limit, value: (
        f"object has too many properties (found {len(value)} but schema requires at most {limit})"
    ),
}
"""The sentence of each keyword for the type of value that it speaks of, "" for every type."""


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    return _TYPES[type(value)]


_TYPES: Mapping[type, str] = {
    bool: "boolean",
    dict: "object",
    float: "number",
    int: "integer",
    list: "array",
    str: "string",
}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode("utf-8", "replace")
