"""The cache of a stage: what methods have answered, by the keys that their integrations name.

A cluster is bounded in bytes, and the entry that nobody has asked for longest goes first. Left to
others: who may invalidate (the caller's policies), and when a cache is asked (`pipeline`).
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote

import msgspec

from lamington.core.clock import Clock
from lamington.gateway.entities import Method, MethodIntegration, Resource, RestApi, Stage
from lamington.gateway.mapping import (
    Expression,
    MethodRequest,
    RouteConstants,
    compile_request_expression,
    context_values,
    query_values,
)
from lamington.gateway.responses import MethodResponse, Refusal
from lamington.gateway.vtl.limits import TemplateError

CLUSTER_SIZES = ("0.5", "1.6", "6.1", "13.5", "28.4", "58.2", "118", "237")
"""What a cluster may hold, in gigabytes.

AWS: API reference, Stage, cacheClusterSize.
"""

CLUSTER_MAX_BYTES = 512 * 1024 * 1024
ENTRY_MAX_BYTES = 1_048_576
ENTRY_OVERHEAD_BYTES = 512
QUERIES_KEPT = 1_024
QUERY_KEPT_MAX = 256
TTL_DEFAULT_S = 300
TTL_MAX_S = 3600
IGNORED_WARNING = (
    "Warning",
    "199 Cache-control headers were ignored because the caller was unauthorized.",
)

MayInvalidate = Callable[[MethodRequest], bool]
"""Whether the caller has `execute-api:InvalidateCache` on the method."""

_Key = tuple[Hashable, ...]
_Part = Callable[[MethodRequest], Hashable]


class MethodCache(Protocol):
    """What a method has answered before, by what its API makes the key."""

    def find(self, request: MethodRequest) -> MethodResponse | None:
        """The response kept for such a request, to be changed at will; raises Refusal."""
        ...

    def keep(self, request: MethodRequest, response: MethodResponse) -> None: ...


@dataclass(frozen=True, slots=True)
class _Entry:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    expires: float
    size: int


class CacheCluster:
    """The entries of one stage, the one used last at the end."""

    __slots__ = ("_capacity_bytes", "entries", "monotonic", "size", "used_bytes")

    def __init__(self, size: str, clock: Clock) -> None:
        self.size = size
        self.entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self.used_bytes = 0
        self.monotonic = clock.monotonic
        self._capacity_bytes = min(int(float(size) * 1024**3), CLUSTER_MAX_BYTES)

    def put(self, key: _Key, entry: _Entry) -> None:
        self.drop(key)
        self.entries[key] = entry
        self.used_bytes += entry.size
        while self.used_bytes > self._capacity_bytes:
            _, gone = self.entries.popitem(last=False)
            self.used_bytes -= gone.size

    def drop(self, key: _Key) -> None:
        gone = self.entries.pop(key, None)
        if gone is not None:
            self.used_bytes -= gone.size

    def clear(self) -> None:
        self.entries.clear()
        self.used_bytes = 0


class CacheStore:
    """The clusters of all stages; they outlive deployments.

    AWS: API Gateway developer guide, caching.
    Differs: a cluster is there at once and in memory, whether encrypted or not; it holds 512 MiB
    at most, and is empty after a restart.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._clusters: dict[tuple[str, str], CacheCluster] = {}

    def open(self, api_id: str, stage_name: str, size: str) -> CacheCluster:
        """The cluster of a stage; one of another size is empty.

        AWS: another size is another cluster; all that was cached is gone.
        """
        size = size if size in CLUSTER_SIZES else CLUSTER_SIZES[0]
        cluster = self._clusters.get((api_id, stage_name))
        if cluster is None or cluster.size != size:
            cluster = self._clusters[api_id, stage_name] = CacheCluster(size, self._clock)
        return cluster

    def discard(self, api_id: str, stage_name: str) -> None:
        """Take a stage's cluster away, with all that it holds."""
        self._clusters.pop((api_id, stage_name), None)

    def flush(self, api_id: str, stage_name: str) -> None:
        cluster = self._clusters.get((api_id, stage_name))
        if cluster is not None:
            cluster.clear()


