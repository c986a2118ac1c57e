"""Models judge as the reference implementation does, and say why exactly where they refuse."""

import warnings
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from fakes_gateway import small_api
from lamington.gateway.entities import Model
from lamington.gateway.schemas import DRAFT_4, ModelJudge, compile_model

PLACE = "https://apigateway.amazonaws.com/restapis/abc123/models/"
NAMES = st.sampled_from(["a", "b", "c"])
SMALL = st.integers(-3, 5)
NUMBERS = SMALL | st.sampled_from([0.5, 1.0, 2.5, -1.5])
SCALARS = st.none() | st.booleans() | NUMBERS | st.sampled_from(["", "a", "ab", "abc", "é1"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
TYPES = st.sampled_from(["array", "boolean", "integer", "null", "number", "object", "string"])
SIZES = st.integers(0, 3)


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    several = st.lists(inner, min_size=1, max_size=2)
    names = st.lists(NAMES, min_size=1, max_size=2, unique=True)
    limits = st.fixed_dictionaries(
        {}, optional={"minimum": NUMBERS, "exclusiveMinimum": st.booleans()}
    ).filter(lambda it: "minimum" in it or not it)
    others = st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
            "enum": st.lists(SCALARS, min_size=1, max_size=3, unique_by=repr),
            "maximum": NUMBERS,
            "multipleOf": st.sampled_from([1, 2, 0.5]),
            "minLength": SIZES,
            "maxLength": SIZES,
            "pattern": st.sampled_from(["^a", "b$", "[0-9]"]),
            "minItems": SIZES,
            "maxItems": SIZES,
            "uniqueItems": st.booleans(),
            "items": inner | several,
            "additionalItems": st.booleans() | inner,
            "required": names,
            "minProperties": SIZES,
            "maxProperties": SIZES,
            "properties": st.dictionaries(NAMES, inner, max_size=2),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=1),
            "additionalProperties": st.booleans() | inner,
            "dependencies": st.dictionaries(NAMES, inner | names, max_size=2),
            "allOf": several,
            "anyOf": several,
            "oneOf": several,
            "not": inner,
        },
    )
    return st.builds(lambda first, second: {**first, **second}, limits, others)


SCHEMAS = st.recursive(
    st.just({}) | st.just({"$ref": PLACE + "Named"}), _objects, max_leaves=5
).filter(lambda schema: "$ref" not in schema)


def _judge(schema: Any, named: Any) -> ModelJudge:
    texts = {"M": schema, "Named": named}
    models = {
        name: Model(model_id=name, name=name, schema=msgspec.json.encode(it).decode())
        for name, it in texts.items()
    }
    return compile_model(small_api({}, models=models), "M")


def _inlined(schema: Any, named: Any) -> Any:
    """The schema with its references written out, for a judge that knows no API."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return named
        return {key: _inlined(each, named) for key, each in schema.items()}
    return [_inlined(each, named) for each in schema] if isinstance(schema, list) else schema


@settings(max_examples=400, deadline=None)
@given(schema=SCHEMAS, named=st.builds(lambda kind: {"type": kind}, TYPES), value=VALUES)
def test_models_judge_as_the_reference_does(schema: Any, named: Any, value: Any) -> None:
    judge = _judge(schema, named)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = Draft4Validator({**_inlined(schema, named), "$schema": DRAFT_4})
        assert judge.accepts(value) == reference.is_valid(value)


@settings(max_examples=400, deadline=None)
@given(schema=SCHEMAS, named=st.builds(lambda kind: {"type": kind}, TYPES), value=VALUES)
def test_what_is_refused_has_a_sentence_and_nothing_else_has(
    schema: Any, named: Any, value: Any
) -> None:
    judge = _judge(schema, named)
    faults = judge.faults(value)
    if judge.accepts(value):
        assert faults == ["instance is not valid"], "the sentence for a caller that errs"
    else:
        assert faults
        assert all(each != "instance is not valid" for each in faults)
