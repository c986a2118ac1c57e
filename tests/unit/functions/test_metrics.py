from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lamington.core.errors import AwsError
from lamington.functions.distribution import Distribution, one_value
from lamington.functions.metrics import RETENTION_MINUTES
from metrics_world import NOON, NOON_MS, SCOPE, MetricsWorld, invoke, metrics_world

HOUR = timedelta(hours=1)
F = (("FunctionName", "f"),)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[MetricsWorld]:
    with metrics_world(tmp_path) as made:
        yield made


def read(world: MetricsWorld, name: str, dimensions: Any = F, **more: Any) -> Distribution:
    """A metric of AWS/Lambda around noon, all minutes together."""
    whole = Distribution()
    for values in world.metrics.read(
        SCOPE, more.get("namespace", "AWS/Lambda"), name, dimensions, NOON - HOUR, NOON + HOUR
    ).values():
        whole.merge(values)
    return whole


async def test_invocations_are_counted_when_they_are_written(world: MetricsWorld) -> None:
    log = world.environment()
    for duration_ms in (10.0, 20.0, 30.0):
        invoke(log, duration_ms)
    invoke(log, 3000.0, status="timeout", function_error="Unhandled")
    assert read(world, "Invocations").total == 4
    assert read(world, "Errors").total == 1
    assert read(world, "Errors").count == 4
    duration = read(world, "Duration")
    assert (duration.least, duration.most, duration.total) == (10.0, 3000.0, 3060.0)
    assert read(world, "ConcurrentExecutions").most == 1


async def test_exception_of_the_handler_is_an_error(world: MetricsWorld) -> None:
    invoke(world.environment(), function_error="Unhandled")
    assert read(world, "Errors").total == 1


async def test_dimensions_are_lambda_s(world: MetricsWorld) -> None:
    latest, first = world.environment(), world.environment(version="1")
    invoke(latest)
    invoke(first, qualifier="live")
    invoke(first, qualifier="1")
    invoke(world.environment("g"))
    live = (*F, ("Resource", "f:live"))
    assert read(world, "Invocations", ()).total == 4
    assert read(world, "Invocations", F).total == 3
    assert read(world, "Invocations", (*F, ("Resource", "f"))).total == 1
    assert read(world, "Invocations", live).total == 1
    assert read(world, "Invocations", (("ExecutedVersion", "1"), *live)).total == 1
    assert read(world, "Invocations", (("FunctionName", "h"),)).total == 0


