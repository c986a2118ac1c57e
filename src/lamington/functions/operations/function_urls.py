"""The Lambda API of function URLs: which function or alias has one, and how it answers.

Left to others: serving them (`functions.function_urls`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Clock, Ids
from lamington.core.store import Store, Table
from lamington.functions.entities import (
    LATEST,
    FunctionUrlConfig,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lamington.functions.function_urls import FunctionUrls
from lamington.functions.operations.constraints import (
    Constraint,
    constraint_failures,
    refuse,
)
from lamington.functions.operations.names import FunctionReference, parse_reference
from lamington.functions.operations.paging import limit_of, marker_of, next_marker
from lamington.functions.operations.registry import FunctionRegistry

URL_ID_LENGTH = 32
URL_PATH = "/_aws/lambda-url/"

_QUALIFIER = r"((?!^\d+$)^[0-9a-zA-Z-_]+$)"
_CONSTRAINTS: Mapping[str, Constraint] = {
    "AuthType": Constraint(options=("NONE", "AWS_IAM")),
    "InvokeMode": Constraint(options=("BUFFERED", "RESPONSE_STREAM")),
}
_NO_FUNCTION = "Function does not exist"
_NO_URL = "The resource you requested does not exist."


class RegistryPolicies:
    """The policies of functions and aliases, as serving URLs asks for them."""

    def __init__(self, registry: FunctionRegistry) -> None:
        self._registry = registry

    @property
    def policy_version(self) -> int:
        return self._registry.policy_version

    def statements(self, config: FunctionUrlConfig, scope: Scope) -> Sequence[Mapping[str, Any]]:
        policy = self._registry.policies.get(scope, config.function_name, config.qualifier)
        return () if policy is None else policy.statements


class FunctionUrlOperations:
    """Gives functions and aliases their URLs; versions have none."""

    def __init__(
        self,
        *,
        registry: FunctionRegistry,
        store: Store,
        urls: FunctionUrls,
        clock: Clock,
        ids: Ids,
        endpoint: Callable[[], str],
    ) -> None:
        """`endpoint` is the engine's address, such as `http://127.0.0.1:4566`."""
        self._registry = registry
        self._urls = urls
        self._clock = clock
        self._ids = ids
        self._endpoint = endpoint
        self._configs: Table[FunctionUrlConfig] = Table(
            store,
            "lambda_function_urls",
            FunctionUrlConfig,
            lambda row: (row.function_name, row.qualifier),
        )
        registry.dependants.append(self._delete_of)

    def operations(self) -> dict[str, Operation]:
        return {
            "lambda:CreateFunctionUrlConfig": self.create_function_url_config,
            "lambda:GetFunctionUrlConfig": self.get_function_url_config,
            "lambda:UpdateFunctionUrlConfig": self.update_function_url_config,
            "lambda:DeleteFunctionUrlConfig": self.delete_function_url_config,
            "lambda:ListFunctionUrlConfigs": self.list_function_url_configs,
        }

    def restore(self) -> None:
        """Put every URL into service: what a start does."""
        for scope, config in self._configs.everywhere():
            self._urls.deploy(config, scope)

    async def create_function_url_config(self, params: Params, scope: Scope) -> Result:
        """Give a function or an alias its URL.

        AWS: CreateFunctionUrlConfig; the invoke mode is shown where it was given.
        Differs: `FunctionUrl` is an address of this machine in a form that resolves everywhere,
        `http://127.0.0.1:4566/_aws/lambda-url/<id>/`; AWS's own name is taken as a Host header.
        """
        reference = _parse(params, scope)
        _require_valid(params)
        self._require_function(reference)
        if self._configs.get(scope, reference.function_name, reference.qualifier):
            raise ResourceConflictException(
                f"Failed to create function url config for [functionArn = {reference.arn}]. Error"
                " message:  FunctionUrlConfig exists for this Lambda function"
            )
        self._require_alias(reference)
        now = self._clock.now()
        config = FunctionUrlConfig(
            function_name=reference.function_name,
            qualifier=reference.qualifier,
            url_id=self._ids.token(URL_ID_LENGTH),
            auth_type=params["AuthType"],
            invoke_mode=params.get("InvokeMode") or "",
            cors=dict(params["Cors"]) if params.get("Cors") else None,
            created=now,
            modified=now,
        )
        self._put(scope, config)
        shown = self._shown(scope, config)
        del shown["LastModifiedTime"]
        if not config.invoke_mode:
            del shown["InvokeMode"]
        return shown

    async def get_function_url_config(self, params: Params, scope: Scope) -> Result:
        return self._shown(scope, self._require(_parse(params, scope)))

    async def update_function_url_config(self, params: Params, scope: Scope) -> Result:
        """Change what is given and keep the rest; an empty `Cors` takes it away."""
        reference = _parse(params, scope)
        _require_valid(params)
        self._require_function(reference)
        self._require_alias(reference)
        config = self._require(reference)
        cors = config.cors
        if params.get("Cors") is not None:
            cors = dict(params["Cors"]) or None
        changed = replace(
            config,
            auth_type=params.get("AuthType") or config.auth_type,
            invoke_mode=params.get("InvokeMode") or config.invoke_mode,
            cors=cors,
            modified=self._clock.now(),
        )
        self._put(scope, changed)
        return self._shown(scope, changed)

    async def delete_function_url_config(self, params: Params, scope: Scope) -> Result:
        config = self._require(_parse(params, scope))
        self._delete(scope, config)
        return {}

    async def list_function_url_configs(self, params: Params, scope: Scope) -> Result:
        """The URLs of a function and of its aliases."""
        reference = _parse(params, scope)
        self._require_function(reference)
        page = self._configs.page(
            scope, reference.function_name, marker=marker_of(params), limit=limit_of(params)
        )
        shown = [self._shown(scope, config) for config in page.rows]
        return {"FunctionUrlConfigs": shown, **next_marker(page.marker)}

    def _put(self, scope: Scope, config: FunctionUrlConfig) -> None:
        self._configs.put(scope, config)
        self._urls.deploy(config, scope)

    def _delete(self, scope: Scope, config: FunctionUrlConfig) -> None:
        self._configs.delete(scope, config.function_name, config.qualifier)
        self._urls.withdraw(config.url_id)

    def _delete_of(self, reference: FunctionReference) -> None:
        """Delete the URLs of a function that is deleted, or of one alias of it."""
        for config in self._configs.all(reference.scope, reference.function_name):
            if reference.qualifier in ("", config.qualifier):
                self._delete(reference.scope, config)

    def _require_function(self, reference: FunctionReference) -> None:
        if self._registry.functions.get(reference.scope, reference.function_name) is None:
            raise ResourceNotFoundException(_NO_FUNCTION)

    def _require_alias(self, reference: FunctionReference) -> None:
        if reference.qualifier and self._registry.alias(reference) is None:
            raise ResourceNotFoundException(_NO_FUNCTION)

    def _require(self, reference: FunctionReference) -> FunctionUrlConfig:
        found = self._configs.get(reference.scope, reference.function_name, reference.qualifier)
        if found is None:
            raise ResourceNotFoundException(_NO_URL)
        return found

    def _shown(self, scope: Scope, config: FunctionUrlConfig) -> Result:
        reference = FunctionReference(
            function_name=config.function_name, qualifier=config.qualifier, scope=scope
        )
        shown: Result = {
            "FunctionUrl": f"{self._endpoint()}{URL_PATH}{config.url_id}/",
            "FunctionArn": reference.arn,
            "AuthType": config.auth_type,
            "CreationTime": _timestamp(config.created),
            "LastModifiedTime": _timestamp(config.modified),
            "InvokeMode": config.invoke_mode or "BUFFERED",
        }
        if config.cors is not None:
            shown["Cors"] = config.cors
        return shown


