"""Logs, metrics and the bill as unchanged clients see them, over every protocol they speak."""

import json
import subprocess
import time
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import cbor2
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from function_world import archive
from lamington.testing import RunningEngine
from processes import AWS, aws_environment, wait_until

HANDLER = """
import json
def handler(event, context):
    print(json.dumps({"level": "INFO", "paid": event.get("paid", 1), "who": {"name": "ann"}}))
    if event.get("fail"):
        raise ValueError("told to")
    return event
"""
HOUR = timedelta(hours=1)


def create_function(engine: RunningEngine, name: str, text: str, **more: Any) -> None:
    engine.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="app.handler",
        Role="arn:aws:iam::000000000000:role/anything",
        Code={"ZipFile": archive({"app.py": text})},
        **more,
    )
    engine.client("lambda").get_waiter("function_active_v2").wait(FunctionName=name)


def span() -> dict[str, Any]:
    now = datetime.now(UTC)
    return {"StartTime": now - HOUR, "EndTime": now + HOUR}


def test_metrics_of_a_function_are_read_by_boto3(live_engine: RunningEngine) -> None:
    create_function(live_engine, "measured", HANDLER)
    client, cloudwatch = live_engine.client("lambda"), live_engine.client("cloudwatch")
    for payload in (b"{}", b"{}", b'{"fail": true}'):
        client.invoke(FunctionName="measured", Payload=payload)
    dimensions: list[Any] = [{"Name": "FunctionName", "Value": "measured"}]
    found = cloudwatch.get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Invocations",
        Dimensions=dimensions,
        Period=86_400,
        Statistics=["Sum"],
        **span(),
    )
    query = {
        "Metric": {
            "Namespace": "AWS/Lambda",
            "MetricName": "Errors",
            "Dimensions": dimensions,
        },
        "Period": 86_400,
        "Stat": "Sum",
    }
    data = cloudwatch.get_metric_data(
        MetricDataQueries=[{"Id": "errors", "MetricStat": query}],
        **span(),
    )
    listed = cloudwatch.list_metrics(Namespace="AWS/Lambda", Dimensions=dimensions)

    assert sum(point["Sum"] for point in found["Datapoints"]) == 3
    assert found["Datapoints"][0]["Unit"] == "Count"
    assert sum(data["MetricDataResults"][0]["Values"]) == 1
    assert {"Duration", "Errors", "Invocations"} <= {
        metric["MetricName"] for metric in listed["Metrics"]
    }


def test_metrics_that_a_client_puts_come_back(live_engine: RunningEngine) -> None:
    cloudwatch = live_engine.client("cloudwatch")
    cloudwatch.put_metric_data(
        Namespace="Shop",
        MetricData=[
            {"MetricName": "sold", "Values": [1.0, 2.5], "Counts": [3.0, 1.0], "Unit": "Count"}
        ],
    )
    points = cloudwatch.get_metric_statistics(
        Namespace="Shop",
        MetricName="sold",
        Period=60,
        Statistics=["Sum", "SampleCount", "Maximum"],
        ExtendedStatistics=["p50"],
        **span(),
    )["Datapoints"]
    assert [(point["Sum"], point["SampleCount"], point["Maximum"]) for point in points] == [
        (5.5, 4.0, 2.5)
    ]
    assert points[0]["ExtendedStatistics"] == {"p50": 1.0}


