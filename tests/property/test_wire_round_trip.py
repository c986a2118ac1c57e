"""Botocore's clients and our wire understand each other, for any operation and any values."""

import asyncio
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.awsrequest import HeadersDict, create_request_object, prepare_request_dict
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Ids
from lamington.core.errors import AwsError
from lamington.core.http import Headers, Request, Response
from lamington.wire.dispatch import Dispatcher
from lamington.wire.parse import parse_request
from lamington.wire.serialize import render_error, render_result
from lamington.wire.services import EMULATED, MODEL_NAMES, SUPPORTED_PROTOCOLS, Service, Services

SERVICES = Services()
QUICK = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
DEPTH_MAX = 4
XML_TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), max_codepoint=0x1FFFF), max_size=12
).filter(lambda text: not any(ord(letter) & 0xFFFE == 0xFFFE for letter in text))
HEADER_TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
LABEL_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda text: text not in (".", "..")
)
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)


def values_of(shape: Any, depth: int = 0, location: str = "") -> st.SearchStrategy[Any]:
    if getattr(shape, "is_document_type", False):
        return st.dictionaries(XML_TEXT, st.integers(0, 9), max_size=2)
    match shape.type_name:
        case "structure":
            return structures_of(shape, depth)
        case "list":
            least = 1 if location or depth >= DEPTH_MAX else 0
            items = values_of(shape.member, depth + 1, location)
            return st.lists(items, min_size=least, max_size=2)
        case "map":
            keys = LABEL_TEXT.map(lambda text: f"key {text}") if location else XML_TEXT
            entries = values_of(shape.value, depth + 1, location)
            return st.dictionaries(keys, entries, min_size=1 if location else 0, max_size=2)
        case "boolean":
            return st.booleans()
        case "integer" | "long":
            return st.integers(-(2**31), 2**31 - 1)
        case "float" | "double":
            return st.floats(allow_nan=False, allow_infinity=False, width=32)
        case "timestamp":
            return MOMENTS
        case "blob":
            return st.binary(min_size=1, max_size=20)
        case _:
            return {"uri": LABEL_TEXT, "header": HEADER_TEXT}.get(location, XML_TEXT)


