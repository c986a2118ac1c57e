"""The CloudWatch metrics API: put, list, and statistics by period.

Left to others: where metrics are kept and what Lambda's own are (`functions/metrics`), alarms and
dashboards, which there are none of.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Clock
from lamington.core.errors import AwsError
from lamington.functions.distribution import Distribution, one_value
from lamington.functions.metrics import Dimensions, Metrics
from lamington.functions.operations.metric_math import (
    Series,
    ValidationError,
    compile_expression,
    names_in_expression,
)

METRICS_MAX = 1000
VALUES_MAX = 150
DIMENSIONS_MAX = 30
QUERIES_MAX = 500
DATAPOINTS_MAX = 1440
DATA_MAX = 100_800
LIST_MAX = 500
VALUE_MAX = 2.0**360
OLDEST = timedelta(days=14)
NEWEST = timedelta(hours=2)
RECENT = timedelta(hours=3)

_STATISTICS: Mapping[str, Callable[[Distribution], float]] = {
    "SampleCount": lambda values: values.count,
    "Average": lambda values: values.average,
    "Sum": lambda values: values.total,
    "Minimum": lambda values: values.least,
    "Maximum": lambda values: values.most,
}
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")
_ID = re.compile("[a-z][a-zA-Z0-9_]*")


class InvalidParameterValueException(AwsError):
    """CloudWatch's refusal of a value."""

    status = 400


class InvalidParameterCombinationException(AwsError):
    """Parameters that do not go together."""

    status = 400


class MissingRequiredParameterException(AwsError):
    """One of several parameters had to be given."""

    status = 400


class InvalidNextToken(AwsError):
    """A token that is not one of ours."""

    status = 400


