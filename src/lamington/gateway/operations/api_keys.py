"""The API Gateway operations on API keys: what clients of usage plans are told apart by.

Left to others: usage plans and which keys they have (`usage_plans`), and what a key opens
(`gateway/usage_plans`).
"""

import csv
import io
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Clock, Ids
from lamington.gateway.entities import (
    ApiKey,
    BadRequestException,
    ConflictException,
    NotFoundException,
    UsagePlan,
    UsagePlanKey,
)
from lamington.gateway.operations.tables import Patch, listing, parse_patches
from lamington.gateway.operations.usage_plans import require_plan, require_single_plan
from lamington.gateway.results import parse_time, shown
from lamington.gateway.service_quotas import DEFAULT_QUOTAS, ServiceQuotas, require_room
from lamington.gateway.usage_plans import UsagePlans

VALUE_MIN = 20
IMPORTED_VALUE_MIN = 30
VALUE_MAX = 128
NAME_MAX = 1024
GENERATED_VALUE_LENGTH = 40
_VALUE_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

API_KEY_PATCH_PATHS: Mapping[str, tuple[str, ...]] = {
    "add": ("/labels", "/stages"),
    "remove": ("/labels", "/stages"),
    "replace": ("/customerId", "/description", "/enabled", "/name"),
}
"""By operation. AWS: API reference, patch operations."""


