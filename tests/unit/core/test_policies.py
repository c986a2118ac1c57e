"""Policy documents: what each element and each operator allows, denies or leaves open."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamington.core.policies import (
    Policy,
    PolicyError,
    compile_policy,
    evaluate,
)
from lamington.core.policy_matching import compile_arn_pattern, compile_wildcards

ACTION = "execute-api:Invoke"
ARN = "arn:aws:execute-api:eu-west-1:123456789012:abc123/dev/GET/pets"


def policy(*statements: dict[str, Any], version: str = "2012-10-17") -> Policy:
    return compile_policy({"Version": version, "Statement": list(statements)})


def allow(**members: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": ACTION, "Resource": "*", **members}


def deny(**members: Any) -> dict[str, Any]:
    return {**allow(**members), "Effect": "Deny"}


# Effects.


@pytest.mark.parametrize(
    ("statements", "decision"),
    [
        ([allow()], "allow"),
        ([deny()], "deny"),
        ([allow(), deny()], "deny"),
        ([deny(), allow()], "deny"),
        ([allow(Action="s3:GetObject")], "silent"),
        ([allow(), deny(Action="s3:GetObject")], "allow"),
    ],
)
def test_explicit_deny_wins(statements: list[dict[str, Any]], decision: str) -> None:
    assert policy(*statements).evaluate(ACTION, ARN) == decision


def test_several_policies_are_as_one() -> None:
    allowing, denying, silent = policy(allow()), policy(deny()), policy(allow(Action="s3:*"))
    assert evaluate([silent, allowing], ACTION, ARN) == "allow"
    assert evaluate([allowing, denying], ACTION, ARN) == "deny"
    assert evaluate([silent], ACTION, ARN) == "silent"
    assert evaluate([], ACTION, ARN) == "silent"


# Actions and resources.


@pytest.mark.parametrize(
    ("members", "applies"),
    [
        ({"Action": "*"}, True),
        ({"Action": "execute-api:*"}, True),
        ({"Action": "EXECUTE-API:invoke"}, True),
        ({"Action": ["s3:*", "execute-api:Inv?ke"]}, True),
        ({"Action": "execute-api:Manage*"}, False),
        ({"NotAction": "s3:*"}, True),
        ({"NotAction": ["s3:*", "execute-api:*"]}, False),
        ({"Resource": ARN}, True),
        ({"Resource": "arn:aws:execute-api:*:*:abc123/*/GET/*"}, True),
        ({"Resource": "arn:aws:execute-api:*:123456789012:abc12?/dev/GET/pets"}, True),
        ({"Resource": "arn:aws:execute-api:*:*:abc123/*/get/*"}, False),
        ({"Resource": "arn:aws:execute-api:*:210987654321:*"}, False),
        ({"Resource": "arn:aws:execute-api:*"}, True),
        ({"Resource": "arn:aws:s3:::*"}, False),
        ({"Resource": ["arn:aws:s3:::*", "*"]}, True),
        ({"NotResource": "arn:aws:execute-api:*:*:abc123/prod/*"}, True),
        ({"NotResource": "arn:aws:execute-api:*:*:abc123/dev/*"}, False),
    ],
)
def test_actions_and_resources(members: dict[str, Any], applies: bool) -> None:
    statement = allow(**members)
    for name in ("Action", "Resource"):
        if f"Not{name}" in members:
            del statement[name]
    assert policy(statement).evaluate(ACTION, ARN) == ("allow" if applies else "silent")


def test_shorthands_are_written_out_first() -> None:
    own = "arn:aws:execute-api:eu-west-1:123456789012:abc123/"
    document = {"Statement": allow(Resource="execute-api:/dev/*")}
    compiled = compile_policy(document, lambda text: text.replace("execute-api:/", own))
    assert compiled.evaluate(ACTION, ARN) == "allow"


# Principals.

USER = frozenset({"arn:aws:iam::123456789012:user/me", "123456789012"})
SESSION = frozenset(
    {
        "arn:aws:sts::123456789012:assumed-role/reader/me",
        "arn:aws:iam::123456789012:role/reader",
        "123456789012",
    }
)


@pytest.mark.parametrize(
    ("members", "principals", "applies"),
    [
        ({"Principal": "*"}, frozenset[str](), True),
        ({"Principal": {"AWS": "*"}}, frozenset[str](), True),
        ({"Principal": {"AWS": "123456789012"}}, frozenset[str](), False),
        ({"Principal": {"AWS": "123456789012"}}, USER, True),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:root"}}, USER, True),
        ({"Principal": {"AWS": ["1", "arn:aws:iam::123456789012:user/me"]}}, USER, True),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:user/you"}}, USER, False),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:role/reader"}}, SESSION, True),
        ({"Principal": {"Service": "lambda.amazonaws.com"}}, USER, False),
        ({"Principal": {"Service": "*"}}, USER, False),
        ({"NotPrincipal": {"AWS": "arn:aws:iam::123456789012:user/you"}}, USER, True),
        ({"NotPrincipal": {"AWS": "123456789012"}}, USER, False),
        ({"NotPrincipal": "*"}, USER, False),
    ],
)
def test_principals(members: dict[str, Any], principals: frozenset[str], applies: bool) -> None:
    found = policy(allow(**members)).evaluate(ACTION, ARN, principals=principals)
    assert found == ("allow" if applies else "silent")


# Conditions: operator, key and expected value, what the request has, whether it holds.

CONDITIONS: list[tuple[str, Any, Any, bool]] = [
    ("StringEquals", "a", "a", True),
    ("StringEquals", ["b", "a"], "a", True),
    ("StringEquals", "a", "A", False),
    ("StringEquals", "a*", "ab", False),
    ("StringEquals", "a", None, False),
    ("StringNotEquals", "a", "b", True),
    ("StringNotEquals", ["a", "b"], "b", False),
    ("StringNotEquals", "a", None, True),
    ("StringEqualsIgnoreCase", "a", "A", True),
    ("StringNotEqualsIgnoreCase", "a", "A", False),
    ("StringLike", "a*c?", "abccd", True),
    ("StringLike", "a*c?", "abccdd", False),
    ("StringLike", "*", "", True),
    ("StringNotLike", "a*", "ab", False),
    ("StringNotLike", "a*", "b", True),
    ("StringEqualsIfExists", "a", None, True),
    ("StringEqualsIfExists", "a", "b", False),
    ("NumericEquals", "5", "5.0", True),
    ("NumericNotEquals", 5, "6", True),
    ("NumericLessThan", 5, "4", True),
    ("NumericLessThan", 5, "5", False),
    ("NumericLessThanEquals", 5, "5", True),
    ("NumericGreaterThan", "5", "5.1", True),
    ("NumericGreaterThanEquals", "5", "4", False),
    ("NumericEquals", "5", "many", False),
    ("DateLessThan", "2026-01-02T00:00:00Z", "2026-01-01T23:59:59+00:00", True),
    ("DateLessThan", "2026-01-02T00:00:00Z", "2026-01-02T00:00:00Z", False),
    ("DateGreaterThan", "2026-01-01", "2026-01-01T00:00:01Z", True),
    ("DateGreaterThanEquals", "1767225600", "2026-01-01T00:00:00Z", True),
    ("DateEquals", "2026-01-01T00:00:00Z", "1767225600", True),
    ("DateNotEquals", "2026-01-01T00:00:00Z", "1767225600", False),
    ("DateEquals", "soon", "1767225600", False),
    ("Bool", "true", "true", True),
    ("Bool", True, "true", True),
    ("Bool", "false", "true", False),
    ("Bool", "false", None, False),
    ("BinaryEquals", "QUJD", "QUJD", True),
    ("IpAddress", "10.0.0.0/8", "10.1.2.3", True),
    ("IpAddress", ["192.0.2.0/24", "10.1.2.3"], "10.1.2.3", True),
    ("IpAddress", "10.0.0.0/8", "11.1.2.3", False),
    ("IpAddress", "2001:db8::/32", "2001:db8::1", True),
    ("IpAddress", "10.0.0.0/8", "2001:db8::1", False),
    ("IpAddress", "10.0.0.0/8", "nowhere", False),
    ("NotIpAddress", "10.0.0.0/8", "11.1.2.3", True),
    ("NotIpAddress", ["10.0.0.0/8", "11.0.0.0/8"], "11.1.2.3", False),
    ("ArnEquals", "arn:aws:iam::*:role/x", "arn:aws:iam::123456789012:role/x", True),
    ("ArnLike", "arn:aws:iam::123456789012:role/*", "arn:aws:iam::123456789012:role/a/b", True),
    ("ArnLike", "arn:aws:iam::1*2:role/x", "arn:aws:iam::12:3:role/x", False),
    ("ArnNotEquals", "arn:aws:iam::*:role/x", "arn:aws:iam::123456789012:role/y", True),
    ("ArnNotLike", "arn:aws:iam::*:role/*", "arn:aws:iam::123456789012:role/y", False),
    ("Null", "true", None, True),
    ("Null", "true", "x", False),
    ("Null", "false", "x", True),
    ("Null", "false", None, False),
    ("ForAnyValue:StringEquals", ["a", "b"], ["x", "b"], True),
    ("ForAnyValue:StringEquals", ["a", "b"], ["x", "y"], False),
    ("ForAnyValue:StringEquals", "a", None, False),
    ("ForAnyValue:StringNotEquals", "a", ["a", "b"], True),
    ("ForAnyValue:StringNotEquals", "a", ["a"], False),
    ("ForAllValues:StringEquals", ["a", "b"], ["a", "b"], True),
    ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
    ("ForAllValues:StringEquals", "a", None, True),
    ("ForAllValues:StringLike", "a*", ["ab", "ac"], True),
    ("ForAllValues:StringNotLike", "a*", ["b", "ac"], False),
    ("StringEquals", "a", ["x", "a"], True),
    ("StringNotEquals", "a", ["x", "a"], False),
]


@pytest.mark.parametrize(("operator", "expected", "sent", "holds"), CONDITIONS)
def test_condition(operator: str, expected: Any, sent: Any, holds: bool) -> None:
    compiled = policy(allow(Condition={operator: {"aws:Key": expected}}))
    values = {} if sent is None else {"aws:key": sent}
    assert compiled.evaluate(ACTION, ARN, values) == ("allow" if holds else "silent")
    assert compiled.reads == {"aws:key"}


def test_all_conditions_have_to_hold() -> None:
    condition = {
        "StringEquals": {"aws:a": "1", "aws:b": "2"},
        "IpAddress": {"aws:SourceIp": "10.0.0.0/8"},
    }
    compiled = policy(allow(Condition=condition))
    sent = {"aws:a": "1", "aws:b": "2", "aws:sourceip": "10.0.0.1"}
    assert compiled.evaluate(ACTION, ARN, sent) == "allow"
    for name in sent:
        assert compiled.evaluate(ACTION, ARN, {**sent, name: "9"}) == "silent"


# Variables.


@pytest.mark.parametrize(
    ("resource", "values", "applies"),
    [
        ("arn:aws:execute-api:*:*:abc123/dev/GET/${aws:username}", {"aws:username": "pets"}, True),
        ("arn:aws:execute-api:*:*:abc123/dev/GET/${aws:UserName}", {"aws:username": "pets"}, True),
        ("arn:aws:execute-api:*:*:abc123/dev/GET/${aws:username}", {"aws:username": "*"}, False),
        ("arn:aws:execute-api:*:*:abc123/dev/GET/${aws:username}", {}, False),
        ("arn:aws:execute-api:*:*:abc123/dev/GET/${aws:username, 'pets'}", {}, True),
        ("arn:aws:execute-api:*:*:abc123/dev/GET/${*}", {}, False),
        ("arn:aws:execute-api:*:*:abc123/dev/GET/pet?", {}, True),
    ],
)
def test_variables_of_resources(resource: str, values: dict[str, str], applies: bool) -> None:
    found = policy(allow(Resource=resource)).evaluate(ACTION, ARN, values)
    assert found == ("allow" if applies else "silent")


def test_variables_of_conditions() -> None:
    condition = {"StringLike": {"aws:Referer": "https://${aws:username}.example.com/*"}}
    compiled = policy(allow(Condition=condition))
    sent = {"aws:referer": "https://me.example.com/x", "aws:username": "me"}
    assert compiled.evaluate(ACTION, ARN, sent) == "allow"
    assert compiled.evaluate(ACTION, ARN, {**sent, "aws:username": "you"}) == "silent"
    assert compiled.reads == {"aws:referer", "aws:username"}


def test_old_versions_have_no_variables() -> None:
    compiled = policy(allow(Resource="*/${aws:username}"), version="2008-10-17")
    assert compiled.evaluate(ACTION, "arn:aws:s3:::b/me", {"aws:username": "me"}) == "silent"


# What is no policy.


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "policy",
        {},
        {"Statement": []},
        {"Statement": ["x"]},
        {"Version": "2020-01-01", "Statement": [allow()]},
        {"Statement": [allow(Effect="allow")]},
        {"Statement": [{"Effect": "Allow", "Resource": "*"}]},
        {"Statement": [allow(NotAction="x")]},
        {"Statement": [allow(Action=[])]},
        {"Statement": [allow(Action={"a": 1})]},
        {"Statement": [allow(Condition="x")]},
        {"Statement": [allow(Condition={"StringEquals": "x"})]},
        {"Statement": [allow(Condition={"StringsEqual": {"a": "b"}})]},
        {"Statement": [allow(Condition={"Each:StringEquals": {"a": "b"}})]},
        {"Statement": [allow(Condition={"IpAddress": {"a": "somewhere"}})]},
        {"Statement": [allow(Principal=7)]},
    ],
)
def test_what_is_no_policy_is_refused(document: Any) -> None:
    with pytest.raises(PolicyError):
        compile_policy(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("Version", "Statement", "Effect", "Action", "Resource", "Principal"),
                    *("Condition", "NotAction", "NotResource", "NotPrincipal"),
                    *("StringLike", "DateEquals", "IpAddress", "aws:a"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(document=JSON, resource=st.text(max_size=20), sent=st.text(max_size=10))
def test_json_is_a_policy_or_refused(document: Any, resource: str, sent: str) -> None:
    try:
        compiled = compile_policy(document)
    except PolicyError:
        return
    assert compiled.evaluate(ACTION, resource, {"aws:a": sent}) in ("allow", "deny", "silent")


OPERATORS = sorted({each[0] for each in CONDITIONS})


@given(
    operator=st.sampled_from(OPERATORS), expected=st.text(max_size=20), sent=st.text(max_size=20)
)
def test_conditions_take_any_text(operator: str, expected: str, sent: str) -> None:
    try:
        compiled = policy(allow(Condition={operator: {"aws:a": expected}}))
    except PolicyError:
        assert "IpAddress" in operator
        return
    assert compiled.evaluate(ACTION, ARN, {"aws:a": sent}) in ("allow", "silent")


@given(pieces=st.lists(st.text("ab:/", max_size=4), max_size=6), text=st.text("ab:/", max_size=20))
def test_wildcards_are_as_a_search_would_find(pieces: list[str], text: str) -> None:
    pattern = "*".join(pieces)
    assert compile_wildcards(pattern)(text) is _matches(pieces, text)
    assert compile_arn_pattern(pattern)(json.dumps(text)) in (True, False)


def _matches(pieces: list[str], text: str) -> bool:
    """Whether the pieces stand in this order in the text, first and last at its ends."""
    if len(pieces) < 2:
        return text == "".join(pieces)
    first, *middle, last = pieces
    if not text.startswith(first):
        return False
    at = len(first)
    for piece in middle:
        at = text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return text[at:].endswith(last) and len(text) - at >= len(last)


def test_many_wildcards_take_no_time() -> None:
    assert not compile_wildcards("*a" * 50 + "b")("a" * 5000)
