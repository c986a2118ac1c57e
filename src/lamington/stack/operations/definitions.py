"""A request's template, parameters, tags and capabilities to a definition that is checked.

All that AWS refuses before a stack is touched is refused here, in AWS's order. Left to others:
what is done with the definition (`stacks`, `change_sets`).
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from lamington.core.aws import Params, Scope
from lamington.stack.checks import check_template
from lamington.stack.directions import existing_of
from lamington.stack.entities import (
    STACK_NAME_LENGTH_MAX,
    TAGS_MAX,
    TEMPLATE_BODY_BYTES_MAX,
    TEMPLATE_BYTES_MAX,
    InsufficientCapabilitiesException,
    Stack,
    StackDefinition,
    StackResource,
    TemplateError,
    ValidationError,
)
from lamington.stack.forward import outputs_of
from lamington.stack.intrinsics import Evaluation, evaluation_of, pseudo_values
from lamington.stack.parameters import complete_parameters, parameter_values
from lamington.stack.planner import Plan, plan, require_order
from lamington.stack.providers.base import ProviderRegistry
from lamington.stack.template import Template, parse_template

FetchObject = Callable[[str, str, str, Scope], Awaitable[bytes]]
"""Bucket, key and version to an object's bytes; raises an AwsError where there is none."""

STACK_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]*")
STACK_NAME_OR_ARN = re.compile(r"[a-zA-Z][-a-zA-Z0-9]*|arn:[-a-zA-Z0-9:/._+]*")