def structures_of(shape: Any, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    members = {
        name: member
        for name, member in shape.members.items()
        if depth < DEPTH_MAX or member.type_name not in ("structure", "list", "map")
    }
    always = {
        name for name, member in members.items() if member.serialization.get("location") == "uri"
    }
    names = st.sets(st.sampled_from(sorted(members)), max_size=6) if members else st.just(set())
    if shape.metadata.get("union") or getattr(shape, "is_tagged_union", False):
        names = st.sets(st.sampled_from(sorted(members)), min_size=1, max_size=1)

    def filled(chosen: set[str]) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries(
            {
                name: values_of(
                    members[name], depth + 1, str(members[name].serialization.get("location", ""))
                )
                for name in sorted(chosen | always)
            }
        )

    return names.flatmap(filled)


def without_empty(value: Any) -> Any:
    """What is left when empty structures, which form fields cannot tell, are taken away."""
    if isinstance(value, Mapping):
        kept = {key: without_empty(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in ({}, None)}
    if isinstance(value, list):
        return [item for item in map(without_empty, value) if item not in ({}, None)]
    return value


def sent(service: Service, operation: str, params: Params) -> Request:
    """The request that botocore makes of the call."""
    model = service.operation(operation)
    serializer = create_serializer(service.protocol, include_validation=False)
    request_dict = serializer.serialize_to_request(dict(params), model)
    prepare_request_dict(
        request_dict, endpoint_url="http://localhost:4566", context={}, user_agent="test"
    )
    prepared = create_request_object(request_dict).prepare()
    url = urlsplit(prepared.url)
    body = prepared.body or b""
    fields = [
        (name, value.decode() if isinstance(value, bytes) else str(value))
        for name, value in prepared.headers.items()
    ]
    return Request(
        method=prepared.method,
        path=url.path,
        query=url.query,
        headers=Headers(
            [
                *fields,
                ("Authorization", f"AWS4 Credential=a/b/us-east-1/{service.name}/aws4_request"),
            ]
        ),
        body=body if isinstance(body, bytes) else body.encode(),
    )


def received(service: Service, operation: str, response: Response) -> dict[str, Any]:
    """What botocore makes of the response."""
    parser = create_parser(service.protocol)
    model = service.operation(operation)
    answer = {
        "status_code": response.status,
        "headers": HeadersDict(response.headers),
        "body": response.body,
    }
    if model.has_streaming_output and response.status < 300:
        answer["body"] = BytesIO(response.body)
    parsed: dict[str, Any] = parser.parse(answer, model.output_shape)  # type: ignore[arg-type]
    return {
        key: value.read() if isinstance(value, BytesIO) else value for key, value in parsed.items()
    }


def whole_operations(service: Service) -> list[str]:
    return [
        name
        for name in sorted(service.operations)
        if not (model := service.operation(name)).has_event_stream_output
        and not model.has_event_stream_input
    ]


@pytest.mark.parametrize("name", EMULATED)
@QUICK
@given(data=st.data())
def test_what_botocore_sends_is_what_is_parsed(name: str, data: st.DataObject) -> None:
    service = SERVICES.require(name)
    operation = data.draw(st.sampled_from(whole_operations(service)))
    shape = service.operation(operation).input_shape
    params = data.draw(structures_of(shape, 0)) if shape else {}
    parsed_operation, parsed = parse_request(sent(service, operation, params), service)
    assert parsed_operation == operation
    if service.protocol == "query":
        assume(not _has_lost_items(params))
        assert without_empty(parsed) == without_empty(params)
    else:
        assert without_lost_places(shape, parsed) == without_lost_places(shape, params)


def _has_lost_items(value: Any) -> bool:
    """A list item that is an empty structure leaves no form field behind."""
    if isinstance(value, Mapping):
        return any(_has_lost_items(item) for item in value.values())
    if isinstance(value, list):
        return any(without_empty(item) in ({}, []) or _has_lost_items(item) for item in value)
    return False


def without_lost_places(shape: Any, params: Params) -> dict[str, Any]:
    """An empty payload structure is an empty body, which reads as none."""
    payload = shape.serialization.get("payload") if shape else None
    return {name: value for name, value in params.items() if not (name == payload and value == {})}


@pytest.mark.parametrize("name", EMULATED)
@QUICK
@given(data=st.data())
def test_what_is_rendered_is_what_botocore_reads(name: str, data: st.DataObject) -> None:
    service = SERVICES.require(name)
    operation = data.draw(st.sampled_from(whole_operations(service)))
    shape = service.operation(operation).output_shape
    result: Result = data.draw(structures_of(shape, 0)) if shape else {}
    for member_name, member in shape.members.items() if shape else ():
        if member.serialization.get("location") == "statusCode":
            result[member_name] = 202
    parsed = received(service, operation, render_result(service, operation, result, "id-1"))
    metadata = parsed.pop("ResponseMetadata")
    assert request_id_of(metadata) == "id-1"
    payload = shape.serialization.get("payload") if shape else None
    if payload and payload not in result:
        parsed.pop(payload, None)
    if "contentType" not in result:
        parsed.pop("contentType", None)  # A body always says what it is.
    assert comparable(parsed) == comparable(result)


def request_id_of(metadata: Mapping[str, Any]) -> str:
    """botocore takes it from CBOR's header only where the client shows headers."""
    found: str = metadata.get("RequestId") or metadata["HTTPHeaders"]["x-amzn-requestid"]
    return found


def comparable(value: Any) -> Any:
    """Values as both sides mean them: whole seconds, and no members that are empty."""
    value = without_empty(value)
    if isinstance(value, Mapping):
        return {key: comparable(item) for key, item in value.items() if item != []}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if isinstance(value, float) and math.isfinite(value):
        return float(repr(value))
    return value


@pytest.mark.parametrize("name", EMULATED)
@QUICK
@given(data=st.data(), message=XML_TEXT.filter(bool))
def test_every_modelled_error_reaches_botocore_with_its_code_and_status(
    name: str, data: st.DataObject, message: str
) -> None:
    service = SERVICES.require(name)
    code = data.draw(st.sampled_from(sorted(service.errors)))
    error = type(code, (AwsError,), {})(message)
    operation = data.draw(st.sampled_from(whole_operations(service)))
    parsed = received(service, operation, render_error(service, error, "id-1"))
    modelled = service.errors[code].metadata.get("error", {})
    metadata = service.model.metadata
    # The older code of the query protocol is kept by services that were its own once.
    has_query_code = service.protocol == "query" or "awsQueryCompatible" in metadata
    expected_code = modelled.get("code", code) if has_query_code else code
    assert parsed["Error"]["Code"] == expected_code
    assert parsed["Error"]["Message"] == message
    assert parsed["ResponseMetadata"]["HTTPStatusCode"] == modelled.get("httpStatusCode", 400)
    assert request_id_of(parsed["ResponseMetadata"]) == "id-1"


@settings(max_examples=150, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]),
    path=st.sampled_from(
        ["/", "/2015-03-31/functions", "/2015-03-31/functions/f/invocations", "/restapis"]
    ),
    query=st.text(max_size=20),
    service=st.sampled_from(EMULATED),
    target=st.sampled_from(["", "Logs_20140328.PutLogEvents", "x"]),
    body=st.one_of(
        st.binary(max_size=40),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=3),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
            max_leaves=5,
        ).map(lambda value: repr(value).replace("'", '"').encode("utf-8", "replace")),
        st.just(b"Action=CreateStack&Parameters.member.1.ParameterKey=a&Parameters=&..=&a..b=1"),
    ),
)
def test_no_request_at_all_makes_the_wire_fail(
    method: str, path: str, query: str, service: str, target: str, body: bytes
) -> None:
    async def answered(params: Params, scope: Scope) -> Result:
        return {}

    operations = {
        f"{name}:{each}": answered
        for name in EMULATED
        for each in SERVICES.require(name).operations
    }
    request = Request(
        method=method,
        path=path,
        query=query,
        headers=Headers(
            [
                ("Authorization", f"AWS4 Credential=a/b/us-east-1/{service}/aws4_request"),
                ("X-Amz-Target", target),
                ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
            ]
        ),
        body=body,
    )
    response = asyncio.run(Dispatcher(operations, Ids()).handle(request))
    assert response.status < 500


def test_every_emulated_service_speaks_a_protocol_that_boto3_chooses() -> None:
    session = botocore.session.get_session()
    chosen = {
        name: session.create_client(
            MODEL_NAMES.get(name, name),
            "us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
        ).meta.service_model.resolved_protocol
        for name in EMULATED
    }
    spoken = {
        name: SERVICES.require(name).model.metadata.get(
            "protocols", [SERVICES.require(name).protocol]
        )
        for name in EMULATED
    }
    assert {name for name in EMULATED if chosen[name] not in spoken[name]} == set()
    assert set(chosen.values()) <= set(SUPPORTED_PROTOCOLS)
