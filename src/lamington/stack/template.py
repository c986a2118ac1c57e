"""YAML or JSON text to a Template: its sections checked for their shape, with positions.

Left to others: what functions give and whether references lead anywhere (`intrinsics`), whether
parameter values fit (`parameters`), whether a resource type exists (`operations`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lamington.core.documents import AliasError, Document, Path, is_json, load_document
from lamington.core.errors import Position, UsageError
from lamington.stack.entities import (
    DESCRIPTION_BYTES_MAX,
    MAPPINGS_MAX,
    NAME_LENGTH_MAX,
    OUTPUTS_MAX,
    PARAMETERS_MAX,
    RESOURCES_MAX,
    TemplateError,
)

SECTIONS = (
    "AWSTemplateFormatVersion",
    "Description",
    "Metadata",
    "Parameters",
    "Rules",
    "Mappings",
    "Conditions",
    "Transform",
    "Resources",
    "Outputs",
    "Hooks",
)
RESOURCE_MEMBERS = frozenset(
    {
        "Type",
        "Properties",
        "DependsOn",
        "Condition",
        "Metadata",
        "DeletionPolicy",
        "UpdateReplacePolicy",
        "UpdatePolicy",
        "CreationPolicy",
    }
)
PARAMETER_MEMBERS = frozenset(
    {
        "Type",
        "Default",
        "AllowedValues",
        "AllowedPattern",
        "ConstraintDescription",
        "MinLength",
        "MaxLength",
        "MinValue",
        "MaxValue",
        "NoEcho",
        "Description",
    }
)
OUTPUT_MEMBERS = frozenset({"Value", "Description", "Export", "Condition"})
DELETION_POLICIES = frozenset({"Delete", "Retain", "RetainExceptOnCreate", "Snapshot"})
REPLACE_POLICIES = frozenset({"Delete", "Retain", "Snapshot"})

_AWS_PARAMETER = (
    r"AWS::EC2::(VPC::Id|Subnet::Id|SecurityGroup::Id|SecurityGroup::GroupName|Image::Id"
    r"|Instance::Id|Volume::Id|AvailabilityZone::Name)|AWS::Route53::HostedZone::Id"
)
PARAMETER_TYPE = re.compile(
    rf"String|Number|List<(Number|String)>|CommaDelimitedList|{_AWS_PARAMETER}"
    rf"|AWS::EC2::KeyPair::KeyName|List<({_AWS_PARAMETER})>"
    rf"|AWS::SSM::Parameter::(Name|Value<.+>)"
)

_NAME = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterDefinition:
    """A parameter as declared; constraints that are not given are None or empty."""

    name: str
    type: str
    default: str | None = None
    allowed_values: tuple[str, ...] = ()
    allowed_pattern: str = ""
    constraint_description: str = ""
    length_min: int | None = None
    length_max: int | None = None
    value_min: float | None = None
    value_max: float | None = None
    no_echo: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceDefinition:
    """A resource as declared; `properties` and `metadata` hold functions still."""

    logical_id: str
    resource_type: str
    properties: Any
    metadata: Any = None
    depends_on: tuple[str, ...] = ()
    condition: str = ""
    deletion_policy: str = "Delete"
    update_replace_policy: str = "Delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputDefinition:
    """An output as declared; `value` and `export_name` hold functions still."""

    name: str
    value: Any
    description: str = ""
    condition: str = ""
    export_name: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template whose shape is right."""

    document: Document
    description: str
    metadata: Any
    parameters: Mapping[str, ParameterDefinition]
    mappings: Mapping[str, Mapping[str, Mapping[str, Any]]]
    conditions: Mapping[str, Any]
    resources: Mapping[str, ResourceDefinition]
    outputs: Mapping[str, OutputDefinition]

    @property
    def text(self) -> str:
        return self.document.text

    def position(self, path: Path) -> Position:
        """Where a path of the template stands in its file."""
        return self.document.position(path)

    def error(self, message: str, path: Path = (), hint: str = "") -> TemplateError:
        """The error to raise for what stands at a path."""
        return TemplateError(message, where=self.document.position(path), hint=hint)