def compile_cache(
    *,
    api: RestApi,
    stage: Stage,
    resource: Resource,
    method: Method,
    store: CacheStore,
    variables: Mapping[str, str],
    may_invalidate: MayInvalidate,
) -> MethodCache | None:
    """Compile a method's cache; None where its answers are not kept.

    AWS: a stage needs a cluster and settings that enable caching; those for all methods mean GET
    alone, any other verb needs settings of its own. The key is verb, namespace and the values
    of the integration's key parameters, no more: a body or a path parameter that is not listed
    is not part of it. Each status is kept. A canary has entries of its own while its deployment
    is another one and it does not use the stage's cache.
    """
    if not stage.cache_cluster_enabled:
        store.discard(api.api_id, stage.stage_name)
        return None
    settings = own = stage.settings_of(resource.path, method.http_method)
    if method.http_method != "GET":
        own = stage.own_settings_of(resource.path, method.http_method)
    ttl_s = float(settings.get("cacheTtlInSeconds", TTL_DEFAULT_S))
    integration = method.integration
    if integration is None or not own.get("cachingEnabled") or ttl_s <= 0:
        return None
    canary = stage.canary_settings
    apart = canary.get("deploymentId") == stage.deployment_id and not canary.get("useStageCache")
    return _KeptResponses(
        cluster=store.open(api.api_id, stage.stage_name, stage.cache_cluster_size),
        prefix=("canary" if apart else "", integration.cache_namespace or resource.resource_id),
        parts=_compile_parts(integration, _constants(api, stage, resource, variables)),
        ttl_s=min(ttl_s, TTL_MAX_S),
        may_invalidate=may_invalidate
        if settings.get("requireAuthorizationForCacheControl", True)
        else _anybody,
        strategy=str(
            settings.get("unauthorizedCacheControlHeaderStrategy", "SUCCEED_WITH_RESPONSE_HEADER")
        ),
    )


def _anybody(request: MethodRequest) -> bool:
    return True


def _constants(
    api: RestApi, stage: Stage, resource: Resource, variables: Mapping[str, str]
) -> RouteConstants:
    return RouteConstants(
        resource_id=resource.resource_id,
        resource_path=resource.path,
        account_id="",  # The same for every request: no part of a key needs it.
        api_id=api.api_id,
        stage=stage.stage_name,
        deployment_id=stage.deployment_id,
        variables=variables,
    )


