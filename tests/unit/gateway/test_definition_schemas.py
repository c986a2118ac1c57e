"""Schemas become models: what they refer to, and that no document makes them endless."""

from typing import Any

import pytest

from lamington.gateway.definition_schemas import SchemaWriter
from lamington.gateway.definition_unsupported import unsupported
from lamington.gateway.definition_values import Findings
from lamington.gateway.entities import BadRequestException


def writer(document: dict[str, Any]) -> tuple[SchemaWriter, Findings]:
    findings = Findings()
    return SchemaWriter(document=document, api_id="abcdefghij", findings=findings), findings


def test_a_reference_that_comes_back_to_itself_is_an_error() -> None:
    made, findings = writer({"x": {"a": {"allOf": [{"$ref": "#/x/a"}]}}})
    assert made.written({"$ref": "#/x/a"}) == {"allOf": [{}]}
    assert findings.errors == ["Unable to resolve reference '#/x/a'"]


def test_references_that_double_at_each_step_are_refused() -> None:
    steps = {f"s{n}": {"allOf": [{"$ref": f"#/x/s{n + 1}"}] * 2} for n in range(40)}
    made, _ = writer({"x": {**steps, "s40": {"type": "string"}}})
    with pytest.raises(BadRequestException, match="Invalid model schema"):
        made.written({"$ref": "#/x/s0"})


def test_what_stands_in_values_is_no_schema() -> None:
    made, findings = writer({})
    schema = {"enum": [{"$ref": "nowhere"}], "example": {"$ref": "nowhere"}}
    assert made.written(schema) == schema
    assert findings.errors == []


def test_a_warning_names_three_places_and_counts_the_rest() -> None:
    schemas = {name: {"nullable": True} for name in ("A", "B", "C", "D", "E")}
    (warning,) = unsupported({"openapi": "3.0.1", "components": {"schemas": schemas}})
    assert warning.endswith("schema 'A', schema 'B', schema 'C' and 2 more")
