"""The Java bootstrap in real JVMs, with the test as the engine."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from java_world import (
    ERROR,
    FATAL,
    INIT_ERROR,
    INVOKE_ATTENTIVELY,
    READY,
    RESULT,
    can_compile,
    java_world,
)
from lamington.functions.entities import InvalidRuntimeException
from lamington.functions.java import JavaBootstrap, JavaBootstraps, JavaInstallation

pytestmark = pytest.mark.skipif(not can_compile(), reason="no JDK from 17 on is installed")

HANDLERS = "example.Handlers$"


def answer(handler: str, event: str) -> object:
    """What a handler of the tests answers to an event."""
    return answer_of(HANDLERS + handler, event)


def answer_of(handler: str, event: str) -> object:
    """What a handler answers to an event."""
    with java_world().ready(handler) as java:
        kind, payload = java.invoke(event.encode())
        assert kind == RESULT, payload
        return json.loads(payload)


def test_map_comes_back_as_it_was_without_its_nulls() -> None:
    event = '{"a":1,"b":[1.5,null,"ä\\u20ac\\n"],"c":{"d":null,"e":12345678901234567890}}'
    with java_world().ready(HANDLERS + "Echo") as java:
        assert java.invoke(event.encode()) == (
            RESULT,
            '{"a":1,"b":[1.5,null,"ä€\\n"],"c":{"e":12345678901234567890}}'.encode(),
        )


def test_many_invocations_use_one_instance_and_large_ones_pass() -> None:
    with java_world().ready(HANDLERS + "Counts::handle") as java:
        assert [java.invoke(b"{}")[1] for _ in range(100)][-1] == b"100"
    large = json.dumps({"text": "x" * 3_000_000, "more": ["ü"] * 1000}, ensure_ascii=False)
    with java_world().ready(HANDLERS + "Echo") as java:
        for event in (large, '{"small":1}', large):
            kind, payload = java.invoke(event.encode())
            assert kind == RESULT
            assert json.loads(payload) == json.loads(event)


def test_invocation_close_behind_another_is_answered_after_it() -> None:
    with java_world().ready(HANDLERS + "Counts::handle", attend_s=0.001) as java:
        for _ in range(3):
            java.send(b"{}", kind=INVOKE_ATTENTIVELY)
        assert [java.receive() for _ in range(3)] == [
            (RESULT, b"1"),
            (RESULT, b"2"),
            (RESULT, b"3"),
        ]


def test_pojo_is_bound_by_its_fields_and_setters() -> None:
    order = {
        "id": 2**40,
        "weight": 1,
        "price": 12345678901234567890.123,
        "paid": "true",
        "size": "LARGE",
        "at": 1_700_000_000_000,
        "picture": "AAEC",
        "bytes": "AAEC",
        "numbers": [1, 2],
        "page": {"items": [{"name": "bun", "count": 2, "spare": 7}]},
        "byName": {"a": {"name": "roll", "count": "3"}},
        "free": {"a": [1, 1.5]},
        "URL": "http://a",
        "secret": "cannot be set",
        "unknown": 1,
    }
    seen = answer("Binds", json.dumps(order))
    assert isinstance(seen, dict)
    # A member that only its getter shows is not set, and so left out.
    expected = {key: value for key, value in order.items() if key not in ("secret", "unknown")}
    expected |= {"paid": True, "weight": 1.0, "paidTwice": False}
    expected["page"] = {"items": [{"name": "bun", "count": 2}]}
    expected["byName"] = {"a": {"name": "roll", "count": 3}}
    assert seen == expected


def test_rare_types_are_bound_as_well() -> None:
    given = {
        "instant": "2026-01-02T03:04:05.678Z",
        "lasts": 1.5,
        "day": "2026-01-02",
        "local": [2026, 1, 2, 3, 4],
        "uuid": "0b0e1a52-4a5e-4a3c-9f26-3d0f1a2b3c4d",
        "uri": "http://a/b",
        "sizes": ["SMALL"],
        "bySize": {"LARGE": 2},
        "byNumber": {"5": "five"},
        "maybe": "yes",
        "letter": "x",
        "other": "y",
        "flag": "false",
        "small": 7,
        "real": 0.5,
        "wild": [1, 2.5],
        "grid": [["a"], []],
        "one": [9],
        "many": "single",
        "line": "",
    }
    seen = answer_of("example.Rare$Handler::handle", json.dumps(given))
    changed = {"instant": 1767323045.678, "day": [2026, 1, 2], "flag": False, "one": 9}
    expected = {**given, **changed, "many": ["single"]}
    del expected["line"]
    assert seen == expected


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ('"id":"x"', 'Cannot deserialize value of type `long` from String \\"x\\"'),
        ('"id":9223372036854775808', "Numeric value (9223372036854775808) out of range of long"),
        ('"page":[{},{}]', "from Array value (token `JsonToken.START_ARRAY`)"),
        ('"byName":5', "from Integer value (token `JsonToken.VALUE_NUMBER_INT`)"),
    ],
)
def test_value_of_a_wrong_kind_is_told_in_the_log(member: str, reason: str) -> None:
    variables = {"AWS_LAMBDA_LOG_FORMAT": "JSON"}
    with java_world().ready(HANDLERS + "Binds", variables) as java:
        kind, payload = java.invoke(f"{{{member}}}".encode())
        assert kind == ERROR
        assert json.loads(payload)["errorMessage"] == "An error occurred during JSON parsing"
        assert reason in java.close()


def test_fields_come_in_the_order_of_their_declaration() -> None:
    with java_world().ready(HANDLERS + "Binds") as java:
        _, payload = java.invoke(b'{"URL":"u","size":"OTHER","id":1}')
        assert payload == b'{"id":1,"weight":0.0,"paid":false,"URL":"u","paidTwice":false}'


def test_types_of_a_handler_are_found_through_its_superclass() -> None:
    assert answer("Inherits", '{"name":"bun"}') == ["bun", None]


def test_record_is_bound_by_its_components() -> None:
    event = '{"points":[{"x":1,"y":2}],"name":"way","note":"n"}'
    with java_world().ready("recent.Records::handle") as java:
        assert java.invoke(event.encode()) == (
            RESULT,
            b'{"name":"way","points":[{"x":1,"y":2}],"note":"n"}',
        )


def test_archive_may_bring_its_own_json() -> None:
    with java_world().ready(HANDLERS + "Text", root=java_world().custom) as java:
        assert java.invoke(b"{}") == (RESULT, b'"<custom java.lang.String>"')


def test_class_without_aws_interfaces_is_a_function_too() -> None:
    with java_world().ready("bare.Plain::handle", root=java_world().bare) as java:
        assert java.invoke(b'{"a":1}') == (RESULT, b'{"a":1,"seen":1}')


def test_stream_handler_has_its_bytes_passed_verbatim() -> None:
    with java_world().ready(HANDLERS + "Stream") as java:
        assert java.invoke(b'{"a": 1}') == (RESULT, b'not { json: {"a": 1}')
        assert java.invoke(b"[]") == (RESULT, b"not { json: []")


def test_context_knows_the_invocation() -> None:
    client = json.dumps(
        {
            "client": {"app_title": "Cakes", "installation_id": "i-1"},
            "custom": {"a": "b"},
            "env": {"platform": "none"},
        }
    )
    with java_world().ready(HANDLERS + "Describes") as java:
        _, payload = java.invoke(b"{}", trace_id="Root=1-2-3", client_context=client)
        assert json.loads(payload) == {
            "requestId": "0b0e1a52-4a5e-4a3c-9f26-3d0f1a2b3c4d",
            "group": "/aws/lambda/cakes",
            "stream": "2026/11/23/[$LATEST]0123",
            "name": "cakes",
            "version": "$LATEST",
            "arn": "arn:aws:lambda:eu-central-1:123456789012:function:cakes",
            "memory": 256,
            "left": True,
            "identity": "null",
            "tenant": "null",
            "trace": "Root=1-2-3",
            "custom": {"a": "b"},
            "environment": {"platform": "none"},
            "app": "Cakes",
            "installation": "i-1",
            "sameLogger": True,
        }
        _, payload = java.invoke(b"{}")
        second = json.loads(payload)
        assert "trace" not in second
        assert "custom" not in second


def test_process_has_its_variables_class_path_and_heap() -> None:
    with java_world().ready(HANDLERS + "Surrounded::handle", {"MINE": "yes"}) as java:
        _, payload = java.invoke(b"{}")
    seen = json.loads(payload)
    heap_mb = seen.pop("heap")
    assert seen == {"variables": "yes", "loader": True, "resource": True, "layer": True}
    assert 256 * 0.75 < heap_mb <= 256 * 0.86


@pytest.mark.parametrize(
    ("handler", "event", "expected"),
    [
        ("Queue", {"Records": [{"body": "b", "eventSourceARN": "arn"}]}, "b arn"),
        (
            "Bucket",
            {
                "Records": [
                    {
                        "eventTime": "1970-01-01T00:00:00.000Z",
                        "s3": {"bucket": {"name": "cakes"}, "object": {"key": "k", "size": 5}},
                    }
                ]
            },
            "cakes k 5 1970-01-01T00:00:00.000Z",
        ),
        ("Topic", {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": "m"}}]}, "m aws:sns"),
    ],
)
def test_events_of_aws_have_their_own_names(handler: str, event: object, expected: str) -> None:
    with java_world().ready(f"example.EventHandlers${handler}") as java:
        assert java.invoke(json.dumps(event).encode()) == (RESULT, json.dumps(expected).encode())


# Errors


def test_exception_is_the_payload_and_one_event_of_the_log() -> None:
    with java_world().ready(HANDLERS + "Fails") as java:
        kind, payload = java.invoke(b'"message"')
        assert kind == ERROR
        assert re.fullmatch(
            r'\{"errorMessage":"broken","errorType":"java.lang.IllegalStateException","stackTrace":'
            r'\["example.Handlers\$Fails.handleRequest\(Handlers.java:\d+\)",'
            r'"example.Handlers\$Fails.handleRequest\(Handlers.java:\d+\)"\]\}',
            payload.decode(),
        )
        assert java.invoke(b'""') == (RESULT, b'"fine"')
        log = java.close()
    assert re.fullmatch(
        "broken: java.lang.IllegalStateException\x1ejava.lang.IllegalStateException: broken\x1e"
        "(\tat example.Handlers\\$Fails.handleRequest\\(Handlers.java:\\d+\\)\x1e){2}\n",
        log,
    )


def test_cause_stands_in_the_log_and_in_the_payload_of_java8() -> None:
    with java_world().ready(HANDLERS + "Fails") as java:
        _, payload = java.invoke(b'"cause"')
        assert "cause" not in json.loads(payload)
        assert "\x1eCaused by: java.lang.IllegalArgumentException: inner\x1e" in java.close()
    with java_world().ready(HANDLERS + "Fails", {"AWS_EXECUTION_ENV": "AWS_Lambda_java8"}) as java:
        _, payload = java.invoke(b'"cause"')
        cause = json.loads(payload)["cause"]
        assert cause["errorMessage"] == "inner"
        assert cause["errorType"] == "java.lang.IllegalArgumentException"


def test_exception_of_a_method_keeps_the_frames_of_reflection() -> None:
    with java_world().ready(HANDLERS + "Methods::fails") as java:
        _, payload = java.invoke(b"{}")
        trace = json.loads(payload)["stackTrace"]
    assert trace[0].startswith("example.Handlers$Methods.fails(Handlers.java:")
    assert trace[-1].startswith("java.base/java.lang.reflect.Method.invoke(")


@pytest.mark.parametrize("event", ["overflow", "io", "memory"])
def test_error_of_the_machine_ends_the_process(event: str) -> None:
    with java_world().ready(HANDLERS + "Fails", memory_mb=128) as java:
        kind, payload = java.invoke(json.dumps(event).encode())
        assert kind == FATAL
        assert (
            json.loads(payload)["errorType"]
            == {
                "overflow": "java.lang.StackOverflowError",
                "memory": "java.lang.OutOfMemoryError",
                "io": "java.io.IOError",
            }[event]
        )
        assert java.receive() == (0, b"")
        assert java.process.wait(10) == 1


def test_exit_of_the_function_ends_the_process_without_a_reply() -> None:
    with java_world().ready(HANDLERS + "Fails") as java:
        assert java.invoke(b'"exit"') == (0, b"")
        assert java.process.wait(10) == 3


def test_init_error_is_reported_and_ends_the_process() -> None:
    with java_world().process(HANDLERS + "ThrowsInConstructor::handle") as java:
        kind, payload = java.receive()
        assert kind == INIT_ERROR
        assert json.loads(payload) == {
            "errorMessage": "cannot be made",
            "errorType": "java.lang.IllegalStateException",
        }
        assert java.process.wait(10) == 1
        assert java.close().startswith("cannot be made: java.lang.IllegalStateException\x1e")


def test_archive_without_the_interfaces_fails_fatally_at_the_first_invocation() -> None:
    with java_world().ready(HANDLERS + "Echo", root=java_world().bare) as java:
        kind, payload = java.invoke(b"{}")
        assert kind == FATAL
        assert json.loads(payload) == {
            "errorMessage": "Error loading class example.Handlers$Echo: "
            "com/amazonaws/services/lambda/runtime/RequestHandler",
            "errorType": "java.lang.NoClassDefFoundError",
        }
        assert "the archive must hold aws-lambda-java-core" in java.close()


# Logs


def test_output_is_written_line_by_line_before_the_reply() -> None:
    with java_world().ready(HANDLERS + "Logs") as java:
        java.invoke(b'"print"')
        assert java.read_output() == "out ä\nerr\nno end"


def test_each_call_of_the_logger_is_an_event() -> None:
    with java_world().ready(HANDLERS + "Logs") as java:
        java.invoke(b'"plain"')
        java.invoke(b'"levels"')
        assert java.close() == "one\x1etwo\nthree\n[INFO] shown\n[DEBUG] hidden\n"


def test_logger_of_java8_appends_nothing() -> None:
    with java_world().ready(HANDLERS + "Logs", {"AWS_EXECUTION_ENV": "AWS_Lambda_java8"}) as java:
        java.invoke(b'"plain"')
        assert java.close() == "one\ntwothree\n"


def test_json_log_has_members_and_levels() -> None:
    variables = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    with java_world().ready(HANDLERS + "Logs", variables) as java:
        java.invoke(b'"levels"')
        java.invoke(b'"plain"')
        java.invoke(b'"bytes"')
        lines = java.close().splitlines()
    entries = [json.loads(line) for line in lines[:3]]
    assert [list(entry) for entry in entries] == [
        ["timestamp", "message", "level", "AWSRequestId"]
    ] * 3
    assert [entry["level"] for entry in entries] == ["INFO", "UNDEFINED", "UNDEFINED"]
    assert entries[1]["message"] == "one\ntwo"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entries[0]["timestamp"])
    assert lines[3] == "raw"


# SnapStart

SNAP_START = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
RESTORE = 5


def test_hooks_of_snapstart_run_in_their_orders() -> None:
    with java_world().ready("example.Hooks::handle", SNAP_START) as java:
        java.send(b"", kind=RESTORE)
        assert java.receive()[0] == READY
        assert java.invoke(b"{}") == (RESULT, b'"hooked 2"')
        assert java.close().splitlines() == [
            "beforeCheckpoint two",
            "beforeCheckpoint one",
            "afterRestore one",
            "afterRestore two",
        ]


def test_hooks_do_not_run_on_demand() -> None:
    with java_world().ready("example.Hooks::handle") as java:
        assert java.close() == ""


def test_hook_that_fails_fails_the_restore() -> None:
    variables = {**SNAP_START, "FAILS": "afterRestore"}
    with java_world().process("example.Hooks::handle", variables) as java:
        assert java.receive()[0] == READY
        java.send(b"", kind=RESTORE)
        kind, payload = java.receive()
        assert kind == INIT_ERROR
        assert json.loads(payload)["errorType"].endswith(".crac.RestoreException")
        assert java.process.wait(10) == 64
        assert "Suppressed: java.lang.IllegalStateException: hook of two" in java.close()


# The process


def test_process_ends_when_the_engine_has_gone() -> None:
    with java_world().ready(HANDLERS + "Echo") as java:
        assert java.memory_kb > 10_000
        assert java.close() == ""
        assert java.process.returncode == 0


def test_spare_takes_its_code_and_variables_later() -> None:
    world = java_world()
    with world.process("", spare=True) as java:
        variables = {"_HANDLER": HANDLERS + "Surrounded::handle", "MINE": "late", "TZ": ":UTC"}
        java.configure(
            json.dumps(
                {
                    "variables": variables,
                    "task_root": str(world.full),
                    "layers_root": str(world.layers),
                }
            ).encode()
        )
        assert java.receive() == (READY, b"")
        _, payload = java.invoke(b"{}")
        seen = json.loads(payload)
        assert seen["variables"] == "late"
        assert seen["layer"] is True


async def test_bootstrap_is_compiled_once_for_all_who_wait(tmp_path: Path) -> None:
    known = java_world().installation
    bootstraps = JavaBootstraps(tmp_path / "java")
    bootstrap = bootstraps.of(known.java)
    assert bootstraps.of(known.java) is bootstrap
    await asyncio.gather(bootstrap.prepare(), bootstrap.prepare())
    assert bootstrap.jar.exists()
    await bootstraps.close()
    left = [each.name for each in (tmp_path / "java").iterdir()]
    assert {each.rpartition(".")[2] for each in left} <= {"jar", "jsa"}


async def test_compiler_that_fails_is_told(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "javac").write_text("#!/bin/sh\necho out of cake >&2\nexit 1\n")
    (tmp_path / "bin" / "javac").chmod(0o755)
    broken = JavaInstallation(home=tmp_path, release=17, version="17", compiles=True)
    with pytest.raises(InvalidRuntimeException, match="out of cake"):
        await JavaBootstrap(broken, broken, tmp_path / "java").prepare()


def test_archive_of_classes_is_made_once_and_used() -> None:
    bootstrap = java_world().bootstrap
    bootstrap.rehearse()
    assert bootstrap.archive.exists()
    assert not bootstrap.may_archive
    assert f"-XX:SharedArchiveFile={bootstrap.archive}" in bootstrap.argv(128, 0.0)
    assert answer("Doubled", "21") == 42