def test_refusal_of_cloudwatch_has_the_code_that_clients_know(live_engine: RunningEngine) -> None:
    cloudwatch = live_engine.client("cloudwatch")
    with pytest.raises(ClientError) as refused:
        cloudwatch.get_metric_statistics(Namespace="Shop", MetricName="sold", Period=60, **span())
    error = refused.value.response["Error"]
    assert error["Code"] == "MissingParameter"
    assert error["Message"] == (
        "At least one of the parameters Statistics and ExtendedStatistics must be specified."
    )
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_protocols_of_older_clients_are_understood(live_engine: RunningEngine) -> None:
    def ask(path: str, body: bytes, **headers: str) -> Any:
        request = urllib.request.Request(
            live_engine.endpoint_url + path,
            data=body,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        return urllib.request.urlopen(request)

    fields = {
        **{"Action": "PutMetricData", "Version": "2010-08-01", "Namespace": "Old"},
        **{"MetricData.member.1.MetricName": "query", "MetricData.member.1.Value": "2.5"},
        "MetricData.member.1.Dimensions.member.1.Name": "a",
        "MetricData.member.1.Dimensions.member.1.Value": "b",
    }
    form = "application/x-www-form-urlencoded"
    ask("/", urllib.parse.urlencode(fields).encode(), Content_Type=form)
    listing = urllib.parse.urlencode(
        {"Action": "ListMetrics", "Version": "2010-08-01", "Namespace": "Old"}
    )
    listed = ask("/", listing.encode(), Content_Type=form).read().decode()
    by_json = ask(
        "/",
        b'{"Namespace":"Old"}',
        Content_Type="application/x-amz-json-1.0",
        X_Amz_Target="GraniteServiceVersion20100801.ListMetrics",
    )
    by_cbor = ask(
        "/service/GraniteServiceVersion20100801/operation/ListMetrics",
        cbor2.dumps({"Namespace": "Old"}),
        Content_Type="application/cbor",
        Smithy_Protocol="rpc-v2-cbor",
    )
    metric = {
        "Namespace": "Old",
        "MetricName": "query",
        "Dimensions": [{"Name": "a", "Value": "b"}],
    }
    assert "<ListMetricsResult><Metrics><member><Namespace>Old</Namespace>" in listed
    assert json.loads(by_json.read()) == {"Metrics": [metric]}
    assert by_cbor.headers["smithy-protocol"] == "rpc-v2-cbor"
    assert cbor2.loads(by_cbor.read()) == {"Metrics": [metric]}


def test_insights_query_over_a_function_s_log(live_engine: RunningEngine) -> None:
    create_function(live_engine, "queried", HANDLER)
    client, logs = live_engine.client("lambda"), live_engine.client("logs")
    for paid in (1, 2, 3):
        client.invoke(FunctionName="queried", Payload=json.dumps({"paid": paid}).encode())
    now = int(time.time())

    def ask(text: str) -> list[dict[str, str]]:
        started = logs.start_query(
            logGroupName="/aws/lambda/queried",
            startTime=now - 3600,
            endTime=now + 3600,
            queryString=text,
        )
        wait_until(
            lambda: logs.get_query_results(queryId=started["queryId"])["status"] == "Complete",
            otherwise="the query is done",
        )
        rows = logs.get_query_results(queryId=started["queryId"])["results"]
        return [
            {each["field"]: each["value"] for each in row if each["field"] != "@ptr"}
            for row in rows
        ]

    assert ask("stats sum(paid) as total, count(*) as n by who.name | sort total desc") == [
        {"who.name": "ann", "total": "6", "n": "3"}
    ]
    reports = ask('filter @type = "REPORT" | stats count(*) as n, max(@memorySize) as size')
    assert reports == [{"n": "3", "size": "128000000"}]
    with pytest.raises(ClientError) as refused:
        ask("fields @message | explode")
    assert refused.value.response["Error"]["Code"] == "MalformedQueryException"
    place = refused.value.response["queryCompileError"]["location"]  # type: ignore[typeddict-item]
    assert place == {"startCharOffset": 18, "endCharOffset": 25}


def test_live_tail_shows_what_is_logged_from_now_on(live_engine: RunningEngine) -> None:
    create_function(live_engine, "followed", HANDLER)
    client = live_engine.client("lambda")
    client.invoke(FunctionName="followed", Payload=b'{"paid": 1}')
    # boto3 puts `stream-` before the endpoint's host, which no resolver knows here.
    logs = boto3.client(
        "logs",
        endpoint_url=live_engine.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="000000000000",
        aws_secret_access_key="test",
        config=Config(inject_host_prefix=False),
    )
    arn = "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/followed"
    assert logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/followed")["logGroups"]
    stream = logs.start_live_tail(
        logGroupIdentifiers=[arn], logEventFilterPattern="{ $.paid = 7 }"
    )["responseStream"]
    seen: list[str] = []
    for number, event in enumerate(stream):
        if number == 0:
            assert event["sessionStart"]["logGroupIdentifiers"] == [arn]
            client.invoke(FunctionName="followed", Payload=b'{"paid": 7}')
            continue
        seen += [each["message"] for each in event["sessionUpdate"]["sessionResults"]]
        if seen or number > 5:
            break
    stream.close()
    assert [json.loads(line)["paid"] for line in seen] == [7]


def test_bill_is_answered_over_http(live_engine: RunningEngine) -> None:
    create_function(live_engine, "billed", HANDLER, MemorySize=1024)
    client = live_engine.client("lambda")
    for _ in range(4):
        client.invoke(FunctionName="billed", Payload=b"{}")
    with urllib.request.urlopen(f"{live_engine.endpoint_url}/_lamington/bill") as answer:
        bill = json.loads(answer.read())
    line = next(each for each in bill["functions"] if each["function"] == "billed")
    assert line["requests"] == 4
    assert line["cold_starts"] >= 1
    assert line["gb_seconds"] == pytest.approx(line["billed_ms"] / 1000)
    assert line["charges"]["requests"] == pytest.approx(4 * 0.0000002)
    assert bill["to_pay"] == 0.0


def test_terminal_reads_metrics_and_logs(live_engine: RunningEngine) -> None:
    create_function(live_engine, "typed", HANDLER)
    live_engine.client("lambda").invoke(FunctionName="typed", Payload=b'{"paid": 4}')

    def aws(*arguments: str) -> str:
        command = [AWS, "--endpoint-url", live_engine.endpoint_url, "--output", "json", *arguments]
        done = subprocess.run(
            command, env=aws_environment(), capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    metric = ("--namespace", "Typed", "--metric-name", "pressed")
    aws("cloudwatch", "put-metric-data", *metric, "--value", "3")
    now = datetime.now(UTC)
    span_given = ("--start-time", f"{now - HOUR:%FT%TZ}", "--end-time", f"{now + HOUR:%FT%TZ}")
    read = ("--period", "60", "--statistics", "Sum")
    found = json.loads(aws("cloudwatch", "get-metric-statistics", *metric, *span_given, *read))
    assert [point["Sum"] for point in found["Datapoints"]] == [3.0]
    group = ("--log-group-name", "/aws/lambda/typed")
    events = json.loads(aws("logs", "filter-log-events", *group, "--filter-pattern", "REPORT"))
    assert [event["message"][:18] for event in events["events"]] == ["REPORT RequestId: "]
