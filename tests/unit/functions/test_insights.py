from typing import Any

import pytest

from lamington.functions.insights import QueryRun, compile_query
from lamington.functions.log_store import LogEvent
from lamington.functions.query_expressions import MalformedQueryException

REQUEST_ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
REPORT = (
    f"REPORT RequestId: {REQUEST_ID}\tDuration: 3.01 ms\tBilled Duration: 114 ms\t"
    "Memory Size: 128 MB\tMax Memory Used: 36 MB\tInit Duration: 110.10 ms\t\n"
)
EVENTS = [
    '{"level": "INFO", "shop": {"id": 1, "name": "north"}, "sold": 3, "a-b": "x"}',
    '{"level": "INFO", "shop": {"id": 2, "name": "south"}, "sold": 4, "items": [{"n": 7}]}',
    '{"level": "ERROR", "shop": {"id": 1, "name": "north"}, "text": "no stock"}',
    "user=ann took=12ms path=/a",
    REPORT,
]


def ask(query: str, events: list[str] | None = None, limit: int = 100) -> list[dict[str, str]]:
    """The rows of a query over events of seconds 0, 1, 2 ... of 2026, without their pointers."""
    run = QueryRun(compile_query(query, limit))
    run.take(
        [
            LogEvent(
                stream_name="s",
                timestamp_ms=1_767_225_600_000 + number * 1000,
                ingestion_ms=0,
                message=message,
                event_id=str(number),
            )
            for number, message in reversed(list(enumerate(EVENTS if events is None else events)))
        ],
        "111111111111:g",
    )
    return [
        {each["field"]: each["value"] for each in row if each["field"] != "@ptr"}
        for row in run.results()
    ]


def column(query: str, name: str) -> list[str]:
    return [row.get(name, "") for row in ask(query)]


def test_newest_comes_first_and_the_limit_holds() -> None:
    assert column("fields @timestamp | limit 2", "@timestamp") == [
        "2026-01-01 00:00:04.000",
        "2026-01-01 00:00:03.000",
    ]


def test_fields_of_a_report_are_discovered() -> None:
    [row] = ask(
        "fields @type, @requestId, @duration, @billedDuration, @memorySize, @maxMemoryUsed"
        ', @initDuration, @logStream, @log | filter @type = "REPORT"'
    )
    assert row == {
        **{"@type": "REPORT", "@requestId": REQUEST_ID, "@duration": "3.01"},
        **{"@billedDuration": "114", "@memorySize": "128000000", "@maxMemoryUsed": "36000000"},
        **{"@initDuration": "110.1", "@logStream": "s", "@log": "111111111111:g"},
    }


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("@message like /north|south/", 3),
        ('@message like "north"', 2),
        ("@message not like /north/", 3),
        ("@message =~ /(?i)USER/", 1),
        ("sold > 3", 1),
        ("sold >= 3 and shop.id = 1", 1),
        ('level in ["ERROR", "WARN"]', 1),
        ('level not in ["ERROR"]', 4),
        ("ispresent(sold)", 2),
        ("not ispresent(sold)", 3),
        ('shop.name = "north" or items.0.n = 7', 3),
        ('strcontains(@message, "ann")', 1),
        ('`a-b` = "x"', 1),
        ("sold * 2 + 1 = 7", 1),
        ("sold / 0 = 1", 0),
        ("(sold + 1) % 2 = 0 # a comment", 1),
        ('tolower(level) = "info"', 2),
        ("@timestamp < 1767225602000", 2),
        ("-sold < 0", 2),
    ],
)
def test_filter(condition: str, count: int) -> None:
    assert len(ask(f"fields @message | filter {condition}")) == count


def test_stats_by_groups() -> None:
    rows = ask("stats count(*) as n, sum(sold), avg(sold) as mean by shop.name | sort shop.name")
    assert rows == [
        {"shop.name": "north", "n": "2", "sum(sold)": "3", "mean": "3"},
        {"shop.name": "south", "n": "1", "sum(sold)": "4", "mean": "4"},
    ]


def test_stats_over_bins_of_time() -> None:
    assert ask("stats count(*) by bin(2s) | sort `bin(2s)`") == [
        {"bin(2s)": "2026-01-01 00:00:00.000", "count(*)": "2"},
        {"bin(2s)": "2026-01-01 00:00:02.000", "count(*)": "2"},
        {"bin(2s)": "2026-01-01 00:00:04.000", "count(*)": "1"},
    ]


@pytest.mark.parametrize(
    ("aggregate", "value"),
    [
        ("min(sold)", "3"),
        ("max(sold)", "4"),
        ("count(sold)", "2"),
        ("count()", "5"),
        ("count_distinct(shop.name)", "2"),
        ("pct(sold, 50)", "3"),
        ("median(sold)", "3"),
        ("stddev(sold)", "0.7071067811865476"),
        ("earliest(sold)", "3"),
        ("latest(sold)", "4"),
        ("sortsLast(shop.name)", "south"),
        ("max(@timestamp)", "2026-01-01 00:00:04.000"),
    ],
)
def test_aggregate(aggregate: str, value: str) -> None:
    assert ask(f"stats {aggregate} as it") == [{"it": value}]


def test_parse_by_asterisks_and_by_groups() -> None:
    globbed = 'parse @message "user=* took=*ms path=*" as user, took, path | filter took > 10'
    assert ask(f"{globbed} | display user, took, path") == [
        {"user": "ann", "took": "12", "path": "/a"}
    ]
    grouped = r"parse @message /user=(?<user>\w+) took=(?<took>\d+)/ | filter ispresent(user)"
    assert ask(f"{grouped} | display user, took") == [{"user": "ann", "took": "12"}]


def test_sort_puts_what_has_no_value_last() -> None:
    assert column("fields sold | sort sold desc", "sold") == ["4", "3", "", "", ""]
    assert column("fields sold | sort sold asc | limit 1", "sold") == ["3"]


def test_dedup_keeps_one_of_each() -> None:
    rows = ask("fields shop.name as name | filter ispresent(name) | dedup name | display name")
    assert sorted(row["name"] for row in rows) == ["north", "south"]


def test_fields_may_be_calculated_and_named() -> None:
    assert ask('fields concat(shop.name, "!") as loud, sold * 2 as twice | filter sold = 4') == [
        {"loud": "south!", "twice": "8"}
    ]


def test_limit_of_the_request_holds_too() -> None:
    assert len(ask("fields @message", limit=2)) == 2


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ("fields @message | explode", 18, 25),
        ("fields @message |", 17, 17),
        ("filter level = ", 15, 15),
        ("filter nope(level)", 7, 11),
        ("stats total(sold)", 6, 11),
        ("limit many", 6, 10),
        ('parse @message "* *" as one', 15, 20),
        ("filter @message like /(/", 21, 24),
        ("fields ยง", 7, 8),
        ("", 0, 0),
        ("filter " + "(" * 200 + "1" + ")" * 200, None, None),
    ],
)
def test_what_cannot_be_read_is_pointed_at(query: str, start: int | None, end: int) -> None:
    with pytest.raises(MalformedQueryException) as refused:
        compile_query(query)
    place: dict[str, Any] = refused.value.members["queryCompileError"]["location"]
    if start is not None:
        assert (place["startCharOffset"], place["endCharOffset"]) == (start, end)
