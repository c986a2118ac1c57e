"""Requests that botocore does not write, but other clients do."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.model import ServiceModel

from lamington.core.http import Headers, Request
from lamington.wire.parse import parse_request, parse_text
from lamington.wire.services import (
    MalformedInput,
    NotEmulated,
    PathRouter,
    SerializationException,
    Service,
    Services,
    UnknownOperationException,
)

SERVICES = Services()
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SHAPES: Mapping[str, Any] = {
    "Input": {
        "type": "structure",
        "members": {
            "Flat": {"shape": "Texts", "flattened": True},
            "FlatMap": {"shape": "TextMap", "flattened": True},
            "Map": {"shape": "TextMap"},
            "Long": {"shape": "Long"},
            "Ratio": {"shape": "Double"},
            "When": {"shape": "When"},
            "Blob": {"shape": "Blob"},
            "On": {"shape": "Boolean"},
        },
    },
    "Places": {
        "type": "structure",
        "members": {
            "Json": {
                "shape": "Text",
                "jsonvalue": True,
                "location": "header",
                "locationName": "X-Json",
            },
            "Many": {"shape": "Texts", "location": "header", "locationName": "X-Many"},
            "Prefixed": {"shape": "TextMap", "location": "headers", "locationName": "X-Meta-"},
            "When": {"shape": "When", "location": "header", "locationName": "X-When"},
            "Rest": {"shape": "Text", "location": "uri", "locationName": "rest"},
            "Text": {"shape": "Text"},
        },
        "payload": "Text",
    },
    "Texts": {"type": "list", "member": {"shape": "Text"}},
    "TextMap": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Text"}},
    "Text": {"type": "string"},
    "Long": {"type": "long"},
    "Double": {"type": "double"},
    "When": {"type": "timestamp"},
    "Blob": {"type": "blob"},
    "Boolean": {"type": "boolean"},
}


def made_service(protocol: str, uri: str = "/") -> Service:
    """A service with shapes that the six emulated ones happen not to use."""
    shape = "Places" if protocol == "rest-json" else "Input"
    model = ServiceModel(
        {
            "metadata": {"protocol": protocol, "apiVersion": "2026-01-01", "jsonVersion": "1.1"},
            "operations": {
                "Bake": {
                    "name": "Bake",
                    "http": {"method": "POST", "requestUri": uri},
                    "input": {"shape": shape},
                },
                "Idle": {"name": "Idle", "http": {"method": "GET", "requestUri": "/idle"}},
            },
            "shapes": SHAPES,
        },
        "bakery",
    )
    router = PathRouter({"Bake": ("POST", uri), "Idle": ("GET", "/idle")})
    return Service(
        name="bakery",
        protocol=protocol,
        model=model,
        operations=frozenset({"Bake", "Idle"}),
        router=router,
        errors={},
    )


def form(text: str) -> Request:
    return Request(
        method="POST",
        path="/",
        headers=Headers([("Content-Type", "application/x-www-form-urlencoded")]),
        body=text.encode(),
    )


def document(text: str) -> Request:
    return Request(
        method="POST",
        path="/",
        headers=Headers([("X-Amz-Target", "Bakery.Bake")]),
        body=text.encode(),
    )


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        ("Flat.1=a&Flat.2=b", {"Flat": ["a", "b"]}),
        ("Flat.10=b&Flat.9=a", {"Flat": ["a", "b"]}),
        ("FlatMap.1.key=a&FlatMap.1.value=b", {"FlatMap": {"a": "b"}}),
        ("Map.entry.1.key=a&Map.entry.1.value=b", {"Map": {"a": "b"}}),
        ("Map.entry.1.key=a", {"Map": {"a": ""}}),
        ("Flat=", {"Flat": []}),
        ("Flat.x=a&Flat.12345678901=b", {"Flat": []}),
        ("Long=-7&Ratio=1e3&On=TRUE", {"Long": -7, "Ratio": 1000.0, "On": True}),
        ("When=2026-01-02T03%3A04%3A05Z&Blob=YWI%3D", {"When": MOMENT, "Blob": b"ab"}),
        ("Unknown=1&Flat.1.2.3=x&.=1&..=2", {"Flat": [""]}),
    ],
)
def test_form_fields_become_parameters(fields: str, params: dict[str, Any]) -> None:
    assert parse_request(form(f"Action=Bake&{fields}"), made_service("query")) == ("Bake", params)


def test_an_operation_without_input_has_no_parameters() -> None:
    assert parse_request(form("Action=Idle&x=1"), made_service("query")) == ("Idle", {})
    request = Request(method="GET", path="/idle", query="x=1")
    assert parse_request(request, made_service("rest-json")) == ("Idle", {})


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ('{"When": 1767323045}', {"When": MOMENT}),
        ('{"When": 1767323045.5}', {"When": MOMENT.replace(microsecond=500_000)}),
        ('{"When": "1767323045"}', {"When": MOMENT}),
        ('{"When": "2026-01-02T03:04:05Z"}', {"When": MOMENT}),
        ('{"When": "2026-01-02T05:04:05+02:00"}', {"When": MOMENT}),
        ('{"When": "2026-01-02T03:04:05"}', {"When": MOMENT}),
        ('{"When": "Fri, 02 Jan 2026 03:04:05 GMT"}', {"When": MOMENT}),
        ('{"Long": 3.0, "Ratio": 2}', {"Long": 3, "Ratio": 2.0}),
        ('{"Ratio": "Infinity"}', {"Ratio": float("inf")}),
        ('{"Long": null, "Other": 1}', {}),
        ('{"Map": {"a": null, "b": "c"}, "Flat": [null, "d"]}', {"Map": {"b": "c"}, "Flat": ["d"]}),
        ("", {}),
    ],
)
def test_documents_become_parameters(text: str, params: dict[str, Any]) -> None:
    assert parse_request(document(text), made_service("json")) == ("Bake", params)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "Start of list found where not expected"),
        ('"x"', "Unexpected STRING_VALUE: expected a structure"),
        ('{"Flat": "x"}', "Unexpected STRING_VALUE: expected a list"),
        ('{"Map": 1}', "Unexpected NUMBER_VALUE: expected a map"),
        ('{"Flat": [1]}', "NUMBER_VALUE can not be converted to a String"),
        ('{"Long": 1.5}', "DECIMAL_VALUE can not be converted to a Long"),
        ('{"Long": true}', "TRUE_VALUE can not be converted to a Long"),
        ('{"On": "false"}', "STRING_VALUE can not be converted to a Boolean"),
        ('{"Ratio": "x"}', "STRING_VALUE can not be converted to a Double"),
        ('{"Ratio": false}', "FALSE_VALUE can not be converted to a Double"),
        ('{"Blob": 1}', "NUMBER_VALUE can not be converted to a Blob"),
        ('{"Blob": "*"}', "The value is not valid base64"),
        ('{"When": true}', "TRUE_VALUE can not be converted to a Timestamp"),
        ('{"When": "soon"}', "`soon` can not be converted to a Timestamp"),
        ('{"When": 1e300}', "`1e+300` can not be converted to a Timestamp"),
        ('{"When": "NaN"}', "`NaN` can not be converted to a Timestamp"),
        ("null", "Unexpected NULL_VALUE: expected a structure"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(text: str, message: str) -> None:
    with pytest.raises(SerializationException) as refused:
        parse_request(document(text), made_service("json"))
    assert refused.value.message == message


@pytest.mark.parametrize("text", ["{", "\xff", "NaN", '{"Flat": ' + "[" * 100_000])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(SerializationException):
        parse_request(document(text), made_service("json"))


def test_members_of_the_head_are_read_from_the_head() -> None:
    request = Request(
        method="POST",
        path="/bake/a%2Fb/c",
        headers=Headers(
            [
                ("X-Json", "eyJhIjogMX0="),
                ("X-Many", "a, b"),
                ("x-many", "c"),
                ("X-Meta-One", "1"),
                ("X-When", "Fri, 02 Jan 2026 03:04:05 GMT"),
            ]
        ),
        body="text é".encode(),
    )
    assert parse_request(request, made_service("rest-json", "/bake/{rest+}")) == (
        "Bake",
        {
            "Json": {"a": 1},
            "Many": ["a", "b", "c"],
            "Prefixed": {"One": "1"},
            "When": MOMENT,
            "Rest": "a/b/c",
            "Text": "text é",
        },
    )


@pytest.mark.parametrize(
    ("kind", "text"), [("Long", "x"), ("Ratio", ""), ("On", "yes"), ("When", "x")]
)
def test_text_of_the_wrong_form_is_refused_as_the_protocol_does(kind: str, text: str) -> None:
    shape = made_service("query").operation("Bake").input_shape
    assert shape is not None
    with pytest.raises(MalformedInput, match="can not be converted to a"):
        parse_text(shape.members[kind], text, MalformedInput)


def test_a_path_that_is_no_operation_is_refused() -> None:
    with pytest.raises(UnknownOperationException, match="`PATCH /2015-03-31/functions`"):
        parse_request(
            Request(method="PATCH", path="/2015-03-31/functions"), SERVICES.require("lambda")
        )


def test_a_target_that_is_no_operation_is_refused() -> None:
    request = Request(method="POST", path="/", headers=Headers([("X-Amz-Target", "Logs.Nothing")]))
    with pytest.raises(UnknownOperationException):
        parse_request(request, SERVICES.require("logs"))


def test_a_protocol_that_is_not_spoken_is_refused() -> None:
    with pytest.raises(NotEmulated, match="`rest-xml`"):
        parse_request(form(""), made_service("rest-xml"))


@pytest.mark.parametrize(
    ("method", "path", "query", "operation", "labels"),
    [
        ("GET", "/2018-10-31/layers", "", "ListLayers", {}),
        (
            "GET",
            "/2018-10-31/layers",
            "find=LayerVersion&Arn=x",
            "GetLayerVersionByArn",
            {},
        ),
        (
            "DELETE",
            "/2015-03-31/functions/f/policy/s%20t",
            "",
            "RemovePermission",
            {"FunctionName": "f", "StatementId": "s t"},
        ),
        (
            "GET",
            "/2017-03-31/tags/arn%3Aaws%3Alambda%3Ar%3Aa%3Afunction%3Af",
            "",
            "ListTags",
            {"Resource": "arn:aws:lambda:r:a:function:f"},
        ),
    ],
)
def test_the_path_and_its_constants_name_the_operation(
    method: str, path: str, query: str, operation: str, labels: dict[str, str]
) -> None:
    router = SERVICES.require("lambda").router
    assert router is not None
    found = router.match(Request(method=method, path=path, query=query))
    assert found is not None
    assert (found.operation, found.labels) == (operation, labels)


def test_a_literal_segment_beats_a_label_and_gives_way_when_it_leads_nowhere() -> None:
    router = PathRouter(
        {
            "Label": ("GET", "/{a}/x"),
            "Literal": ("GET", "/static/y"),
            "Rest": ("GET", "/{a}/{rest+}"),
        }
    )
    found = {
        path: match.operation if (match := router.match(Request(method="GET", path=path))) else ""
        for path in ("/static/y", "/static/x", "/o/x", "/o/p/q", "/", "/o")
    }
    assert found == {
        "/static/y": "Literal",
        "/static/x": "Label",
        "/o/x": "Label",
        "/o/p/q": "Rest",
        "/": "",
        "/o": "",
    }