def _parse(params: Params, scope: Scope) -> FunctionReference:
    """Read the name; a version, `$LATEST` included, is refused as the model's pattern does."""
    qualifier = params.get("Qualifier") or ""
    if qualifier and not re.fullmatch(r"(?!\d+$)[0-9a-zA-Z-_]+", qualifier):
        refuse(
            [
                f"Value '{qualifier}' at 'qualifier' failed to satisfy constraint: Member must"
                f" satisfy regular expression pattern: {_QUALIFIER}"
            ]
        )
    reference = parse_reference(params["FunctionName"], scope, qualifier)
    if reference.qualifier == LATEST or reference.qualifier.isdigit():
        refuse(
            [
                f"Value '{params['FunctionName']}' at 'functionName' failed to satisfy constraint:"
                f" Member must satisfy regular expression pattern: {_FUNCTION_NAME}"
            ]
        )
    return reference


_FUNCTION_NAME = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?"
    r"(\d{12}:)?(function:)?([a-zA-Z0-9-_]{1,64})(:((?!\d+$)[0-9a-zA-Z-_]+))?"
)


def _require_valid(params: Params) -> None:
    refuse(
        [
            failure
            for name, constraint in _CONSTRAINTS.items()
            if params.get(name) is not None
            for failure in constraint_failures(name, params[name], constraint)
        ]
    )


def _timestamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}Z"
