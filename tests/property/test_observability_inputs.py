"""Whatever comes in as a query, as CBOR or as embedded metrics: it is read or refused."""

import contextlib
import json
from typing import Any

import cbor2
from hypothesis import given
from hypothesis import strategies as st

from lamington.core.http import Headers, Request
from lamington.functions.distribution import Distribution
from lamington.functions.insights import QueryRun, compile_query
from lamington.functions.log_store import LogEvent
from lamington.functions.metrics import parse_embedded
from lamington.functions.operations.metric_math import ValidationError, compile_expression
from lamington.functions.query_expressions import MalformedQueryException
from lamington.wire.parse import parse_request
from lamington.wire.services import SerializationException, Services, spoken_by

WORDS = st.sampled_from(
    [
        *("fields", "filter", "stats", "sort", "limit", "parse", "dedup", "display", "tail", "by"),
        *("|", ",", "(", ")", "[", "]", "as", "and", "or", "not", "in", "like", "=", "!=", ">"),
        *("+", "-", "*", "/", "^", "%", "@message", "@timestamp", "a", "a.b.0", "`x y`", "count"),
        *("avg", "pct", "bin", "5m", "1", "2.5", '"a*b"', "/x(?<y>.)/", "strlen", "abs", "desc"),
        *("concat", "earliest", "count(*)", "bin(1s)", "fields @message", "stats count(*) by a"),
    ]
)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
SERVICES = Services()


@given(st.lists(WORDS, max_size=14).map(" ".join) | st.text(max_size=40), DOCUMENTS)
def test_query_runs_or_is_refused(text: str, document: Any) -> None:
    with contextlib.suppress(MalformedQueryException):
        run = QueryRun(compile_query(text))
        messages = ["plain", json.dumps({"a": document}), "REPORT RequestId: x\tDuration: ms"]
        run.take(
            [
                LogEvent(
                    stream_name="s",
                    timestamp_ms=number * 1000,
                    ingestion_ms=0,
                    message=message,
                    event_id=str(number),
                )
                for number, message in enumerate(messages)
            ],
            "g",
        )
        for row in run.results():
            assert all(isinstance(each["value"], str) for each in row)


@given(st.binary(max_size=40) | DOCUMENTS.map(cbor2.dumps))
def test_cbor_is_read_or_refused(body: bytes) -> None:
    request = Request(
        method="POST",
        path="/service/GraniteServiceVersion20100801/operation/PutMetricData",
        headers=Headers([("smithy-protocol", "rpc-v2-cbor")]),
        body=body,
    )
    with contextlib.suppress(SerializationException):
        parse_request(request, spoken_by(request, SERVICES.require("monitoring")))


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_embedded_metrics_are_read_or_passed_by(names: Any, metrics: Any, value: Any) -> None:
    directives = [{"Namespace": "n", "Dimensions": names, "Metrics": metrics}]
    described = {"Timestamp": value, "CloudWatchMetrics": directives}
    for line in ({"_aws": described, "a": value}, {"_aws": names, "a": 1}):
        for *_, values in parse_embedded(json.dumps(line).encode(), 1_767_225_600_000):
            assert values.count >= 1


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_percentiles_rise_and_stay_within_the_ends(values: list[float]) -> None:
    made = Distribution()
    made.add_all(values)
    found = [made.percentile(share) for share in (0, 1, 25, 50, 75, 99, 100)]
    assert found == sorted(found)
    assert min(values) <= found[0]
    assert found[-1] <= max(values)


@given(st.text("m1+-*/()[] ,SUMAVG.^2e", max_size=20))
def test_metric_math_is_calculated_or_refused(text: str) -> None:
    with contextlib.suppress(ValidationError, KeyError):
        compile_expression(text)({"m1": {0: 1.0, 60: 0.0}})