class MetricOperations:
    """Metrics for API clients."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock

    def operations(self) -> dict[str, Operation]:
        return {
            "monitoring:PutMetricData": self.put_metric_data,
            "monitoring:ListMetrics": self.list_metrics,
            "monitoring:GetMetricStatistics": self.get_metric_statistics,
            "monitoring:GetMetricData": self.get_metric_data,
        }

    async def put_metric_data(self, params: Params, scope: Scope) -> Result:
        """Take values, all of a request or none.

        Differs: values are kept by the minute, those of high resolution too; entities are
        accepted and not kept.
        """
        namespace = params["Namespace"]
        if namespace.startswith("AWS/"):
            raise InvalidParameterValueException(
                f"The value {namespace} for parameter Namespace is invalid: it must not begin with"
                " AWS/."
            )
        given: list[Params] = list(params.get("MetricData") or ())
        for entity in params.get("EntityMetricData") or ():
            given += entity.get("MetricData") or ()
        if not given:
            raise MissingRequiredParameterException("The parameter MetricData is required.")
        if len(given) > METRICS_MAX:
            raise InvalidParameterValueException(
                f"The collection MetricData must not have a size greater than {METRICS_MAX}."
            )
        read = [
            (datum, self._moment(datum, f"MetricData.member.{number}"), values)
            for number, datum in enumerate(given, 1)
            for values in [_values(datum, f"MetricData.member.{number}")]
        ]
        for datum, at, values in read:
            self._metrics.put(
                scope,
                namespace,
                datum["MetricName"],
                _dimensions(datum.get("Dimensions")),
                at,
                datum.get("Unit") or "None",
                values,
            )
        return {}

    async def list_metrics(self, params: Params, scope: Scope) -> Result:
        """Metrics by namespace, name and dimensions; a dimension without value takes any."""
        since = None
        if params.get("RecentlyActive"):
            since = self._clock.now() - RECENT
        wanted = params.get("Dimensions") or ()
        name = params.get("MetricName")
        found = [
            metric
            for metric in self._metrics.names(scope, params.get("Namespace") or "", since)
            if (not name or metric[1] == name)
            and all(_has_dimension(metric[2], each) for each in wanted)
        ]
        start = _token(params)
        shown = [
            {
                "Namespace": namespace,
                "MetricName": metric_name,
                "Dimensions": _render_dimensions(dimensions),
            }
            for namespace, metric_name, dimensions in found[start : start + LIST_MAX]
        ]
        more = start + LIST_MAX < len(found)
        return {"Metrics": shown, **({"NextToken": str(start + LIST_MAX)} if more else {})}

    async def get_metric_statistics(self, params: Params, scope: Scope) -> Result:
        """Statistics of one metric, in order of time, by periods from the start time on."""
        simple: Sequence[str] = params.get("Statistics") or ()
        extended: Sequence[str] = params.get("ExtendedStatistics") or ()
        if not simple and not extended:
            raise MissingRequiredParameterException(
                "At least one of the parameters Statistics and ExtendedStatistics must be"
                " specified."
            )
        for each in extended:
            if _PERCENTILE.fullmatch(each) is None:
                raise InvalidParameterValueException(
                    f"The value {each} for parameter ExtendedStatistics is not supported: Lamington"
                    " has percentiles, such as p99 or p99.9."
                )
        start, end, period = params["StartTime"], params["EndTime"], params["Period"]
        _require_span(start, end, period)
        count = math.ceil((end - start).total_seconds() / period)
        if count > DATAPOINTS_MAX:
            raise InvalidParameterCombinationException(
                f"You have requested up to {count:,} datapoints, which exceeds the limit of"
                f" {DATAPOINTS_MAX:,}. You may reduce the datapoints requested by increasing"
                " Period, or decreasing the time range."
            )
        metric = (params["Namespace"], params["MetricName"], _dimensions(params.get("Dimensions")))
        unit = params.get("Unit") or ""
        values = self._metrics.read(scope, *metric, start, end, unit)
        shown_unit = unit or self._metrics.unit(scope, *metric)
        first = int(start.timestamp() // 60) * 60
        return {
            "Label": params["MetricName"],
            "Datapoints": [
                {
                    "Timestamp": datetime.fromtimestamp(at, UTC),
                    **{name: _STATISTICS[name](found) for name in simple if name in _STATISTICS},
                    "Unit": shown_unit,
                    **(
                        {"ExtendedStatistics": {each: statistic(found, each) for each in extended}}
                        if extended
                        else {}
                    ),
                }
                for at, found in _periods(values, first, period)
            ],
        }

    async def get_metric_data(self, params: Params, scope: Scope) -> Result:
        """Values of several metrics, and of sums, differences and the like of them.

        Differs: of metric math there are the four operations and SUM, AVG, MIN, MAX; queries in
        SQL and the search for metrics are refused.
        """
        start, end = params["StartTime"], params["EndTime"]
        queries: Sequence[Params] = params["MetricDataQueries"]
        if len(queries) > QUERIES_MAX:
            raise ValidationError(
                f"The collection MetricDataQueries must not have a size greater than {QUERIES_MAX}."
            )
        _require_queries(queries)
        series: dict[str, Series] = {}
        for query in queries:
            if query.get("MetricStat"):
                series[query["Id"]] = self._metric_series(query["MetricStat"], scope, start, end)
        for query in _in_order_of_need(queries):
            series[query["Id"]] = compile_expression(query["Expression"])(series)
        if sum(map(len, series.values())) > DATA_MAX:
            raise ValidationError(f"The request is for more than {DATA_MAX:,} values.")
        newest_first = params.get("ScanBy", "TimestampDescending") != "TimestampAscending"
        results = []
        for query in queries:
            if query.get("ReturnData") is False:
                continue
            found = sorted(series[query["Id"]].items(), reverse=newest_first)
            results.append(
                {
                    "Id": query["Id"],
                    "Label": query.get("Label") or _label(query),
                    "Timestamps": [datetime.fromtimestamp(at, UTC) for at, _ in found],
                    "Values": [value for _, value in found],
                    "StatusCode": "Complete",
                }
            )
        return {"MetricDataResults": results, "Messages": []}

    def _metric_series(self, stat: Params, scope: Scope, start: datetime, end: datetime) -> Series:
        metric, period = stat["Metric"], stat["Period"]
        _require_span(start, end, period)
        if stat["Stat"] not in _STATISTICS and _PERCENTILE.fullmatch(stat["Stat"]) is None:
            raise ValidationError(
                f"The statistic {stat['Stat']} is not supported: Lamington has"
                f" {', '.join(_STATISTICS)} and percentiles, such as p99."
            )
        values = self._metrics.read(
            scope,
            metric.get("Namespace", ""),
            metric.get("MetricName", ""),
            _dimensions(metric.get("Dimensions")),
            start,
            end,
            stat.get("Unit") or "",
        )
        return {at: statistic(found, stat["Stat"]) for at, found in _periods(values, 0, period)}

    def _moment(self, datum: Params, where: str) -> datetime:
        now = self._clock.now()
        at: datetime = datum.get("Timestamp") or now
        if not now - OLDEST <= at <= now + NEWEST:
            raise InvalidParameterValueException(
                f"The parameter {where}.Timestamp must specify a time within the past two weeks"
                " and no more than two hours in the future."
            )
        return at


def statistic(values: Distribution, name: str) -> float:
    """One statistic, by AWS's name; percentiles are right to 0.8 %."""
    read = _STATISTICS.get(name)
    return values.percentile(float(name[1:])) if read is None else read(values)