def parse_template(text: str, file: str = "template") -> Template:
    """Read a template and check the shape of every section, in the order that AWS does.

    AWS: template anatomy; the texts are AWS's own.
    Differs: two equal keys in a YAML map are refused with their place.
    """
    document = _load(text, file)
    reader = _Reader(document)
    body = reader.top_level()
    parameters = reader.parameters(body.get("Parameters", {}))
    mappings = reader.mappings(body.get("Mappings", {}))
    conditions = reader.section("Conditions", body.get("Conditions", {}), "Condition")
    resources = reader.resources(body.get("Resources", {}))
    shared = [name for name in resources if name in parameters]
    if shared:
        raise reader.error(
            "Template format error: Parameters and Resources share the names"
            f" [{', '.join(shared)}]",
            ("Resources", shared[0]),
            hint="parameters and resources have one name space: rename one of the two",
        )
    return Template(
        document=document,
        description=body.get("Description", ""),
        metadata=body.get("Metadata"),
        parameters=parameters,
        mappings=mappings,
        conditions=conditions,
        resources=resources,
        outputs=reader.outputs(body.get("Outputs", {})),
    )


def _load(text: str, file: str) -> Document:
    try:
        return load_document(text, file, intrinsics=True, aliases=False)
    except AliasError as error:
        raise TemplateError(
            "Template error: YAML aliases are not allowed in CloudFormation templates",
            where=error.where,
        ) from None
    except UsageError as error:
        language = "JSON" if is_json(text) else "YAML"
        place = ""
        if error.where is not None and error.where.line:
            place = f" (line {error.where.line}, column {error.where.column})"
        raise TemplateError(
            f"Template format error: {language} not well-formed.{place}",
            where=error.where,
            hint=error.message,
        ) from None