async def test_metrics_are_kept_by_the_minute(world: MetricsWorld) -> None:
    log = world.environment()
    invoke(log, at_ms=NOON_MS)
    invoke(log, at_ms=NOON_MS + 61_000)
    invoke(log, at_ms=NOON_MS + 62_000)
    found = world.metrics.read(SCOPE, "AWS/Lambda", "Invocations", F, NOON, NOON + HOUR)
    assert [(minute - NOON_MS // 60_000, each.total) for minute, each in found.items()] == [
        (0, 1),
        (1, 2),
    ]


async def test_environments_at_work_are_concurrent_executions(world: MetricsWorld) -> None:
    for _ in range(3):
        invoke(world.environment())
    assert read(world, "ConcurrentExecutions").most == 3


async def test_provisioned_invocations_are_told_apart(world: MetricsWorld) -> None:
    invoke(world.environment(version="1"), init_type="provisioned-concurrency")
    assert read(world, "ProvisionedConcurrencyInvocations").total == 1


async def test_rare_things_are_counted_under_each_set(world: MetricsWorld) -> None:
    world.metrics.count(SCOPE, "Throttles", {"FunctionName": "f", "Resource": "f:live"})
    world.metrics.count(SCOPE, "AsyncEventAge", {"FunctionName": "f"}, 250.0)
    for dimensions in ((), F, (*F, ("Resource", "f:live"))):
        assert read(world, "Throttles", dimensions).total == 1
    assert read(world, "AsyncEventAge").average == 250.0
    assert world.metrics.unit(SCOPE, "AWS/Lambda", "AsyncEventAge", F) == "Milliseconds"


async def test_metrics_survive_a_restart(tmp_path: Path) -> None:
    with metrics_world(tmp_path) as before:
        invoke(before.environment(), 12.0)
    with metrics_world(tmp_path) as after:
        invoke(after.environment(), 14.0)
        assert read(after, "Duration").total == 26.0


async def test_old_minutes_go(world: MetricsWorld) -> None:
    invoke(world.environment())
    world.metrics.put(SCOPE, "Mine", "M", (), NOON, "None", one_value(1.0))
    world.telemetry.flush()
    await world.clock.advance((RETENTION_MINUTES + 120) * 60)
    invoke(world.environment(), at_ms=NOON_MS + (RETENTION_MINUTES + 120) * 60_000)
    world.telemetry.flush()
    assert read(world, "Invocations").count == 0
    assert "Mine" not in {namespace for namespace, _, _ in world.metrics.names(SCOPE)}
    assert ("AWS/Lambda", "Duration", F) in world.metrics.names(SCOPE)


EMBEDDED = (
    b'{"_aws":{"Timestamp":%d,"CloudWatchMetrics":[{"Namespace":"Shop","Dimensions":[["service"],'
    b'[]],"Metrics":[{"Name":"sold","Unit":"Count"},{"Name":"absent"}]}]},"service":"till",'
    b'"sold":[2,3]}\n'
)


async def test_embedded_metrics_are_taken_from_output(world: MetricsWorld) -> None:
    invoke(world.environment(), output=b"words\n" + EMBEDDED % NOON_MS)
    till = (("service", "till"),)
    assert read(world, "sold", till, namespace="Shop").total == 5
    assert read(world, "sold", (), namespace="Shop").count == 2
    assert ("Shop", "absent", till) not in world.metrics.names(SCOPE)


@pytest.mark.parametrize(
    "line",
    [
        b'{"_aws":1}',
        b'{"_aws":{"CloudWatchMetrics":[{"Namespace":"x"}]}}',
        b'{"_aws":{"Timestamp":1e300,"CloudWatchMetrics":[]}}',
        b'"_aws"',
        b'{"_aws":{"CloudWatchMetrics":[{"Namespace":"x","Metrics":[{"Name":"a"}]}]},"a":true}',
    ],
)
async def test_broken_embedded_metrics_are_passed_by(world: MetricsWorld, line: bytes) -> None:
    invoke(world.environment(), output=line + b"\n")
    assert {each[0] for each in world.metrics.names(SCOPE)} == {"AWS/Lambda"}


# The API


def datum(**members: Any) -> dict[str, Any]:
    return {"MetricName": "M", "Timestamp": NOON, **members}


async def put(world: MetricsWorld, **members: Any) -> None:
    await world.call("monitoring:PutMetricData", Namespace="Mine", MetricData=[datum(**members)])


async def statistics(world: MetricsWorld, **more: Any) -> list[dict[str, Any]]:
    answer = await world.call(
        "monitoring:GetMetricStatistics",
        **{
            **{"Namespace": "Mine", "MetricName": "M", "Period": 60, "Statistics": ["Sum"]},
            **{"StartTime": NOON - HOUR, "EndTime": NOON + HOUR},
            **more,
        },
    )
    points: list[dict[str, Any]] = answer["Datapoints"]
    return points


async def test_values_are_put_in_three_forms(world: MetricsWorld) -> None:
    await put(world, Value=1.0, Unit="Count")
    await put(world, Values=[2.0, 3.0], Counts=[1.0, 2.0], Unit="Count")
    summary = {"SampleCount": 2.0, "Sum": 20.0, "Minimum": 4.0, "Maximum": 16.0}
    await put(world, StatisticValues=summary, Unit="Count")
    names = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"]
    assert await statistics(world, Statistics=names, ExtendedStatistics=["p50"]) == [
        {
            "Timestamp": NOON,
            **{"SampleCount": 6, "Average": 29 / 6, "Sum": 29.0, "Minimum": 1.0, "Maximum": 16.0},
            "Unit": "Count",
            "ExtendedStatistics": {"p50": 3.0},
        }
    ]


async def test_periods_begin_with_the_start_time(world: MetricsWorld) -> None:
    for minutes in (0, 4, 5, 11):
        await put(world, Value=1.0, Timestamp=NOON + timedelta(minutes=minutes))
    points = await statistics(world, Period=300, StartTime=NOON)
    assert [(point["Timestamp"].minute, point["Sum"]) for point in points] == [
        (0, 2.0),
        (5, 1.0),
        (10, 1.0),
    ]


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        (
            {"Statistics": []},
            "MissingRequiredParameterException",
            "At least one of the parameters Statistics and ExtendedStatistics must be specified.",
        ),
        (
            {"EndTime": NOON - HOUR},
            "InvalidParameterValueException",
            "The parameter StartTime must be less than the parameter EndTime.",
        ),
        (
            {"StartTime": NOON - timedelta(days=3), "EndTime": NOON},
            "InvalidParameterCombinationException",
            "You have requested up to 4,320 datapoints, which exceeds the limit of 1,440. You may"
            " reduce the datapoints requested by increasing Period, or decreasing the time range.",
        ),
    ],
)
async def test_statistics_refuse_in_cloudwatch_s_words(
    world: MetricsWorld, params: dict[str, Any], code: str, message: str
) -> None:
    with pytest.raises(AwsError) as refused:
        await statistics(world, **params)
    assert (refused.value.code, refused.value.message) == (code, message)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"Value": 1.0, "Values": [1.0]},
        {"Values": [1.0], "Counts": [1.0, 2.0]},
        {"Value": float("nan")},
        {"Value": 1.0, "Timestamp": NOON - timedelta(days=15)},
        {"Value": 1.0, "Timestamp": NOON + timedelta(hours=3)},
    ],
)
async def test_data_that_cloudwatch_refuses_is_refused_whole(
    world: MetricsWorld, members: dict[str, Any]
) -> None:
    with pytest.raises(AwsError):
        await world.call(
            "monitoring:PutMetricData",
            Namespace="Mine",
            MetricData=[datum(Value=1.0), datum(**members)],
        )
    assert await statistics(world) == []