class _KeptResponses:
    __slots__ = ("_cluster", "_may_invalidate", "_parts", "_prefix", "_strategy", "_ttl_s")

    def __init__(
        self,
        *,
        cluster: CacheCluster,
        prefix: tuple[str, str],
        parts: tuple[_Part, ...],
        ttl_s: float,
        may_invalidate: MayInvalidate,
        strategy: str,
    ) -> None:
        self._cluster = cluster
        self._prefix = prefix
        self._parts = parts
        self._ttl_s = ttl_s
        self._may_invalidate = may_invalidate
        self._strategy = strategy

    def find(self, request: MethodRequest) -> MethodResponse | None:
        cluster = self._cluster
        key = (*self._prefix, request.method, *[part(request) for part in self._parts])
        ignored = False
        if "cache-control" in request.known and _asks_anew(request):
            if self._may_invalidate(request):
                cluster.drop(key)
                self._record(request, "bypass", key)
                return None
            ignored = self._ignore_invalidation()
        entry = cluster.entries.get(key)
        if entry is not None and entry.expires <= cluster.monotonic():
            cluster.drop(key)
            entry = None
        if request.recording is not None:
            self._record(request, "miss" if entry is None else "hit", key)
        if entry is None:
            return None
        cluster.entries.move_to_end(key)
        headers = list(entry.headers)
        if ignored:
            headers.append(IGNORED_WARNING)
        return MethodResponse(entry.status, headers, entry.body)

    def keep(self, request: MethodRequest, response: MethodResponse) -> None:
        """Keep a response where it may be kept; one that warns the client does so after that.

        AWS: a response of more than 1,048,576 bytes is not cached.
        """
        if response.stream is None and len(response.body) <= ENTRY_MAX_BYTES:
            key = (*self._prefix, request.method, *[part(request) for part in self._parts])
            size = len(response.body) + len(str(key)) + ENTRY_OVERHEAD_BYTES
            size += sum([len(name) + len(value) for name, value in response.headers])
            self._cluster.put(
                key,
                _Entry(
                    response.status,
                    tuple(response.headers),
                    response.body,
                    self._cluster.monotonic() + self._ttl_s,
                    size,
                ),
            )
        if (
            "cache-control" in request.known
            and _asks_anew(request)
            and not self._may_invalidate(request)
            and self._ignore_invalidation()
        ):
            response.headers.append(IGNORED_WARNING)

    def _ignore_invalidation(self) -> bool:
        """Go on as though nothing was asked; True where the client is to be told so.

        AWS: the strategies of unauthorizedCacheControlHeaderStrategy.
        Differs: no record of the refusal's text; it is the one of a denied access.
        """
        if self._strategy == "FAIL_WITH_403":
            raise Refusal(
                "The caller is not authorized to invalidate the cache",
                response_type="ACCESS_DENIED",
            )
        return self._strategy == "SUCCEED_WITH_RESPONSE_HEADER"

    def _record(self, request: MethodRequest, state: str, key: _Key) -> None:
        if request.recording is not None:
            shown = msgspec.to_builtins(key[1:])
            request.recording.add("cache", state=state, key=list(shown), ttl_s=self._ttl_s)


def _asks_anew(request: MethodRequest) -> bool:
    """AWS: `Cache-Control: max-age=0`; other directives have no effect."""
    value = request.known["cache-control"]
    return "max-age" in value and any(
        directive.replace(" ", "").lower() == "max-age=0" for directive in value.split(",")
    )


# Keys


def _compile_parts(integration: MethodIntegration, route: RouteConstants) -> tuple[_Part, ...]:
    """Compile the key parameters; one of the integration request is what is mapped to it.

    The order of the names has no say: methods that share a namespace need not list them alike.
    """
    names: list[str] = []
    parts: list[_Part] = []
    for parameter in sorted(set(integration.cache_key_parameters)):
        source = parameter
        if parameter.startswith("integration.request."):
            source = integration.request_parameters.get(parameter, "")
        place, _, name = source.removeprefix("method.request.").partition(".")
        if place == "querystring":
            names.append(name)
        elif place == "path":
            parts.append(_path_part(name))
        elif source:
            parts.append(_expression_part(source, route))
    if names:
        parts.append(_query_part(names))
    return tuple(parts)


def _path_part(name: str) -> _Part:
    def read(request: MethodRequest) -> str | None:
        value = request.path_parameters.get(name)
        return unquote(value) if value is not None and "%" in value else value

    return read


def _query_part(names: Sequence[str]) -> _Part:
    """All query parameters at once; who asks for the same again mostly writes it alike."""
    known: dict[str, Hashable] = {"": (None,) * len(names)}

    def read(request: MethodRequest) -> Hashable:
        query = request.query
        found = known.get(query)
        if found is None:
            values = query_values(query)[0]
            found = tuple([values.get(name) for name in names])
            if len(query) <= QUERY_KEPT_MAX:
                if len(known) >= QUERIES_KEPT:
                    known.clear()
                known[query] = found
        return found

    return read


def _expression_part(source: str, route: RouteConstants) -> _Part:
    try:
        expression: Expression = compile_request_expression(source, route.variables)
    except TemplateError:
        return lambda request: None
    needs_context = source.startswith("context.")

    def read(request: MethodRequest) -> str | None:
        try:
            return expression(request, context_values(route, request) if needs_context else {})
        except TemplateError:
            return None

    return read