def text_of(value: Any) -> str:
    """A scalar as CloudFormation writes it where text is wanted."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def is_scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float))


class _Reader:
    """Checks one document, section by section."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def error(self, message: str, path: Path = (), hint: str = "") -> TemplateError:
        return TemplateError(message, where=self._document.position(path), hint=hint)

    def top_level(self) -> dict[str, Any]:
        body = self._document.value
        if not isinstance(body, dict):
            raise self.error("Template format error: unsupported structure.")
        null = _first_null(body, ())
        if null is not None:
            pointer = "/".join(str(part) for part in null)
            raise self.error(f"[/{pointer}] 'null' values are not allowed in templates", null)
        unknown = [name for name in body if name not in SECTIONS]
        if unknown:
            raise self.error(
                f"Invalid template property or properties [{', '.join(unknown)}]",
                (unknown[0],),
                hint=f"the sections of a template are {', '.join(SECTIONS)}",
            )
        if body.get("AWSTemplateFormatVersion", "2010-09-09") != "2010-09-09":
            raise self.error(
                "Template format error: unsupported value for AWSTemplateFormatVersion.",
                ("AWSTemplateFormatVersion",),
                hint="the only value is `2010-09-09`",
            )
        description = body.get("Description", "")
        if not isinstance(description, str):
            raise self.error(
                "Template format error: Every Description member must be a string.",
                ("Description",),
            )
        if len(description.encode()) > DESCRIPTION_BYTES_MAX:
            raise self.error(
                "Template format error: 'Description' length is greater than"
                f" {DESCRIPTION_BYTES_MAX}.",
                ("Description",),
            )
        self._refuse_unsupported(body)
        return body

    def _refuse_unsupported(self, body: dict[str, Any]) -> None:
        """What AWS would run and we cannot is refused before anything is made."""
        for name in ("Transform", "Rules", "Hooks"):
            if body.get(name):
                raise self.error(
                    f"Template format error: the section {name} is not supported.",
                    (name,),
                    hint=f"Lamington does not emulate {name} yet: expand it before, or remove it",
                )

    def section(self, name: str, value: Any, noun: str, limit: int = 0) -> dict[str, Any]:
        """A map whose keys are good names."""
        if not isinstance(value, dict):
            raise self.error(f"Template format error: {name} must be an object.", (name,))
        if limit and len(value) > limit:
            raise self.error(
                f"Template format error: Number of {name.lower()}, {len(value)}, is greater than"
                f" maximum allowed, {limit}",
                (name,),
            )
        for key in value:
            if name == "Conditions" and key == "AWS::NoValue":
                continue
            if not _NAME.fullmatch(key):
                raise self.error(
                    f"Template format error: {noun} name {key} is non alphanumeric.", (name, key)
                )
            if len(key) > NAME_LENGTH_MAX:
                raise self.error(
                    f"Template format error: {noun} name {key} is longer than {NAME_LENGTH_MAX}"
                    " characters.",
                    (name, key),
                )
        return value

    def parameters(self, value: Any) -> dict[str, ParameterDefinition]:
        section = self.section("Parameters", value, "Parameter", PARAMETERS_MAX)
        return {name: self._parameter(name, each) for name, each in section.items()}

    def _parameter(self, name: str, value: Any) -> ParameterDefinition:
        path = ("Parameters", name)
        if not isinstance(value, dict):
            raise self.error(
                "Template format error: Any Parameters member must be an object.", path
            )
        for member in value:
            if member not in PARAMETER_MEMBERS:
                raise self.error(f"Invalid template parameter property '{member}'", (*path, member))
        if "Type" not in value:
            raise self.error(
                "Template format error: Every Parameters object must contain a Type member.", path
            )
        kind = value["Type"]
        if not isinstance(kind, str) or not PARAMETER_TYPE.fullmatch(kind):
            raise self.error(
                f"Template format error: Unrecognized parameter type: {kind}", (*path, "Type")
            )
        for member in ("Default", "AllowedPattern", "ConstraintDescription", "Description"):
            if member in value and not is_scalar(value[member]):
                raise self.error(
                    f"Template format error: Every {member} member must be a string.",
                    (*path, member),
                )
        allowed = value.get("AllowedValues", [])
        if not isinstance(allowed, list) or not all(is_scalar(each) for each in allowed):
            raise self.error(
                "Template format error: Every AllowedValues member must be a list of strings.",
                (*path, "AllowedValues"),
            )
        return ParameterDefinition(
            name=name,
            type=kind,
            default=text_of(value["Default"]) if "Default" in value else None,
            allowed_values=tuple(text_of(each) for each in allowed),
            allowed_pattern=text_of(value.get("AllowedPattern", "")),
            constraint_description=text_of(value.get("ConstraintDescription", "")),
            length_min=self._whole(value, "MinLength", path),
            length_max=self._whole(value, "MaxLength", path),
            value_min=self._number(value, "MinValue", path),
            value_max=self._number(value, "MaxValue", path),
            no_echo=text_of(value.get("NoEcho", False)).lower() == "true",
            description=text_of(value.get("Description", "")),
        )

    def _number(self, value: dict[str, Any], member: str, path: tuple[str, ...]) -> float | None:
        if member not in value:
            return None
        try:
            return float(value[member])
        except (TypeError, ValueError):
            raise self.error(
                f"Template format error: Every {member} member must be a number.", (*path, member)
            ) from None

    def _whole(self, value: dict[str, Any], member: str, path: tuple[str, ...]) -> int | None:
        number = self._number(value, member, path)
        return None if number is None else int(number)

    def mappings(self, value: Any) -> dict[str, Any]:
        section = self.section("Mappings", value, "Mappings", MAPPINGS_MAX)
        for name, mapping in section.items():
            if not isinstance(mapping, dict):
                raise self.error(
                    f"Template format error: Every Mappings member {name} must be a map",
                    ("Mappings", name),
                )
            for key, attributes in mapping.items():
                self._mapping(("Mappings", name, key), name, attributes)
        return section

    def _mapping(self, path: tuple[str, ...], name: str, attributes: Any) -> None:
        if not isinstance(attributes, dict):
            raise self.error(
                f"Template format error: Every Mappings member {name} must be a map", path
            )
        for attribute, value in attributes.items():
            items = value if isinstance(value, list) else [value]
            if not all(is_scalar(item) for item in items):
                raise self.error(
                    "Template format error: Every Mappings attribute must be a String or a List.",
                    (*path, attribute),
                )

    def resources(self, value: Any) -> dict[str, ResourceDefinition]:
        if not value:
            raise self.error(
                "Template format error: At least one Resources member must be defined.",
                ("Resources",),
            )
        section = self.section("Resources", value, "Resource", RESOURCES_MAX)
        return {name: self._resource(name, each) for name, each in section.items()}

    def _resource(self, name: str, value: Any) -> ResourceDefinition:
        path = ("Resources", name)
        if not isinstance(value, dict):
            raise self.error("Template format error: Any Resources member must be an object.", path)
        if "Type" not in value or not isinstance(value["Type"], str):
            raise self.error(
                f"Template format error: [/Resources/{name}] Every Resources object must contain"
                " a Type member.",
                path,
            )
        for member in value:
            if member not in RESOURCE_MEMBERS:
                raise self.error(f"Invalid template resource property '{member}'", (*path, member))
        for member in ("CreationPolicy", "UpdatePolicy"):
            if member in value:
                raise self.error(
                    f"Template format error: the attribute {member} is not supported.",
                    (*path, member),
                    hint=f"Lamington does not emulate {member} yet: remove it",
                )
        condition = value.get("Condition", "")
        if not isinstance(condition, str):
            raise self.error(
                "Template format error: Every Condition member must be a string.",
                (*path, "Condition"),
            )
        properties = value.get("Properties", {})
        if not isinstance(properties, dict):
            raise self.error(
                f"Template format error: [/Resources/{name}/Properties] 'Properties' must be"
                " an object.",
                (*path, "Properties"),
            )
        return ResourceDefinition(
            logical_id=name,
            resource_type=value["Type"],
            properties=properties,
            metadata=value.get("Metadata"),
            depends_on=self._depends_on(value.get("DependsOn", []), path),
            condition=condition,
            deletion_policy=self._policy("DeletionPolicy", value, DELETION_POLICIES, path),
            update_replace_policy=self._policy(
                "UpdateReplacePolicy", value, REPLACE_POLICIES, path
            ),
        )

    def _depends_on(self, value: Any, path: tuple[str, ...]) -> tuple[str, ...]:
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list):
            raise self.error(
                "Template format error: DependsOn must be a string or list of strings.",
                (*path, "DependsOn"),
            )
        for index, each in enumerate(value):
            if not isinstance(each, str):
                raise self.error(
                    "Template format error: Every DependsOn value must be a string.",
                    (*path, "DependsOn", index),
                )
        return tuple(value)

    def _policy(
        self, member: str, value: dict[str, Any], allowed: Iterable[str], path: tuple[str, ...]
    ) -> str:
        policy = value.get(member, "Delete")
        if policy not in allowed:
            raise self.error(
                f"Template error: Unrecognized {member} {policy} for resource {path[1]}",
                (*path, member),
                hint=f"one of {', '.join(sorted(allowed))}",
            )
        if policy == "Snapshot":
            raise self.error(
                f"Template error: resource type {value['Type']} does not support {member} Snapshot",
                (*path, member),
            )
        return str(policy)

    def outputs(self, value: Any) -> dict[str, OutputDefinition]:
        section = self.section("Outputs", value, "Output", OUTPUTS_MAX)
        return {name: self._output(name, each) for name, each in section.items()}

    def _output(self, name: str, value: Any) -> OutputDefinition:
        path = ("Outputs", name)
        if not isinstance(value, dict) or "Value" not in value:
            raise self.error(
                "Template format error: Every Outputs member must contain a Value object", path
            )
        for member in value:
            if member not in OUTPUT_MEMBERS:
                raise self.error(
                    f"Template format error: Invalid outputs property : [{member}]",
                    (*path, member),
                )
        if isinstance(value["Value"], list):
            raise self.error(
                "Template format error: The Value field of every Outputs member must evaluate to"
                " a String and not a List.",
                (*path, "Value"),
            )
        description = value.get("Description", "")
        condition = value.get("Condition", "")
        for member, each in (("Description", description), ("Condition", condition)):
            if not isinstance(each, str):
                raise self.error(
                    f"Template format error: Every {member} member must be a string.",
                    (*path, member),
                )
        export = value.get("Export")
        if export is not None and (not isinstance(export, dict) or list(export) != ["Name"]):
            raise self.error(
                "Template format error: Output Export must contain a Name and nothing else.",
                (*path, "Export"),
            )
        return OutputDefinition(
            name=name,
            value=value["Value"],
            description=description,
            condition=condition,
            export_name=None if export is None else export["Name"],
        )


def _first_null(value: Any, path: tuple[str | int, ...]) -> tuple[str | int, ...] | None:
    members: Iterable[tuple[str | int, Any]]
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    else:
        return None
    for key, member in members:
        if member is None:
            return (*path, key)
        found = _first_null(member, (*path, key))
        if found is not None:
            return found
    return None
