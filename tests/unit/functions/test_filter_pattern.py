"""Filter patterns: the three forms, as the CloudWatch Logs user guide has them."""

import pytest

from lamington.functions.operations.filter_pattern import (
    InvalidParameterException,
    compile_pattern,
)

CASES = [
    ("", "anything", True),
    ("ERROR", "[ERROR] broke", True),
    ("ERROR", "[error] broke", False),
    ("ERROR ARGUMENTS", "ERROR of ARGUMENTS", True),
    ("ERROR ARGUMENTS", "ERROR alone", False),
    ('"INTERNAL SERVER ERROR"', "500 INTERNAL SERVER ERROR", True),
    ('"INTERNAL SERVER ERROR"', "INTERNAL ERROR", False),
    ("?ERROR ?WARN", "WARN: hot", True),
    ("?ERROR ?WARN", "INFO: fine", False),
    ("?ERROR ?WARN INFO", "WARN: hot", False),
    ("?ERROR ?WARN INFO", "INFO: fine", True),
    ("ERROR -ARGUMENTS", "ERROR of ARGUMENTS", False),
    ("ERROR -ARGUMENTS", "ERROR alone", True),
    ('ERROR -"time out"', "ERROR: time out", False),
    ("%ER{1}ROR%", "ERROR", True),
    ("%[0-9]{3}%", "status 404", True),
    ('"say \\"hi\\""', 'to say "hi"', True),
    ('{ $.level = "ERROR" }', '{"level": "ERROR"}', True),
    ('{ $.level = "ERROR" }', '{"level": "INFO"}', False),
    ('{ $.level = "ERROR" }', "level ERROR", False),
    ("{ $.level = ERR* }", '{"level": "ERROR"}', True),
    ("{ $.level != ERROR }", '{"level": "INFO"}', True),
    ("{ $.level != ERROR }", '{"other": 1}', False),
    ("{ $.ms > 10 }", '{"ms": 11}', True),
    ("{ $.ms >= 10 && $.ms < 20 }", '{"ms": 10}', True),
    ("{ $.ms >= 10 && $.ms < 20 }", '{"ms": 20}', False),
    ("{ $.a = 1 || $.b = 1 && $.c = 1 }", '{"a": 1}', True),
    ("{ ($.a = 1 || $.b = 1) && $.c = 1 }", '{"a": 1}', False),
    ("{ $.bytes = 1e3 }", '{"bytes": 1000}', True),
    ("{ $.user.name = ann }", '{"user": {"name": "ann"}}', True),
    ('{ $["user"]["na.me"] = ann }', '{"user": {"na.me": "ann"}}', True),
    ("{ $.tags[1] = b }", '{"tags": ["a", "b"]}', True),
    ("{ $.tags[*] = b }", '{"tags": ["a", "b"]}', True),
    ("{ $.items[*].id = 7 }", '{"items": [{"id": 6}, {"id": 7}]}', True),
    ("{ $.gone IS NULL }", '{"gone": null}', True),
    ("{ $.gone IS NULL }", "{}", False),
    ("{ $.ok IS TRUE }", '{"ok": true}', True),
    ("{ $.ok IS FALSE }", '{"ok": true}', False),
    ("{ $.x NOT EXISTS }", "{}", True),
    ("{ $.x NOT EXISTS }", '{"x": 1}', False),
    ("{ $.path = %^/pets% }", '{"path": "/pets/1"}', True),
    ("{ $.ip = %10\\.0\\.% && $.code = 4* }", '{"ip": "10.0.0.1", "code": 404}', True),
    ("[ip, user, status]", "10.0.0.1 ann 200", True),
    ("[ip, user, status]", "10.0.0.1 ann", False),
    ("[ip, user, status=4*]", "10.0.0.1 ann 404", True),
    ("[ip, user, status=4*]", "10.0.0.1 ann 200", False),
    ("[ip, ..., bytes > 1000]", '10.0.0.1 ann [10/Oct/2000:13:25:15 -0700] "GET /" 200 1534', True),
    ("[ip, ..., bytes > 1000]", '10.0.0.1 ann "GET /" 200 10', False),
    ("[..., status_code >= 400 && status_code < 500, _]", "x y 404 10", True),
    ("[a = 1 || a = 2]", "2", True),
]


@pytest.mark.parametrize(("pattern", "message", "expected"), CASES)
def test_pattern_matches(pattern: str, message: str, expected: bool) -> None:
    assert compile_pattern(pattern)(message) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        "{ $.level = }",
        "{ level = 1 }",
        "{ $.a = 1",
        "{ $.a > text }",
        "{ $.a = 1 } more",
        "[a, b",
        'ERROR "open',
        "%(%",
        "{ $.a NOT }",
        "{ $.a IS MAYBE }",
        "{}",
    ],
)
def test_pattern_that_cannot_be_read_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidParameterException, match=r"^Invalid filter pattern$"):
        compile_pattern(pattern)
