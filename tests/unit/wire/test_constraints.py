"""Bounds that models state, and the words in which AWS tells that they are broken."""

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.model import ServiceModel

from lamington.core.errors import AwsError
from lamington.wire.constraints import require_valid
from lamington.wire.services import Service

SHAPES: Mapping[str, Any] = {
    "Input": {
        "type": "structure",
        "required": ["Name"],
        "members": {
            "Name": {"shape": "Name"},
            "Count": {"shape": "Count"},
            "On": {"shape": "On"},
            "Secret": {"shape": "Secret"},
            "Blob": {"shape": "Blob"},
            "Names": {"shape": "Names"},
            "Counts": {"shape": "Counts"},
            "Cakes": {"shape": "Cakes"},
            "Tags": {"shape": "Tags"},
            "Shelves": {"shape": "Shelves"},
            "Java": {"shape": "Java"},
        },
    },
    "Name": {"type": "string", "min": 2, "max": 4, "pattern": "[a-z]*"},
    "Count": {"type": "integer", "min": 1, "max": 9},
    "On": {"type": "boolean"},
    "Secret": {"type": "string", "max": 3, "sensitive": True},
    "Blob": {"type": "blob", "max": 3},
    "Names": {"type": "list", "member": {"shape": "Name"}, "max": 2},
    "Counts": {"type": "list", "member": {"shape": "Count"}},
    "Cake": {"type": "structure", "members": {"Name": {"shape": "Name"}}, "required": ["Name"]},
    "Cakes": {"type": "list", "member": {"shape": "Cake"}},
    "Tags": {"type": "map", "key": {"shape": "Name"}, "value": {"shape": "Kind"}},
    "Shelves": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Cake"}},
    "Kind": {"type": "string", "enum": ["sweet", "salty"]},
    "Text": {"type": "string"},
    "Java": {"type": "string", "pattern": r"\p{L}+"},
}
BE = "failed to satisfy constraint: "
PATTERN = "Member must satisfy regular expression pattern: [a-z]*"
LONG = "Member must have length less than or equal to 4"
SHORT = "Member must have length greater than or equal to 2"


def service_named(name: str) -> Service:
    model = ServiceModel(
        {
            "metadata": {"protocol": "json", "apiVersion": "2026-01-01"},
            "operations": {
                "Bake": {
                    "name": "Bake",
                    "http": {"method": "POST", "requestUri": "/"},
                    "input": {"shape": "Input"},
                },
                "Idle": {"name": "Idle", "http": {"method": "POST", "requestUri": "/"}},
            },
            "shapes": SHAPES,
        },
        name,
    )
    return Service(
        name=name,
        protocol="json",
        model=model,
        operations=frozenset({"Bake", "Idle"}),
        router=None,
        errors={},
    )


def refusal(params: dict[str, Any], service: str = "iam") -> AwsError:
    with pytest.raises(AwsError) as refused:
        require_valid(service_named(service), "Bake", params)
    return refused.value


@pytest.mark.parametrize(
    ("params", "failure"),
    [
        ({"Name": "aB"}, f"Value 'aB' at 'name' {BE}{PATTERN}"),
        ({"Name": "a"}, f"Value 'a' at 'name' {BE}{SHORT}"),
        ({"Name": "abcde"}, f"Value 'abcde' at 'name' {BE}{LONG}"),
        (
            {"Count": 0},
            f"Value '0' at 'count' {BE}Member must have value greater than or equal to 1",
        ),
        (
            {"Count": 10},
            f"Value '10' at 'count' {BE}Member must have value less than or equal to 9",
        ),
        (
            {"Secret": "word"},
            f"Value at 'secret' {BE}Member must have length less than or equal to 3",
        ),
        (
            {"Blob": b"abcd"},
            f"Value 'java.nio.HeapByteBuffer[pos=0 lim=4 cap=4]' at 'blob' {BE}"
            "Member must have length less than or equal to 3",
        ),
        (
            {"Names": ["ab", "B"]},
            f"Value '[ab, B]' at 'names' {BE}Member must satisfy constraint:"
            f" [{LONG}, {SHORT}, {PATTERN}]",
        ),
        (
            {"Names": ["ab"] * 3},
            f"Value '[ab, ab, ab]' at 'names' {BE}Member must have length less than or equal to 2",
        ),
        (
            {"Counts": [0]},
            f"Value '[0]' at 'counts' {BE}Member must satisfy constraint: [Member must have value"
            " less than or equal to 9, Member must have value greater than or equal to 1]",
        ),
        (
            {"Cakes": [{"Name": "ab"}, {}]},
            f"Value null at 'cakes.2.member.name' {BE}Member must not be null",
        ),
        (
            {"Tags": {"B": "sweet"}},
            f"Value '{{B=sweet}}' at 'tags' {BE}Map keys must satisfy constraint:"
            f" [{LONG}, {SHORT}, {PATTERN}]",
        ),
        (
            {"Tags": {"ab": "sour"}},
            f"Value '{{ab=sour}}' at 'tags' {BE}Map value must satisfy constraint:"
            " [Member must satisfy enum value set: [sweet, salty]]",
        ),
        (
            {"Shelves": {"top": {"Name": "a"}}},
            f"Value 'a' at 'shelves.top.member.name' {BE}{SHORT}",
        ),
    ],
)
def test_each_broken_bound_is_told_in_aws_s_words(params: dict[str, Any], failure: str) -> None:
    assert refusal({"Name": "abc", **params}).message == f"1 validation error detected: {failure}"


def test_every_broken_bound_is_told_at_once() -> None:
    assert refusal({"Name": "B", "Count": 0}).message == (
        f"3 validation errors detected: Value 'B' at 'name' {BE}{PATTERN};"
        f" Value 'B' at 'name' {BE}{SHORT};"
        f" Value '0' at 'count' {BE}Member must have value greater than or equal to 1"
    )


@pytest.mark.parametrize(
    "params",
    [
        {"Name": "ab", "Count": 9, "On": True, "Blob": b"a", "Tags": {"ab": "sweet"}},
        {"Name": "ab", "Names": [None], "Cakes": [None], "Shelves": {"a": None}},
        {"Name": "ab", "Java": "any text: the pattern is not Python's"},
    ],
)
def test_what_is_within_bounds_passes(params: dict[str, Any]) -> None:
    require_valid(service_named("iam"), "Bake", params)


def test_an_operation_without_input_has_no_bounds() -> None:
    require_valid(service_named("iam"), "Idle", {})


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ("lambda", "ValidationException"),
        ("logs", "InvalidParameterException"),
        ("cloudformation", "ValidationError"),
        ("sts", "ValidationError"),
    ],
)
def test_each_service_has_its_own_code(service: str, code: str) -> None:
    assert refusal({}, service).code == code


def test_api_gateway_s_bounds_are_its_operations_own() -> None:
    require_valid(service_named("apigateway"), "Bake", {"Name": "a"})
