"""The Lambda API of asynchronous invocation: how events are treated, and the old InvokeAsync.

Left to others: what is done with events (`functions.queue`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

from lamington.core.aws import Arn, Operation, Params, Result, Scope
from lamington.core.clock import Clock
from lamington.core.errors import LamingtonError
from lamington.core.store import Store, Table
from lamington.functions.destinations import DESTINATION_SERVICES
from lamington.functions.entities import (
    LATEST,
    EventInvokeConfig,
    InvalidParameterValueException,
    ResourceNotFoundException,
)
from lamington.functions.invoke import Invocation, InvocationResult
from lamington.functions.operations.constraints import Constraint, constraint_failures, refuse
from lamington.functions.operations.names import (
    FunctionReference,
    parse_function,
    parse_reference,
    reference_of,
)
from lamington.functions.operations.paging import limit_of, marker_of, next_marker
from lamington.functions.operations.registry import FunctionRegistry
from lamington.functions.payloads import require_payload
from lamington.functions.queue import EVENT_AGE_MAX_S, RETRY_ATTEMPTS_MAX, EventSettings
from lamington.functions.tracing import TRACE_HEADER

EVENT_AGE_MIN_S = 60

_DESTINATION = Constraint(
    length=(0, 350),
    pattern=(
        r"$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:"
        r"((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)"
    ),
)
_CONSTRAINTS: Mapping[str, Constraint] = {
    "MaximumRetryAttempts": Constraint(value=(0, RETRY_ATTEMPTS_MAX)),
    "MaximumEventAgeInSeconds": Constraint(value=(EVENT_AGE_MIN_S, EVENT_AGE_MAX_S)),
}


class EventInvokeConfigOperations:
    """Keeps an EventInvokeConfig for each version and alias; the EventConfiguration of the queue.

    AWS: Lambda developer guide, configuring asynchronous invocation: what is invoked by an alias
    or a version has that one's configuration, and only that.
    """

    def __init__(self, *, registry: FunctionRegistry, store: Store, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._configs: Table[EventInvokeConfig] = Table(
            store,
            "lambda_event_invoke_configs",
            EventInvokeConfig,
            lambda row: (row.function_name, row.qualifier),
        )
        registry.dependants.append(self._delete_with)

    def operations(self) -> dict[str, Operation]:
        return {
            "lambda:PutFunctionEventInvokeConfig": self.put_function_event_invoke_config,
            "lambda:UpdateFunctionEventInvokeConfig": self.update_function_event_invoke_config,
            "lambda:GetFunctionEventInvokeConfig": self.get_function_event_invoke_config,
            "lambda:DeleteFunctionEventInvokeConfig": self.delete_function_event_invoke_config,
            "lambda:ListFunctionEventInvokeConfigs": self.list_function_event_invoke_configs,
        }

    def settings_of(self, function_arn: str) -> EventSettings:
        """How events for this ARN are treated now; raises ResourceNotFoundException."""
        reference = reference_of(function_arn)
        function = self._registry.require(reference)
        version = self._registry.version(reference)
        dead_letter = (version.settings.get("DeadLetterConfig") or {}).get("TargetArn") or ""
        is_disabled = function.reserved_concurrency == 0
        config = self._configs.get(
            reference.scope, reference.function_name, reference.qualifier or LATEST
        )
        if config is None:
            return EventSettings(dead_letter=dead_letter, is_disabled=is_disabled)
        retries, age_s = config.retry_attempts_max, config.event_age_max_s
        return EventSettings(
            retry_attempts_max=RETRY_ATTEMPTS_MAX if retries is None else retries,
            event_age_max_s=EVENT_AGE_MAX_S if age_s is None else age_s,
            on_success=config.on_success,
            on_failure=config.on_failure,
            dead_letter=dead_letter,
            is_disabled=is_disabled,
        )

    def undeliverable(self, scope: Scope) -> list[str]:
        """The destinations whose services are not emulated yet, a sentence each."""
        return [
            f"`{config.function_name}` has its {word} destination in a service that is not emulated"
            f" yet: {arn}; such deliveries are logged and counted as DestinationDeliveryFailures"
            for config in self._configs.all(scope)
            for word, arn in (("success", config.on_success), ("failure", config.on_failure))
            if arn and not arn.startswith(scope.arn("lambda", ""))
        ]

    async def put_function_event_invoke_config(self, params: Params, scope: Scope) -> Result:
        """Replace all of the configuration."""
        reference = self._require_valid(params, scope)
        destinations = params.get("DestinationConfig") or {}
        config = EventInvokeConfig(
            function_name=reference.function_name,
            qualifier=reference.qualifier,
            retry_attempts_max=params.get("MaximumRetryAttempts"),
            event_age_max_s=params.get("MaximumEventAgeInSeconds"),
            on_success=_destination(destinations, "OnSuccess"),
            on_failure=_destination(destinations, "OnFailure"),
            last_modified=self._clock.now(),
        )
        self._configs.put(scope, config)
        return _render(config, scope)

    async def update_function_event_invoke_config(self, params: Params, scope: Scope) -> Result:
        """Change what is given; a DestinationConfig replaces both destinations."""
        reference = self._require_valid(params, scope)
        changed = replace(self._require(reference), last_modified=self._clock.now())
        if params.get("MaximumRetryAttempts") is not None:
            changed = replace(changed, retry_attempts_max=params["MaximumRetryAttempts"])
        if params.get("MaximumEventAgeInSeconds") is not None:
            changed = replace(changed, event_age_max_s=params["MaximumEventAgeInSeconds"])
        destinations = params.get("DestinationConfig")
        if destinations is not None:
            changed = replace(
                changed,
                on_success=_destination(destinations, "OnSuccess"),
                on_failure=_destination(destinations, "OnFailure"),
            )
        self._configs.put(scope, changed)
        return _render(changed, scope)

    async def get_function_event_invoke_config(self, params: Params, scope: Scope) -> Result:
        return _render(self._require(_reference(params, scope)), scope)

    async def delete_function_event_invoke_config(self, params: Params, scope: Scope) -> Result:
        config = self._require(_reference(params, scope))
        self._configs.delete(scope, config.function_name, config.qualifier)
        return {}

    async def list_function_event_invoke_configs(self, params: Params, scope: Scope) -> Result:
        reference = parse_function(params["FunctionName"], scope)
        if self._registry.functions.get(scope, reference.function_name) is None:
            raise ResourceNotFoundException("The function doesn't exist.")
        page = self._configs.page(
            scope, reference.function_name, marker=marker_of(params), limit=limit_of(params)
        )
        configs = [_render(config, scope) for config in page.rows]
        return {"FunctionEventInvokeConfigs": configs, **next_marker(page.marker)}

    def _require_valid(self, params: Params, scope: Scope) -> FunctionReference:
        """Check all that a configuration is asked to be; what it is for, qualified."""
        reference = _reference(params, scope)
        refuse(list(_failures(params)))
        settings = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")
        if all(params.get(member) is None for member in settings):
            raise InvalidParameterValueException(
                "You must specify at least one of error handling or destination setting."
            )
        try:
            self._registry.require(reference)
            self._registry.version(reference)
        except ResourceNotFoundException:
            raise ResourceNotFoundException("The function doesn't exist.") from None
        self._require_destinations(params.get("DestinationConfig") or {}, reference)
        return reference

    def _require_destinations(
        self, destinations: Mapping[str, Any], reference: FunctionReference
    ) -> None:
        success, failure = (_destination(destinations, name) for name in ("OnSuccess", "OnFailure"))
        if not (_may_take(failure, {*DESTINATION_SERVICES}) and _may_take(success, _FOR_SUCCESS)):
            on_success = f"OnSuccess(destination={success})" if success else "null"
            on_failure = f"OnFailure(destination={failure})" if failure else "null"
            raise InvalidParameterValueException(
                f"The provided destination config DestinationConfig(onSuccess={on_success},"
                f" onFailure={on_failure}) is invalid."
            )
        for destination in filter(None, (failure, success)):
            if Arn.parse(destination).service != "lambda":
                continue
            try:
                target = reference_of(destination)
            except ResourceNotFoundException:
                raise _invalid(destination) from None
            if self._registry.functions.get(target.scope, target.function_name) is None:
                raise _invalid(destination)
            if (target.scope, target.function_name) == (reference.scope, reference.function_name):
                raise InvalidParameterValueException(
                    "You can't specify the function as a destination for itself."
                )

    def _require(self, reference: FunctionReference) -> EventInvokeConfig:
        found = self._configs.get(
            reference.scope, reference.function_name, reference.qualifier or LATEST
        )
        if found is None:
            raise ResourceNotFoundException(
                f"The function {reference.arn} doesn't have an EventInvokeConfig"
            )
        return found

    def _delete_with(self, reference: FunctionReference) -> None:
        """What was configured goes with the function, version or alias."""
        scope, name = reference.scope, reference.function_name
        if reference.qualifier:
            self._configs.delete(scope, name, reference.qualifier)
            return
        for config in self._configs.all(scope, name):
            self._configs.delete(scope, name, config.qualifier)


_FOR_SUCCESS = DESTINATION_SERVICES - {"s3"}


class EventInvoker(Protocol):
    """Takes an event: it is on disk when `invoke` returns."""

    async def invoke(self, invocation: Invocation) -> InvocationResult: ...


class AsyncInvocationOperations:
    """The API of 2014 by which events were handed over before Invoke could."""

    def __init__(self, registry: FunctionRegistry, invoker: EventInvoker) -> None:
        self._registry = registry
        self._invoker = invoker

    def operations(self) -> dict[str, Operation]:
        return {"lambda:InvokeAsync": self.invoke_async}

    async def invoke_async(self, params: Params, scope: Scope) -> Result:
        """Hand a function an event.

        AWS: InvokeAsync, deprecated; the body is the event.
        """
        reference = parse_reference(params["FunctionName"], scope)
        self._registry.version(reference)
        given = params.get("InvokeArgs") or b""
        payload = given.encode() if isinstance(given, str) else bytes(given)
        require_payload(payload, "Event")
        metadata = params.get("RequestMetadata") or {}
        headers = metadata.get("HTTPHeaders")
        result = await self._invoker.invoke(
            Invocation(
                function_arn=reference.arn,
                payload=payload,
                invocation_type="Event",
                trace_id=headers.get(TRACE_HEADER) if headers is not None else "",
                checked=True,
            )
        )
        return {"Status": result.status, "ResponseMetadata": {"RequestId": result.request_id}}


def _reference(params: Params, scope: Scope) -> FunctionReference:
    """What a configuration is for: unqualified it is that of `$LATEST`."""
    reference = parse_reference(params["FunctionName"], scope, params.get("Qualifier") or "")
    return replace(reference, qualifier=reference.qualifier or LATEST)


def _destination(destinations: Mapping[str, Any], name: str) -> str:
    return (destinations.get(name) or {}).get("Destination") or ""


def _failures(params: Params) -> Iterator[str]:
    for member, constraint in _CONSTRAINTS.items():
        if params.get(member) is not None:
            yield from constraint_failures(member, params[member], constraint)
    destinations = params.get("DestinationConfig") or {}
    for name in ("OnFailure", "OnSuccess"):
        destination = _destination(destinations, name)
        if destination:
            path = f"DestinationConfig.{name}.Destination"
            yield from constraint_failures(path, destination, _DESTINATION)


def _may_take(destination: str, services: set[str] | frozenset[str]) -> bool:
    """Whether records may go there; "" is nowhere.

    AWS: neither FIFO queues nor FIFO topics.
    """
    if not destination:
        return True
    try:
        arn = Arn.parse(destination)
    except LamingtonError:
        return False
    is_fifo = arn.service in ("sqs", "sns") and arn.resource.endswith(".fifo")
    return arn.service in services and not is_fifo


def _invalid(destination: str) -> InvalidParameterValueException:
    return InvalidParameterValueException(f"The destination ARN {destination} is invalid.")


def _render(config: EventInvokeConfig, scope: Scope) -> dict[str, Any]:
    """AWS: numbers that were not given are absent; destinations that were not are empty maps."""
    function = f"function:{config.function_name}:{config.qualifier}"
    rendered: dict[str, Any] = {
        "LastModified": config.last_modified,
        "FunctionArn": scope.arn("lambda", function),
        "DestinationConfig": {
            name: {"Destination": destination} if destination else {}
            for name, destination in (
                ("OnSuccess", config.on_success),
                ("OnFailure", config.on_failure),
            )
        },
    }
    if config.retry_attempts_max is not None:
        rendered["MaximumRetryAttempts"] = config.retry_attempts_max
    if config.event_age_max_s is not None:
        rendered["MaximumEventAgeInSeconds"] = config.event_age_max_s
    return rendered
