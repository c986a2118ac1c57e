"""Responses that the emulated services' models happen not to ask for, and the texts of errors."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.model import ServiceModel

from lamington.core.errors import AwsError
from lamington.core.http import Headers
from lamington.wire.serialize import render_error, render_result, render_unknown_service_error
from lamington.wire.services import NotEmulated, Service, Services

SERVICES = Services()
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
SHAPES: Mapping[str, Any] = {
    "Body": {
        "type": "structure",
        "members": {
            "Flat": {"shape": "Texts", "flattened": True},
            "FlatMap": {"shape": "TextMap", "flattened": True},
            "When": {"shape": "When"},
            "Day": {"shape": "Day"},
            "Blob": {"shape": "Blob"},
            "Text": {"shape": "Text"},
        },
    },
    "Head": {
        "type": "structure",
        "members": {
            "Json": {
                "shape": "Text",
                "jsonvalue": True,
                "location": "header",
                "locationName": "X-Json",
            },
            "Many": {"shape": "Texts", "location": "header", "locationName": "X-Many"},
            "Meta": {"shape": "TextMap", "location": "headers", "locationName": "X-Meta-"},
            "When": {"shape": "When", "location": "header", "locationName": "X-When"},
            "Inner": {"shape": "Body"},
        },
        "payload": "Inner",
    },
    "Texts": {"type": "list", "member": {"shape": "Text"}},
    "TextMap": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Text"}},
    "Text": {"type": "string"},
    "When": {"type": "timestamp"},
    "Day": {"type": "timestamp", "timestampFormat": "iso8601"},
    "Blob": {"type": "blob"},
}


def made_service(protocol: str, shape: str = "Body") -> Service:
    model = ServiceModel(
        {
            "metadata": {"protocol": protocol, "apiVersion": "2026-01-01", "jsonVersion": "1.1"},
            "operations": {
                "Bake": {
                    "name": "Bake",
                    "http": {"method": "POST", "requestUri": "/"},
                    "output": {"shape": shape},
                }
            },
            "shapes": SHAPES,
        },
        "bakery",
    )
    return Service(
        name="bakery",
        protocol=protocol,
        model=model,
        operations=frozenset({"Bake"}),
        router=None,
        errors={},
    )


def body_of(protocol: str, result: dict[str, Any]) -> str:
    return render_result(made_service(protocol), "Bake", result, "r").body.decode()


@pytest.mark.parametrize(
    ("result", "xml"),
    [
        ({"Flat": ["a", "b"]}, "<Flat>a</Flat><Flat>b</Flat>"),
        (
            {"FlatMap": {"a": "b"}},
            "<FlatMap><key>a</key><value>b</value></FlatMap>",
        ),
        ({"When": MOMENT}, "<When>2026-01-02T03:04:05.678Z</When>"),
        ({"Blob": b"ab"}, "<Blob>YWI=</Blob>"),
        ({"Text": "<a & b>\r\n"}, "<Text>&lt;a &amp; b&gt;&#xD;\n</Text>"),
        ({"Text": "\x1b[31m"}, "<Text>\ufffd[31m</Text>"),
        ({"Text": None, "Unknown": 1}, ""),
    ],
)
def test_results_as_xml(result: dict[str, Any], xml: str) -> None:
    assert body_of("query", result) == (
        f'<BakeResponse xmlns="">{xml}<ResponseMetadata><RequestId>r</RequestId>'
        "</ResponseMetadata></BakeResponse>"
    )


@pytest.mark.parametrize(
    ("result", "document"),
    [
        ({"When": MOMENT}, '{"When":1767323045.678}'),
        ({"When": MOMENT.replace(microsecond=0)}, '{"When":1767323045}'),
        ({"When": 1767323045}, '{"When":1767323045}'),
        ({"Day": MOMENT}, '{"Day":"2026-01-02T03:04:05.678Z"}'),
        ({"Blob": "ab"}, '{"Blob":"YWI="}'),
        ({"Flat": ["a", None], "FlatMap": {"a": None}}, '{"Flat":["a",null],"FlatMap":{"a":null}}'),
        ({"Text": None, "Unknown": 1}, "{}"),
    ],
)
def test_results_as_documents(result: dict[str, Any], document: str) -> None:
    assert body_of("json", result) == document


def test_members_of_the_head_are_written_to_the_head() -> None:
    response = render_result(
        made_service("rest-json", "Head"),
        "Bake",
        {
            "Json": {"a": 1},
            "Many": ["a", "b"],
            "Meta": {"One": "1"},
            "When": MOMENT,
            "Inner": {"Text": "t"},
        },
        "r",
    )
    headers = Headers(response.headers)
    assert headers.get("X-Json") == "eyJhIjoxfQ=="
    assert headers.get("X-Many") == "a, b"
    assert headers.get("X-Meta-One") == "1"
    assert headers.get("X-When") == "Fri, 02 Jan 2026 03:04:05 GMT"
    assert headers.get("Content-Type") == "application/json"
    assert response.body == b'{"Text":"t"}'


def test_a_result_without_output_is_an_empty_body() -> None:
    deleted = render_result(SERVICES.require("apigateway"), "DeleteRestApi", {}, "r")
    assert (deleted.status, deleted.body) == (202, b"")


def test_a_payload_may_be_text() -> None:
    response = render_result(
        SERVICES.require("apigateway"), "GetExport", {"body": "text", "contentType": "a/b"}, "r"
    )
    assert (response.body, Headers(response.headers).get("content-type")) == (b"text", "a/b")


def test_a_fault_of_ours_is_the_receiver_s() -> None:
    class ServiceFailure(AwsError):
        status = 500
        fault = "Receiver"

    response = render_error(SERVICES.require("iam"), ServiceFailure("m"), "r")
    assert response.status == 500
    assert b"<Type>Receiver</Type><Code>ServiceFailure</Code>" in response.body


def test_a_modelled_fault_of_a_json_service_is_a_500() -> None:
    class ServiceUnavailableException(AwsError):
        status = 503
        fault = "Receiver"

    error = render_error(SERVICES.require("logs"), ServiceUnavailableException("m"), "r")
    assert error.status == 500


def test_the_message_of_an_error_is_escaped() -> None:
    class ValidationError(AwsError):
        pass

    response = render_error(SERVICES.require("cloudformation"), ValidationError("<a>&\x00"), "r")
    assert b"<Message>&lt;a&gt;&amp;\xef\xbf\xbd</Message>" in response.body


@pytest.mark.parametrize(
    ("is_xml", "is_json", "start"),
    [(True, False, b"<ErrorResponse>"), (False, True, b'{"__type"'), (False, False, b'{"message"')],
)
def test_an_unknown_service_is_refused_in_the_client_s_form(
    is_xml: bool, is_json: bool, start: bytes
) -> None:
    response = render_unknown_service_error(
        NotEmulated("m"), is_xml=is_xml, is_json=is_json, request_id="r"
    )
    assert response.status == 501
    assert response.body.startswith(start)