class ApiKeyOperations:
    """What AWS's API says of API keys; each change acts on the next request."""

    def __init__(
        self,
        *,
        plans: UsagePlans,
        clock: Clock,
        ids: Ids,
        quotas: ServiceQuotas = DEFAULT_QUOTAS,
    ) -> None:
        self._plans = plans
        self._quotas = quotas
        self._clock = clock
        self._ids = ids

    def operations(self) -> dict[str, Callable[[Params, Scope], Awaitable[Result]]]:
        return {
            "apigateway:CreateApiKey": self.create_api_key,
            "apigateway:GetApiKey": self.get_api_key,
            "apigateway:GetApiKeys": self.get_api_keys,
            "apigateway:UpdateApiKey": self.update_api_key,
            "apigateway:DeleteApiKey": self.delete_api_key,
            "apigateway:ImportApiKeys": self.import_api_keys,
        }

    async def create_api_key(self, params: Params, scope: Scope) -> Result:
        """Make a key, with a value of its own where none is given.

        AWS: a key is disabled unless `enabled` says otherwise.
        Differs: `stageKeys`, of the time before usage plans, are shown and open nothing.
        """
        value = params.get("value") or self._ids.token(GENERATED_VALUE_LENGTH, _VALUE_ALPHABET)
        name = params.get("name") or ""
        _require_value(value)
        _require_name(name)
        if self._by_value(scope, value) is not None:
            raise ConflictException("API Key already exists")
        require_room(len(self._plans.keys.all(scope)), self._quotas.api_keys, "API Keys", "account")
        now = self._clock.now().isoformat()
        key = ApiKey(
            key_id=self._ids.token(10),
            value=value,
            name=name,
            description=params.get("description") or "",
            enabled=bool(params.get("enabled")),
            customer_id=params.get("customerId") or "",
            stage_keys=tuple(
                f"{each.get('restApiId', '')}/{each.get('stageName', '')}"
                for each in params.get("stageKeys") or ()
            ),
            tags=dict(params.get("tags") or {}),
            created=now,
            last_updated=now,
        )
        self._plans.keys.put(scope, key)
        return api_key_result(key, with_value=True)

    async def get_api_key(self, params: Params, scope: Scope) -> Result:
        key = require_key(self._plans, scope, params["apiKey"])
        return api_key_result(key, with_value=bool(params.get("includeValue")))

    async def get_api_keys(self, params: Params, scope: Scope) -> Result:
        """A page of the keys, those whose name begins with `nameQuery` where there is one."""
        name = params.get("nameQuery") or ""
        customer = params.get("customerId") or ""
        with_values = bool(params.get("includeValues"))
        return listing(
            params,
            [
                (key.key_id, key)
                for key in self._plans.keys.all(scope)
                if key.name.startswith(name) and (not customer or key.customer_id == customer)
            ],
            lambda key: api_key_result(key, with_value=with_values),
        )

    async def update_api_key(self, params: Params, scope: Scope) -> Result:
        key = require_key(self._plans, scope, params["apiKey"])
        for patch in parse_patches(params):
            key = _patched(key, patch)
        key = replace(key, last_updated=self._clock.now().isoformat())
        self._plans.keys.put(scope, key)
        self._plans.key_changed(scope, key, self._plans.plans_of(scope, key.key_id))
        return api_key_result(key)

    async def delete_api_key(self, params: Params, scope: Scope) -> Result:
        key = require_key(self._plans, scope, params["apiKey"])
        plans = self._plans.plans_of(scope, key.key_id)
        with self._plans.transaction():
            for plan in plans:
                self._plans.plan_keys.delete(scope, plan.plan_id, key.key_id)
                self._plans.key_left(scope, key, plan)
            self._plans.keys.delete(scope, key.key_id)
        return {}

    async def import_api_keys(self, params: Params, scope: Scope) -> Result:
        """Make or overwrite the keys of a CSV file, and put them into usage plans.

        AWS: developer guide, API key file format; a key is the same as another of its value.
        Differs: the texts of warnings are likely ones; a line with one is passed over.
        """
        if params["format"] != "csv":
            raise BadRequestException(f"Invalid format: {params['format']}", hint="use `csv`")
        body = params.get("body") or b""
        text = body if isinstance(body, str) else body.decode("utf-8-sig", "replace")
        known = {key.value: key for key in self._plans.keys.all(scope)}
        lines, warnings = self._read_lines(scope, text, known)
        values = {*known, *(line.value for line in lines)}
        if len(values) > len(known):
            require_room(len(values) - 1, self._quotas.api_keys, "API Keys", "account")
        if warnings and params.get("failOnWarnings"):
            raise BadRequestException("\n".join(warnings))
        imported: dict[str, tuple[ApiKey, list[UsagePlan]]] = {}
        with self._plans.transaction():
            for line in lines:
                before = known.get(line.value)
                plans = [] if before is None else self._plans.plans_of(scope, before.key_id)
                key = known[line.value] = self._imported(line, before)
                self._plans.keys.put(scope, key)
                for plan in line.plans:
                    self._plans.plan_keys.put(
                        scope, UsagePlanKey(plan_id=plan.plan_id, key_id=key.key_id)
                    )
                imported[key.key_id] = (key, [*plans, *line.plans])
        for key, plans in imported.values():
            self._plans.key_changed(scope, key, plans)
        return {"ids": list(imported), "warnings": warnings}

    def _read_lines(
        self, scope: Scope, text: str, known: Mapping[str, ApiKey]
    ) -> tuple[list["_Line"], list[str]]:
        quote = "'" if "'" in text and '"' not in text else '"'
        # Lines may end as on any system.
        reader = csv.reader(io.StringIO(text, newline=None), quotechar=quote, skipinitialspace=True)
        try:
            rows = [(reader.line_num, row) for row in reader]
        except csv.Error as error:
            raise BadRequestException(f"Invalid CSV: {error}") from None
        names = [each.strip().lower() for each in rows[0][1]] if rows else []
        missing = [column for column in ("name", "key") if column not in names]
        if missing:
            raise BadRequestException(f"Missing required columns: {', '.join(missing)}")
        lines: list[_Line] = []
        warnings: list[str] = []
        for number, row in rows[1:]:
            if not any(row):
                continue
            try:
                lines.append(self._line(scope, dict(zip(names, row, strict=False)), known))
            except (BadRequestException, NotFoundException, ConflictException) as refusal:
                warnings.append(f"Line {number}: {refusal.message}")
        return lines, warnings

    def _line(
        self, scope: Scope, values: Mapping[str, str], known: Mapping[str, ApiKey]
    ) -> "_Line":
        value, name = values.get("key", "").strip(), values.get("name", "").strip()
        if value not in known:
            _require_value(value, IMPORTED_VALUE_MIN)
        _require_name(name)
        plan_ids = values.get("usageplanids", "").split(",")
        plans = [
            require_plan(self._plans, scope, each.strip()) for each in plan_ids if each.strip()
        ]
        if value in known:
            for plan in plans:
                require_single_plan(self._plans, scope, known[value], plan)
        return _Line(
            name=name,
            value=value,
            description=values.get("description", "").strip(),
            enabled=values.get("enabled", "").strip().lower() in ("", "true"),
            plans=tuple(plans),
        )

    def _imported(self, line: "_Line", before: ApiKey | None) -> ApiKey:
        now = self._clock.now().isoformat()
        known = before or ApiKey(
            key_id=self._ids.token(10), value=line.value, created=now, last_updated=now
        )
        return replace(
            known,
            name=line.name,
            description=line.description,
            enabled=line.enabled,
            last_updated=now,
        )

    def _by_value(self, scope: Scope, value: str) -> ApiKey | None:
        return next((key for key in self._plans.keys.all(scope) if key.value == value), None)

    # Tags

    def tags(self, scope: Scope, key_id: str) -> dict[str, str]:
        """The tags of a key; raises NotFoundException."""
        return dict(require_key(self._plans, scope, key_id).tags)

    def put_tags(self, scope: Scope, key_id: str, tags: dict[str, str]) -> None:
        key = require_key(self._plans, scope, key_id)
        self._plans.keys.put(scope, replace(key, tags=tags))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One key of a file."""

    name: str
    value: str
    description: str
    enabled: bool
    plans: tuple[UsagePlan, ...]


def require_key(plans: UsagePlans, scope: Scope, key_id: str) -> ApiKey:
    """The key of this id, or NotFoundException."""
    key = plans.keys.get(scope, key_id)
    if key is None:
        raise NotFoundException("Invalid API Key identifier specified")
    return key


def api_key_result(key: ApiKey, *, with_value: bool = False) -> Result:
    """A key as AWS shows it; its value only to who asks for it."""
    return {
        **shown(
            {
                "id": key.key_id,
                "value": key.value if with_value else "",
                "name": key.name,
                "customerId": key.customer_id,
                "description": key.description,
            }
        ),
        "enabled": key.enabled,
        "createdDate": parse_time(key.created),
        "lastUpdatedDate": parse_time(key.last_updated),
        "stageKeys": list(key.stage_keys),
        **shown({"tags": dict(key.tags)}),
    }


def _require_value(value: str, least: int = VALUE_MIN) -> None:
    """AWS: both texts are recorded; a file's values are longer (API key file format)."""
    if len(value) < least:
        raise BadRequestException(f"API Key value should be at least {least} characters")
    if len(value) > VALUE_MAX:
        raise BadRequestException(f"API Key value exceeds maximum size of {VALUE_MAX} characters")


def _require_name(name: str) -> None:
    if len(name) > NAME_MAX:
        raise BadRequestException(f"API Key name exceeds maximum size of {NAME_MAX} characters")


def _patched(key: ApiKey, patch: Patch) -> ApiKey:
    """Differs: labels, which nothing of AWS's API shows, are taken and not kept."""
    patch.require_path(API_KEY_PATCH_PATHS.get(patch.op, ()))
    match patch.path[0]:
        case "name":
            _require_name(patch.value)
            return replace(key, name=patch.value)
        case "description":
            return replace(key, description=patch.value)
        case "customerId":
            return replace(key, customer_id=patch.value)
        case "enabled":
            return replace(key, enabled=patch.flag)
        case "stages":
            left = tuple(each for each in key.stage_keys if each != patch.value)
            added = (patch.value,) if patch.op == "add" else ()
            return replace(key, stage_keys=left + added)
        case _:
            return key