def _periods(
    values: Mapping[int, Distribution], first: int, period: int
) -> Iterator[tuple[int, Distribution]]:
    """The values by periods, from the second `first` on; periods without values are left out."""
    found: dict[int, Distribution] = {}
    for minute, part in values.items():
        at = minute * 60
        start = at - (at - first) % period
        found.setdefault(start, Distribution()).merge(part)
    yield from sorted(found.items())


def _values(datum: Params, where: str) -> Distribution:
    """The values of one datum in one of its three forms. Raises AwsErrors."""
    forms = [name for name in ("Value", "Values", "StatisticValues") if datum.get(name) is not None]
    if len(forms) > 1:
        raise InvalidParameterCombinationException(
            f"The parameters {where}.{forms[0]} and {where}.{forms[1]} are mutually exclusive and"
            " you have specified both."
        )
    if not forms:
        raise MissingRequiredParameterException(
            f"At least one of the parameters {where}.Value, {where}.Values and"
            f" {where}.StatisticValues must be specified."
        )
    made = Distribution()
    if forms == ["StatisticValues"]:
        given = datum["StatisticValues"]
        numbers = [given[name] for name in ("SampleCount", "Sum", "Minimum", "Maximum")]
        _require_finite(numbers, where)
        made.add_summary(numbers[0], numbers[1], numbers[2], numbers[3])
        return made
    if forms == ["Value"]:
        _require_finite([datum["Value"]], where)
        return one_value(datum["Value"])
    values: Sequence[float] = datum["Values"]
    counts: Sequence[float] = datum.get("Counts") or [1.0] * len(values)
    if len(values) != len(counts):
        raise InvalidParameterValueException(
            f"The parameters {where}.Values and {where}.Counts must be of the same size."
        )
    if len(values) > VALUES_MAX:
        raise InvalidParameterValueException(
            f"The collection {where}.Values must not have a size greater than {VALUES_MAX}."
        )
    _require_finite([*values, *counts], where)
    for value, count in zip(values, counts, strict=True):
        made.add(value, count)
    return made


def _require_finite(numbers: Sequence[float], where: str) -> None:
    for number in numbers:
        if not -VALUE_MAX <= number <= VALUE_MAX:
            raise InvalidParameterValueException(f"The value {number} for {where} is invalid.")


def _require_span(start: datetime, end: datetime, period: int) -> None:
    if start >= end:
        raise InvalidParameterValueException(
            "The parameter StartTime must be less than the parameter EndTime."
        )
    if period < 1 or (period % 60 and period not in (1, 5, 10, 20, 30)):
        raise InvalidParameterValueException(
            "The parameter Period must be a multiple of 60, or one of 1, 5, 10, 20, 30."
        )


def _require_queries(queries: Sequence[Params]) -> None:
    seen = set()
    for query in queries:
        name = query["Id"]
        if _ID.fullmatch(name) is None:
            raise ValidationError(
                f"The value {name} for parameter MetricDataQueries.member.Id is invalid: it must"
                " begin with a lowercase letter and hold letters, digits and underscores."
            )
        if name in seen:
            raise ValidationError(f"The Id {name} is used by several queries.")
        seen.add(name)
        if bool(query.get("MetricStat")) == bool(query.get("Expression")):
            raise ValidationError(
                f"The query {name} must have either MetricStat or Expression, and not both."
            )


def _in_order_of_need(queries: Sequence[Params]) -> Iterator[Params]:
    """The expressions, each after those that it names."""
    ready = {query["Id"] for query in queries if query.get("MetricStat")}
    left = [query for query in queries if query.get("Expression")]
    while left:
        following = [query for query in left if names_in_expression(query["Expression"]) <= ready]
        if not following:
            raise ValidationError(
                f"Error in expression '{left[0]['Id']}': it names what is no Id of this request."
            )
        yield from following
        ready.update(query["Id"] for query in following)
        left = [query for query in left if query["Id"] not in ready]


def _label(query: Params) -> str:
    if query.get("Expression"):
        return str(query["Id"])
    return str(query["MetricStat"]["Metric"].get("MetricName", ""))


def _dimensions(given: Any) -> Dimensions:
    if given and len(given) > DIMENSIONS_MAX:
        raise InvalidParameterValueException(
            f"The collection Dimensions must not have a size greater than {DIMENSIONS_MAX}."
        )
    return tuple(sorted((each["Name"], each["Value"]) for each in given or ()))


def _render_dimensions(dimensions: Dimensions) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in dimensions]


def _has_dimension(dimensions: Dimensions, wanted: Params) -> bool:
    return any(
        name == wanted["Name"] and wanted.get("Value") in (None, value)
        for name, value in dimensions
    )


def _token(params: Params) -> int:
    token = params.get("NextToken") or "0"
    if not token.isdecimal():
        raise InvalidNextToken("The next token specified is invalid.")
    return int(token)