async def test_namespaces_of_aws_are_not_for_clients(world: MetricsWorld) -> None:
    with pytest.raises(AwsError):
        await world.call(
            "monitoring:PutMetricData", Namespace="AWS/Lambda", MetricData=[datum(Value=1.0)]
        )


async def test_metric_data_reads_and_calculates(world: MetricsWorld) -> None:
    log = world.environment()
    for number in range(10):
        invoke(log, function_error="Unhandled" if number < 3 else "")

    def stat(name: str) -> dict[str, Any]:
        dimensions = [{"Name": "FunctionName", "Value": "f"}]
        metric = {"Namespace": "AWS/Lambda", "MetricName": name, "Dimensions": dimensions}
        return {"Metric": metric, "Period": 60, "Stat": "Sum"}

    answer = await world.call(
        "monitoring:GetMetricData",
        StartTime=NOON - HOUR,
        EndTime=NOON + HOUR,
        MetricDataQueries=[
            {"Id": "rate", "Expression": "part * 100", "Label": "Errors in per cent"},
            {"Id": "part", "Expression": "bad / all_of_them", "ReturnData": False},
            {"Id": "bad", "MetricStat": stat("Errors"), "ReturnData": False},
            {"Id": "all_of_them", "MetricStat": stat("Invocations")},
        ],
    )
    assert [
        (each["Id"], each["Label"], each["Timestamps"], each["Values"])
        for each in answer["MetricDataResults"]
    ] == [
        ("rate", "Errors in per cent", [NOON], [pytest.approx(30.0)]),
        ("all_of_them", "Invocations", [NOON], [10.0]),
    ]


@pytest.mark.parametrize(
    "expression", ["SEARCH('x', 'Sum', 60)", "__import__('os')", "m1 +", "unknown * 2", "1 + 1"]
)
async def test_metric_math_beyond_arithmetic_is_refused(
    world: MetricsWorld, expression: str
) -> None:
    with pytest.raises(AwsError, match="Error in expression"):
        await world.call(
            "monitoring:GetMetricData",
            StartTime=NOON - HOUR,
            EndTime=NOON + HOUR,
            MetricDataQueries=[{"Id": "e1", "Expression": expression}],
        )


async def test_metrics_are_listed_by_name_and_dimension(world: MetricsWorld) -> None:
    invoke(world.environment())
    await put(world, Value=1.0, Dimensions=[{"Name": "a", "Value": "1"}])
    await put(world, Value=1.0, Dimensions=[{"Name": "a", "Value": "2"}])
    listed = await world.call(
        "monitoring:ListMetrics", Namespace="Mine", Dimensions=[{"Name": "a"}]
    )
    assert [each["Dimensions"] for each in listed["Metrics"]] == [
        [{"Name": "a", "Value": "1"}],
        [{"Name": "a", "Value": "2"}],
    ]
    lambda_s = await world.call("monitoring:ListMetrics", MetricName="Duration")
    assert len(lambda_s["Metrics"]) == 3
    assert datetime.now(UTC) > NOON