_BUCKET_IN_HOST = re.compile(r"(.+)\.s3[.-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A definition that would be taken, and its template with the values given."""

    definition: StackDefinition
    evaluation: Evaluation


class RowLookup:
    """What `Ref` and `Fn::GetAtt` give over rows at rest."""

    def __init__(self, rows: Mapping[str, StackResource]) -> None:
        self._rows = rows

    def reference(self, logical_id: str) -> Any:
        return self._rows[logical_id].now.reference

    def attribute(self, logical_id: str, attribute: str) -> Any:
        return self._rows[logical_id].now.attributes.get(attribute, "")


class Definitions:
    """Makes definitions of requests."""

    def __init__(self, *, providers: ProviderRegistry, fetch_object: FetchObject) -> None:
        self._providers = providers
        self._fetch_object = fetch_object

    async def template(
        self, params: Params, scope: Scope, previous: StackDefinition | None = None
    ) -> Template:
        """The request's template, checked. Raises ValidationError."""
        template = parse_template(await self._text(params, scope, previous))
        self._require_types(template)
        check_template(template)
        return template

    async def prepare(
        self, params: Params, scope: Scope, stack: Stack, *, is_update: bool
    ) -> Prepared:
        """Check a request in AWS's order: template, parameters, capabilities, references.

        `stack` has the id and name that the definition is for, and what it had before.
        """
        previous = stack.definition if is_update else None
        template = await self.template(params, scope, previous)
        given = _given_parameters(params, previous)
        parameters = complete_parameters(template, given)
        definition = StackDefinition(
            template=template.text,
            description=template.description,
            parameters=parameters,
            hidden=tuple(name for name, each in template.parameters.items() if each.no_echo),
            tags=_tags(params, previous),
            capabilities=tuple(params.get("Capabilities", ())),
            notification_arns=_kept(params, "NotificationARNs", previous),
            role_arn=params.get("RoleARN", previous.role_arn if previous else ""),
        )
        evaluation = evaluation_of(
            template,
            parameter_values(template, parameters),
            pseudo_values(
                scope,
                stack_id=stack.stack_id,
                stack_name=stack.stack_name,
                notification_arns=definition.notification_arns,
            ),
        )
        require_order(evaluation)
        self._require_capabilities(template, definition.capabilities)
        self._require_allowed(template, params.get("ResourceTypes"))
        return Prepared(definition=definition, evaluation=evaluation)

    def plan(self, rows: Mapping[str, StackResource], prepared: Prepared, stack: Stack) -> Plan:
        """What the definition would change of the rows."""
        return plan(
            existing_of(rows.values()),
            prepared.evaluation,
            self._providers.facts(),
            tags_changed=prepared.definition.tags != stack.definition.tags,
        )

    def is_change(
        self, rows: Mapping[str, StackResource], prepared: Prepared, stack: Stack
    ) -> bool:
        """Whether an update has anything to do.

        AWS: outputs, tags and notification ARNs alone are an update; descriptions, parameters
        and conditions alone are none.
        """
        old, new = stack.definition, prepared.definition
        if old.tags != new.tags or old.notification_arns != new.notification_arns:
            return True
        if self.plan(rows, prepared, stack):
            return True
        return outputs_of(prepared.evaluation, RowLookup(rows)) != stack.outputs

    def capabilities(self, template: Template) -> tuple[list[str], str]:
        """What a template needs, and AWS's reason for it."""
        found: dict[str, None] = {}
        is_named = False
        for resource in template.resources.values():
            facts = self._providers[resource.resource_type].facts
            if facts.capability:
                found[resource.resource_type] = None
                is_named |= bool(facts.custom_name) and facts.custom_name in resource.properties
        if not found:
            return [], ""
        reason = f"The following resource(s) require capabilities: [{', '.join(found)}]"
        return ["CAPABILITY_NAMED_IAM" if is_named else "CAPABILITY_IAM"], reason

    def _require_types(self, template: Template) -> None:
        unknown = [
            each
            for each in template.resources.values()
            if each.resource_type not in self._providers
        ]
        if unknown:
            names = ", ".join(dict.fromkeys(each.resource_type for each in unknown))
            raise TemplateError(
                f"Template format error: Unrecognized resource types: [{names}]",
                where=template.position(("Resources", unknown[0].logical_id, "Type")),
                hint="Lamington does not emulate these types yet; it has "
                + ", ".join(self._providers),
            )

    def _require_capabilities(self, template: Template, given: tuple[str, ...]) -> None:
        needed, _ = self.capabilities(template)
        enough = {"CAPABILITY_NAMED_IAM", *needed}
        if needed and not enough & set(given):
            raise InsufficientCapabilitiesException(
                f"Requires capabilities : [{', '.join(needed)}]",
                hint=f"give `--capabilities {needed[0]}`",
            )

    def _require_allowed(self, template: Template, allowed: list[str] | None) -> None:
        if allowed is None:
            return
        for resource in template.resources.values():
            kind = resource.resource_type
            if not any(
                kind == each or (each.endswith("*") and kind.startswith(each[:-1]))
                for each in allowed
            ):
                raise ValidationError(
                    f"Resource type {kind} is not allowed by parameter ResourceTypes"
                    f" [{', '.join(allowed)}]"
                )

    async def _text(self, params: Params, scope: Scope, previous: StackDefinition | None) -> str:
        body, url = params.get("TemplateBody"), params.get("TemplateURL")
        if params.get("UsePreviousTemplate"):
            if body is not None or url is not None:
                raise ValidationError(
                    "Template URL or Template Body cannot be specified along with"
                    " UsePreviousTemplate"
                )
            if previous is not None:
                return previous.template
        if body is not None and url is not None:
            raise ValidationError("Template URL and Template Body cannot both be specified.")
        if body is not None:
            if len(body.encode()) > TEMPLATE_BODY_BYTES_MAX:
                raise ValidationError(
                    f"1 validation error detected: Value '{body[:64]}…' at 'templateBody' failed"
                    " to satisfy constraint: Member must have length less than or equal to"
                    f" {TEMPLATE_BODY_BYTES_MAX}",
                    hint="put the template in a bucket and give its `TemplateURL`",
                )
            return str(body)
        if url is None:
            raise ValidationError("Either Template URL or Template Body must be specified.")
        bucket, key, version = bucket_and_key(url)
        content = await self._fetch_object(bucket, key, version, scope)
        if len(content) > TEMPLATE_BYTES_MAX:
            raise ValidationError(f"Template may not exceed {TEMPLATE_BYTES_MAX} bytes in size.")
        return content.decode("utf-8", errors="replace")


def bucket_and_key(url: str) -> tuple[str, str, str]:
    """The bucket, key and version that an S3 URL names, in its host or in its path."""
    parts = urlsplit(url)
    key = unquote(parts.path.lstrip("/"))
    host = parts.hostname or ""
    version = parse_qs(parts.query).get("versionId", [""])[0]
    if parts.scheme not in ("http", "https") or not key:
        raise ValidationError("TemplateURL must be a supported URL.")
    in_host = _BUCKET_IN_HOST.match(host)
    if in_host is not None:
        return in_host.group(1), key, version
    bucket, _, key = key.partition("/")
    if not key:
        raise ValidationError("TemplateURL must be a supported URL.")
    return bucket, key, version


def require_stack_name(name: str) -> None:
    """Raises ValidationError for what is no stack name."""
    if not STACK_NAME.fullmatch(name):
        raise ValidationError(
            f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy"
            " constraint: Member must satisfy regular expression pattern:"
            f" {STACK_NAME_OR_ARN.pattern}"
        )
    if len(name) > STACK_NAME_LENGTH_MAX:
        raise ValidationError(
            f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy"
            f" constraint: Member must have length less than or equal to {STACK_NAME_LENGTH_MAX}"
        )


def _kept(params: Params, member: str, previous: StackDefinition | None) -> tuple[str, ...]:
    if member in params or previous is None:
        return tuple(params.get(member, ()))
    return previous.notification_arns


def _tags(params: Params, previous: StackDefinition | None) -> dict[str, str]:
    if "Tags" not in params and previous is not None:
        return previous.tags
    tags = {each["Key"]: each.get("Value", "") for each in params.get("Tags", ())}
    if len(tags) > TAGS_MAX:
        raise ValidationError(f"Number of tags must not exceed {TAGS_MAX}")
    for key in tags:
        if key.lower().startswith("aws:"):
            raise ValidationError(
                f"aws: prefixed tag key names are not allowed for external use: {key}"
            )
    return tags


def _given_parameters(params: Params, previous: StackDefinition | None) -> dict[str, str]:
    """The values that a request gives; an update may point at the values of before.

    AWS: a parameter that an update does not name takes the template's default, not its old value.
    """
    given: dict[str, str] = {}
    for each in params.get("Parameters", ()):
        name = each.get("ParameterKey", "")
        if name in given:
            raise ValidationError(f"Duplicate parameter key {name}")
        if each.get("UsePreviousValue"):
            if previous is None or name not in previous.parameters:
                raise ValidationError(
                    f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as"
                    " true for a parameter key not in the previous template"
                )
            given[name] = previous.parameters[name]
        elif "ParameterValue" in each:
            given[name] = each["ParameterValue"]
        else:
            raise ValidationError(
                f"Invalid input for parameter key {name}. Need to specify either usePreviousValue"
                " as true or a value for the parameter"
            )
    return given
