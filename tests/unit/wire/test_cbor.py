from datetime import UTC, datetime
from typing import Any

import cbor2
import pytest

from lamington.core.errors import AwsError
from lamington.core.http import Headers, Request
from lamington.wire.parse import parse_request
from lamington.wire.serialize import render_error, render_result
from lamington.wire.services import SerializationException, Service, Services, spoken_by

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def request(body: bytes, operation: str = "GetMetricStatistics") -> Request:
    return Request(
        method="POST",
        path=f"/service/GraniteServiceVersion20100801/operation/{operation}",
        headers=Headers([("smithy-protocol", "rpc-v2-cbor")]),
        body=body,
    )


def service(body: bytes = b"") -> Service:
    return spoken_by(request(body), Services().require("monitoring"))


def parse(document: Any) -> dict[str, Any]:
    body = document if isinstance(document, bytes) else cbor2.dumps(document)
    return parse_request(request(body), service())[1]


def test_request_is_read_by_the_model() -> None:
    assert parse(
        {
            "Namespace": "N",
            "StartTime": cbor2.CBORTag(1, 1_767_355_200),
            "EndTime": cbor2.CBORTag(1, 1_767_355_200.0),
            "Period": 60,
            "Dimensions": [{"Name": "a", "Value": "b"}],
            "unknown": 1,
        }
    ) == {
        "Namespace": "N",
        "StartTime": NOON,
        "EndTime": NOON,
        "Period": 60,
        "Dimensions": [{"Name": "a", "Value": "b"}],
    }


@pytest.mark.parametrize(
    "document",
    [
        b"\xff",
        b"\x81" * 5000,
        b"\xa1\x61a",
        {"Period": "60"},
        {"Period": 1.5},
        {"Namespace": 7},
        {"Dimensions": {}},
        {"StartTime": "now"},
        {"StartTime": 1e300},
        [1],
    ],
)
def test_what_is_not_of_the_form_is_refused(document: Any) -> None:
    with pytest.raises(SerializationException):
        parse(document)


def test_result_is_written_by_the_model() -> None:
    result = {"Label": "M", "Datapoints": [{"Timestamp": NOON, "Sum": 3, "Unit": None}]}
    response = render_result(service(), "GetMetricStatistics", result, "id-1")
    assert ("smithy-protocol", "rpc-v2-cbor") in list(response.headers)
    assert cbor2.loads(response.body) == {
        "Label": "M",
        "Datapoints": [{"Timestamp": NOON, "Sum": 3.0}],
    }
    assert b"\xc1" in response.body


def test_refusal_names_the_shape_and_the_older_code() -> None:
    class MissingRequiredParameterException(AwsError):
        status = 400

    refusal = MissingRequiredParameterException("what is missing")
    response = render_error(service(), refusal, "id-1")
    assert response.status == 400
    assert ("x-amzn-query-error", "MissingParameter;Sender") in list(response.headers)
    assert cbor2.loads(response.body) == {
        "__type": "MissingRequiredParameterException",
        "message": "what is missing",
    }


def test_unknown_operation_is_refused() -> None:
    with pytest.raises(AwsError):
        parse_request(request(b"", "Fly"), service())
