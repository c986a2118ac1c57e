"""Queries of CloudWatch Logs Insights for API clients.

A query works while its results are asked for, in slices between which the loop has its turn:
there is nothing to stop when the engine ends. Left to others: the language (`insights`), which is
loaded when the first query comes.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Clock, Ids
from lamington.functions.log_store import LogEvent, LogStore
from lamington.functions.operations.filter_pattern import InvalidParameterException
from lamington.functions.operations.logs import ResourceNotFoundException, group_name_of

if TYPE_CHECKING:
    from lamington.functions.insights import QueryRun

QUERIES_MAX = 100
"""Queries that are remembered; the oldest are forgotten first."""

GROUPS_MAX = 50
RESULTS_MAX = 10_000
SLICE_EVENTS = 1000
WORK_LIMIT_S = 1.0
"""So long one request works on a query; the next one goes on."""

DESCRIBE_MAX = 1000


class LogQueryOperations:
    """Queries over log groups, kept in memory."""

    def __init__(self, logs: LogStore, clock: Clock, ids: Ids) -> None:
        self._logs = logs
        self._clock = clock
        self._ids = ids
        self._queries: dict[str, _StartedQuery] = {}

    def operations(self) -> dict[str, Operation]:
        return {
            "logs:StartQuery": self.start_query,
            "logs:GetQueryResults": self.get_query_results,
            "logs:StopQuery": self.stop_query,
            "logs:DescribeQueries": self.describe_queries,
        }

    async def start_query(self, params: Params, scope: Scope) -> Result:
        """Take a query over one or several groups; times are in seconds, both included.

        Differs: of the three query languages there is Logs Insights' own.
        """
        from lamington.functions.insights import QueryRun, compile_query

        if params.get("queryLanguage", "CWLI") != "CWLI":
            raise InvalidParameterException(
                f"Lamington has the query language CWLI, not {params['queryLanguage']}."
            )
        groups = self._groups(params, scope)
        start, end = _milliseconds(params["startTime"]), _milliseconds(params["endTime"])
        if start > end:
            raise InvalidParameterException("Query's end date and time is before its start.")
        limit = params.get("limit") or RESULTS_MAX
        if not 1 <= limit <= RESULTS_MAX:
            raise InvalidParameterException(f"limit must be between 1 and {RESULTS_MAX}.")
        query_id = self._ids.uuid()
        while len(self._queries) >= QUERIES_MAX:
            del self._queries[next(iter(self._queries))]
        self._queries[query_id] = _StartedQuery(
            text=params["queryString"],
            run=QueryRun(compile_query(params["queryString"], limit)),
            logs=self._logs,
            scope=scope,
            groups=groups,
            span_ms=(start, end + 1000),
            created_ms=int(self._clock.now().timestamp() * 1000),
        )
        return {"queryId": query_id}

    async def get_query_results(self, params: Params, scope: Scope) -> Result:
        """The rows that a query has found so far, and whether it is done."""
        query = self._require(params, scope)
        await query.work(self._clock)
        run = query.run
        rows = run.results()
        return {
            "queryLanguage": "CWLI",
            "results": rows,
            "statistics": {
                "recordsMatched": float(run.matched),
                "recordsScanned": float(run.scanned),
                "bytesScanned": float(run.scanned_bytes),
                "logGroupsScanned": float(len(query.groups)),
                "resultCount": float(len(rows)),
            },
            "status": query.status,
        }

    async def stop_query(self, params: Params, scope: Scope) -> Result:
        """End a query; one that is done already cannot be stopped."""
        query = self._require(params, scope)
        stopped = query.status == "Running"
        if stopped:
            query.status = "Cancelled"
        return {"success": stopped}

    async def describe_queries(self, params: Params, scope: Scope) -> Result:
        """The queries that are remembered, the newest first."""
        group, status = params.get("logGroupName"), params.get("status")
        found = [
            {
                "queryLanguage": "CWLI",
                "queryId": query_id,
                "queryString": query.text,
                "status": query.status,
                "createTime": query.created_ms,
                "logGroupName": query.groups[0],
            }
            for query_id, query in reversed(self._queries.items())
            if query.scope == scope
            and (not group or group in query.groups)
            and (not status or status == query.status)
        ]
        return {"queries": found[: params.get("maxResults") or DESCRIBE_MAX]}

    def _require(self, params: Params, scope: Scope) -> "_StartedQuery":
        query = self._queries.get(params["queryId"])
        if query is None or query.scope != scope:
            raise ResourceNotFoundException("Query does not exist.")
        return query

    def _groups(self, params: Params, scope: Scope) -> list[str]:
        given = [
            *([params["logGroupName"]] if params.get("logGroupName") else []),
            *(params.get("logGroupNames") or ()),
            *(params.get("logGroupIdentifiers") or ()),
        ]
        forms = ("logGroupName", "logGroupNames", "logGroupIdentifiers")
        if sum(bool(params.get(name)) for name in forms) != 1:
            raise InvalidParameterException(
                "Exactly one of logGroupName, logGroupNames and logGroupIdentifiers must be given."
            )
        if len(given) > GROUPS_MAX:
            raise InvalidParameterException(f"A query takes {GROUPS_MAX} log groups at most.")
        groups = list(dict.fromkeys(map(group_name_of, given)))
        known = {group.name for group in self._logs.groups(scope)}
        for group in groups:
            if group not in known:
                raise ResourceNotFoundException(
                    f"Log group '{group}' does not exist for account ID '{scope.account_id}'"
                )
        return groups


class _StartedQuery:
    """A query, and how far it has come."""

    def __init__(
        self,
        *,
        text: str,
        run: "QueryRun",
        logs: LogStore,
        scope: Scope,
        groups: Sequence[str],
        span_ms: tuple[int, int],
        created_ms: int,
    ) -> None:
        self.text = text
        self.run = run
        self.scope = scope
        self.groups = groups
        self.created_ms = created_ms
        self.status = "Running"
        self._logs = logs
        self._span_ms = span_ms
        self._left = list(groups)
        self._token = ""
        self._is_at_work = False

    async def work(self, clock: Clock) -> None:
        """Go on for a while, or until all is read."""
        if self._is_at_work or self.status != "Running":
            return
        self._is_at_work = True
        began = clock.monotonic()
        try:
            while self.status == "Running" and clock.monotonic() - began < WORK_LIMIT_S:
                self._slice()
                await asyncio.sleep(0)
        finally:
            self._is_at_work = False

    def _slice(self) -> None:
        from lamington.functions.insights import TooManyRows

        group = self._left[0]
        events, more = self._read(group)
        try:
            wants_more = self.run.take(events, f"{self.scope.account_id}:{group}")
        except TooManyRows:
            self.status = "Failed"
            return
        if not more or not wants_more:
            del self._left[0]
            self._token = ""
        if not self._left:
            self.status = "Complete"

    def _read(self, group: str) -> tuple[list[LogEvent], bool]:
        page = self._logs.read_events(
            self.scope,
            group,
            start_ms=self._span_ms[0],
            end_ms=self._span_ms[1],
            limit=SLICE_EVENTS,
            token=self._token,
            backwards=True,
        )
        self._token = page.before
        return page.events[::-1], page.more


def _milliseconds(time: Any) -> int:
    """AWS: seconds since 1970; milliseconds are understood too."""
    return int(time) if time >= 100_000_000_000 else int(time) * 1000
