"""What the functions of a template give: Ref, GetAtt, Sub and the rest, as one table; conditions.

Pure: what resources give comes in through a `Lookup`. Left to others: the order of resources
(`graph`), what a plan makes of values that are not known yet (`planner`).
"""

import base64
import enum
import ipaddress
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lamington.core.aws import Scope
from lamington.core.documents import Path
from lamington.stack.entities import TemplateError
from lamington.stack.template import (
    OutputDefinition,
    ResourceDefinition,
    Template,
    is_scalar,
    text_of,
)


class Marker(enum.Enum):
    """Values that are none: what `AWS::NoValue` gives, and what is not known before it exists."""

    NO_VALUE = "AWS::NoValue"
    UNKNOWN = "known after apply"


NO_VALUE = Marker.NO_VALUE
UNKNOWN = Marker.UNKNOWN

PSEUDO_PARAMETERS = frozenset(
    {
        "AWS::AccountId",
        "AWS::NoValue",
        "AWS::NotificationARNs",
        "AWS::Partition",
        "AWS::Region",
        "AWS::StackId",
        "AWS::StackName",
        "AWS::URLSuffix",
    }
)
REFUSED = frozenset({"Fn::ImportValue", "Fn::GetAZs", "Fn::Transform", "Fn::GetStackOutput"})
CONDITION_FUNCTIONS = frozenset({"Fn::And", "Fn::Or", "Fn::Not", "Fn::Equals", "Condition"})

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_VARIABLE_NAME = re.compile(r"[A-Za-z0-9_.:]+")


class Lookup(Protocol):
    """What resources give; either may be UNKNOWN."""

    def reference(self, logical_id: str) -> Any: ...

    def attribute(self, logical_id: str, attribute: str) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One mention of a name in a value; `attribute` is "" for Ref."""

    name: str
    attribute: str
    path: tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A template with its parameters given: conditions are decided, values can be evaluated."""

    template: Template
    parameters: Mapping[str, str | list[str]]
    pseudo: Mapping[str, Any]
    conditions: Mapping[str, bool] = field(default_factory=dict)

    @property
    def resources(self) -> dict[str, ResourceDefinition]:
        """The resources whose condition holds."""
        return {
            name: each
            for name, each in self.template.resources.items()
            if not each.condition or self.conditions[each.condition]
        }

    @property
    def outputs(self) -> dict[str, OutputDefinition]:
        """The outputs whose condition holds."""
        return {
            name: each
            for name, each in self.template.outputs.items()
            if not each.condition or self.conditions[each.condition]
        }

    def evaluate(self, value: Any, lookup: Lookup, path: tuple[str | int, ...] = ()) -> Any:
        """The value with every function resolved; NO_VALUE or UNKNOWN where that is what it is."""
        return _Frame(self, lookup).value(value, path)

    def properties(self, resource: ResourceDefinition, lookup: Lookup) -> dict[str, Any]:
        """The resource's properties, resolved; UNKNOWN may stand for any value inside."""
        path = ("Resources", resource.logical_id, "Properties")
        resolved = self.evaluate(resource.properties, lookup, path)
        if resolved is NO_VALUE:
            return {}
        if not isinstance(resolved, dict):
            raise self.template.error(
                f"Template format error: [/{'/'.join(path)}] 'Properties' must be an object.", path
            )
        return resolved

    def dependencies(self) -> dict[str, frozenset[str]]:
        """What each resource waits for: those that it mentions and those it is told to."""
        live = self.resources
        return {
            name: frozenset(
                reference.name
                for reference in references(
                    [each.properties, each.metadata], (), conditions=self.conditions
                )
                if reference.name in live
            )
            | (frozenset(each.depends_on) & live.keys())
            for name, each in live.items()
        }


def pseudo_values(
    scope: Scope, *, stack_id: str, stack_name: str, notification_arns: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The pseudo parameters of one stack."""
    return {
        "AWS::AccountId": scope.account_id,
        "AWS::NoValue": NO_VALUE,
        "AWS::NotificationARNs": list(notification_arns),
        "AWS::Partition": scope.partition,
        "AWS::Region": scope.region,
        "AWS::StackId": stack_id,
        "AWS::StackName": stack_name,
        "AWS::URLSuffix": scope.url_suffix,
    }


def evaluation_of(
    template: Template, parameters: Mapping[str, str | list[str]], pseudo: Mapping[str, Any]
) -> Evaluation:
    """Decide the conditions and check that what is live mentions only what is live.

    `check_template` comes first. Raises TemplateError.
    """
    bare = Evaluation(template=template, parameters=parameters, pseudo=pseudo)
    frame = _Frame(bare, _NoResources())
    decided: dict[str, bool] = {}
    for name in template.conditions:
        decided[name] = frame.condition({"Condition": name}, ("Conditions", name))
    evaluation = Evaluation(
        template=template, parameters=parameters, pseudo=pseudo, conditions=decided
    )
    live = evaluation.resources.keys() | template.parameters.keys() | PSEUDO_PARAMETERS
    for each in evaluation.resources.values():
        _require_live(template, live, decided, each)
    for output in evaluation.outputs.values():
        _require_live(template, live, decided, output)
    return evaluation


def _require_live(
    template: Template,
    live: frozenset[str] | set[str],
    conditions: Mapping[str, bool],
    each: ResourceDefinition | OutputDefinition,
) -> None:
    block, found = _mentions(each, conditions)
    missing = [reference for reference in found if reference.name not in live]
    if missing:
        names = ", ".join(dict.fromkeys(reference.name for reference in missing))
        skipped = all(reference.name in template.resources for reference in missing)
        prefix = "" if block == "Outputs" and skipped else "Template format error: "
        raise template.error(
            f"{prefix}Unresolved resource dependencies [{names}] in the {block} block of"
            " the template",
            missing[0].path,
        )


def _mentions(
    each: ResourceDefinition | OutputDefinition, conditions: Mapping[str, bool] | None
) -> tuple[str, list[Reference]]:
    if isinstance(each, OutputDefinition):
        path: Path = ("Outputs", each.name)
        parts = {"Value": each.value, "Export": each.export_name}
        block = "Outputs"
    else:
        path = ("Resources", each.logical_id)
        parts = {"Properties": each.properties, "Metadata": each.metadata}
        block = "Resources"
    found = [
        reference
        for name, value in parts.items()
        for reference in references(value, (*path, name), conditions=conditions)
    ]
    return block, found


def check_template(template: Template) -> None:
    """Check every function's shape and every name that can be checked without parameters."""
    _check_conditions(template)
    undefined: list[Reference] = []
    for resource in template.resources.values():
        path = ("Resources", resource.logical_id)
        _check_functions(template, resource.properties, (*path, "Properties"))
        _check_functions(template, resource.metadata, (*path, "Metadata"))
        _check_condition_name(template, resource.condition, "Resources", path)
        undefined += [
            Reference(name=name, attribute="", path=(*path, "DependsOn"))
            for name in resource.depends_on
            if name not in template.resources
        ]
        undefined += _undefined(template, resource)
    _raise_unresolved(template, undefined, "Resources")
    undefined = []
    for output in template.outputs.values():
        path = ("Outputs", output.name)
        _check_functions(template, output.value, (*path, "Value"))
        _check_functions(template, output.export_name, (*path, "Export"))
        _check_condition_name(template, output.condition, "Outputs", path)
        undefined += _undefined(template, output)
    _raise_unresolved(template, undefined, "Outputs")


def _undefined(
    template: Template, each: ResourceDefinition | OutputDefinition
) -> Iterator[Reference]:
    """Names that are nowhere in the template; branches of If may be dead and are left out."""
    for reference in _mentions(each, None)[1]:
        known = reference.name in template.resources
        if reference.attribute and not known:
            raise template.error(
                "Template error: instance of Fn::GetAtt references undefined resource"
                f" {reference.name}",
                reference.path,
            )
        if not known and not _is_parameter(template, reference.name):
            yield reference


def _is_parameter(template: Template, name: str) -> bool:
    return name in template.parameters or name in PSEUDO_PARAMETERS


def _raise_unresolved(template: Template, undefined: list[Reference], block: str) -> None:
    if undefined:
        names = ", ".join(dict.fromkeys(reference.name for reference in undefined))
        raise template.error(
            f"Template format error: Unresolved resource dependencies [{names}] in the {block}"
            " block of the template",
            undefined[0].path,
        )


def _check_condition_name(template: Template, name: str, block: str, path: tuple[str, ...]) -> None:
    if name and name not in template.conditions:
        raise template.error(
            f"Template format error: Unresolved condition dependency {name} in the {block} block"
            " of the template",
            (*path, "Condition"),
        )


def _check_conditions(template: Template) -> None:
    for name, value in template.conditions.items():
        path = ("Conditions", name)
        function = function_of(value, conditions=True)
        if function is None or function[0] not in CONDITION_FUNCTIONS:
            raise template.error(
                "Template format error: Conditions can only be boolean operations on parameters"
                " and other conditions",
                path,
            )
        _check_functions(template, value, path, conditions=True)
        resources = [
            reference.name
            for reference in references(value, path, conditions=None)
            if reference.name in template.resources
        ]
        if resources:
            raise template.error(
                f"Template format error: Unresolved dependencies [{', '.join(resources)}]."
                " Cannot reference resources in the Conditions block of the template",
                path,
            )
        _raise_unresolved(
            template,
            [
                reference
                for reference in references(value, path, conditions=None)
                if not _is_parameter(template, reference.name)
            ],
            "Conditions",
        )


def function_of(value: Any, *, conditions: bool = False) -> tuple[str, Any] | None:
    """The function that a value is, with its argument: a map of exactly one member."""
    if isinstance(value, dict) and len(value) == 1:
        ((name, argument),) = value.items()
        if name == "Ref" or name.startswith("Fn::") or (conditions and name == "Condition"):
            return name, argument
    return None


def _check_functions(
    template: Template, value: Any, path: tuple[str | int, ...], *, conditions: bool = False
) -> None:
    function = function_of(value, conditions=conditions)
    if function is not None:
        name, argument = function
        path = (*path, name)
        _check_function(template, name, argument, path, conditions=conditions)
        value = argument
        if name in CONDITION_FUNCTIONS and name != "Fn::Equals":
            _check_operands(template, argument, path)
    if isinstance(value, dict):
        for key, member in value.items():
            _check_functions(template, member, (*path, key), conditions=conditions)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _check_functions(template, member, (*path, index), conditions=conditions)


def _check_operands(template: Template, argument: Any, path: tuple[str | int, ...]) -> None:
    for operand in argument if isinstance(argument, list) else []:
        function = function_of(operand, conditions=True)
        if function is None or function[0] not in CONDITION_FUNCTIONS:
            raise template.error(_SHAPES[str(path[-1])].message, path)


def _check_function(
    template: Template,
    name: str,
    argument: Any,
    path: tuple[str | int, ...],
    *,
    conditions: bool,
) -> None:
    if name in REFUSED:
        raise template.error(
            f"Template error: {name} is not supported.",
            path,
            hint=f"Lamington does not emulate {name} yet: give the value as a parameter",
        )
    shape = _SHAPES.get(name)
    misplaced = name == "Fn::If" if conditions else name in CONDITION_FUNCTIONS
    if shape is None or misplaced:
        supported = ", ".join(sorted(each for each in _FUNCTIONS if each.startswith("Fn::")))
        raise template.error(
            f"Template error: Encountered unsupported function: {name}"
            f" Supported functions are: [{supported}]",
            path,
        )
    if not shape.fits(argument):
        raise template.error(shape.message, path)
    if name == "Fn::If" and argument[0] not in template.conditions:
        raise template.error(
            f"Template error: unresolved condition dependency {argument[0]} in Fn::If", path
        )
    if name == "Condition" and argument not in template.conditions:
        raise template.error(
            f"Template format error: Unresolved condition dependency {argument} in the"
            " Conditions block of the template",
            path,
        )
    if name == "Fn::FindInMap" and isinstance(argument[0], str):
        _require_mapping(template, argument[0], path)
    if name == "Fn::Sub":
        _check_sub(template, argument, path)


def _require_mapping(template: Template, name: str, path: Path) -> None:
    if name not in template.mappings:
        raise template.error(
            f"Template error: Mapping named '{name}' is not present in the 'Mappings' section"
            " of template.",
            path,
        )


def _check_sub(template: Template, argument: Any, path: Path) -> None:
    text, variables = _sub_parts(argument)
    for variable in _sub_variables(text):
        if not _VARIABLE_NAME.fullmatch(variable):
            raise template.error(
                "Template error: variable names in Fn::Sub syntax must contain only alphanumeric"
                " characters, underscores, periods, and colons",
                path,
            )
    for value in variables.values():
        if not is_scalar(value) and function_of(value) is None:
            raise template.error(
                "Template error: every value of the context object of every Fn::Sub object must"
                " be a string or a function that returns a string",
                path,
            )


def _sub_parts(argument: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(argument, str):
        return argument, {}
    return argument[0], argument[1] if len(argument) > 1 else {}


def _sub_variables(text: str) -> list[str]:
    found = (match.group(1) for match in _VARIABLE.finditer(text))
    return [name.strip() for name in found if not name.startswith("!")]


def _attribute_parts(argument: Any) -> tuple[str, Any]:
    """`Fn::GetAtt` takes a list or text; text is split at its first dot."""
    if isinstance(argument, str):
        name, _, attribute = argument.partition(".")
        return name, attribute
    return argument[0], argument[1] if len(argument) == 2 else ".".join(argument[1:])


def references(
    value: Any, path: tuple[str | int, ...], *, conditions: Mapping[str, bool] | None
) -> Iterator[Reference]:
    """Each name that a value mentions, parameters included.

    Only the branch of `Fn::If` that is taken counts; without `conditions`, neither does.
    """
    function = function_of(value)
    if function is not None:
        yield from _function_references(*function, path, conditions)
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from references(member, (*path, key), conditions=conditions)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from references(member, (*path, index), conditions=conditions)


def _function_references(
    name: str,
    argument: Any,
    path: tuple[str | int, ...],
    conditions: Mapping[str, bool] | None,
) -> Iterator[Reference]:
    path = (*path, name)
    if name == "Ref":
        yield Reference(name=argument, attribute="", path=path)
    elif name == "Fn::GetAtt":
        logical_id, attribute = _attribute_parts(argument)
        shown = attribute if isinstance(attribute, str) else "*"
        yield Reference(name=logical_id, attribute=shown, path=path)
        yield from references(attribute, path, conditions=conditions)
    elif name == "Fn::Sub":
        text, variables = _sub_parts(argument)
        for variable in _sub_variables(text):
            if variable not in variables:
                logical_id, _, attribute = variable.partition(".")
                yield Reference(name=logical_id, attribute=attribute, path=path)
        yield from references(variables, (*path, 1), conditions=conditions)
    elif name == "Fn::If":
        if conditions is not None:
            taken = 1 if conditions[argument[0]] else 2
            yield from references(argument[taken], (*path, taken), conditions=conditions)
    else:
        yield from references(argument, path, conditions=conditions)


class _NoResources:
    """The lookup of conditions: no resource can be mentioned there."""

    def reference(self, logical_id: str) -> Any:
        raise AssertionError(logical_id)

    def attribute(self, logical_id: str, attribute: str) -> Any:
        raise AssertionError(logical_id, attribute)


class _Frame:
    """One evaluation: the template's values and what resources give."""

    def __init__(self, evaluation: Evaluation, lookup: Lookup) -> None:
        self.evaluation = evaluation
        self.lookup = lookup
        self._deciding: list[str] = []
        self._decided = dict(evaluation.conditions)

    def error(self, message: str, path: Path) -> TemplateError:
        return self.evaluation.template.error(message, path)

    def value(self, value: Any, path: tuple[str | int, ...]) -> Any:
        if isinstance(value, dict):
            function = function_of(value)
            if function is not None:
                name, argument = function
                return _FUNCTIONS[name](self, argument, (*path, name))
            members = ((key, self.value(each, (*path, key))) for key, each in value.items())
            return {key: each for key, each in members if each is not NO_VALUE}
        if isinstance(value, list):
            items = (self.value(each, (*path, index)) for index, each in enumerate(value))
            return [each for each in items if each is not NO_VALUE]
        return value

    def named(self, name: str, path: Path) -> Any:
        """What a name stands for: parameter, pseudo parameter or resource."""
        if name in self.evaluation.parameters:
            return self.evaluation.parameters[name]
        if name in self.evaluation.pseudo:
            return self.evaluation.pseudo[name]
        return self.lookup.reference(name)

    def condition(self, value: Any, path: tuple[str | int, ...]) -> bool:
        function = function_of(value, conditions=True)
        assert function is not None, "check_template refuses any other condition"
        name, argument = function
        if name == "Condition":
            return self._named_condition(argument, path)
        if name == "Fn::Equals":
            left, right = (self._operand(each, path) for each in argument)
            return left == right
        operands = [self.condition(each, path) for each in argument]
        if name == "Fn::Not":
            return not operands[0]
        return all(operands) if name == "Fn::And" else any(operands)

    def _operand(self, value: Any, path: tuple[str | int, ...]) -> str:
        """Both sides of Equals are compared by their text."""
        resolved = self.value(value, path)
        if not is_scalar(resolved):
            raise self.error(_SHAPES["Fn::Equals"].message, path)
        return text_of(resolved)

    def _named_condition(self, name: str, path: tuple[str | int, ...]) -> bool:
        if name not in self._decided:
            if name in self._deciding:
                raise self.error(
                    f"Template format error: Circular dependency between conditions: [{name}]",
                    ("Conditions", name),
                )
            self._deciding.append(name)
            definition = self.evaluation.template.conditions[name]
            self._decided[name] = self.condition(definition, ("Conditions", name))
            self._deciding.pop()
        return self._decided[name]


def _ref(frame: _Frame, argument: Any, path: tuple[str | int, ...]) -> Any:
    return frame.named(argument, path)


def _get_att(frame: _Frame, argument: Any, path: tuple[str | int, ...]) -> Any:
    logical_id, attribute = _attribute_parts(argument)
    return frame.lookup.attribute(logical_id, text_of(frame.value(attribute, path)))


def _sub(frame: _Frame, argument: Any, path: tuple[str | int, ...]) -> Any:
    text, variables = _sub_parts(argument)
    pieces: list[str] = []
    unknown = False
    end = 0
    for match in _VARIABLE.finditer(text):
        pieces.append(text[end : match.start()])
        end = match.end()
        name = match.group(1)
        if name.startswith("!"):
            pieces.append(f"${{{name[1:]}}}")
            continue
        value = _variable(frame, name.strip(), variables, path)
        if value is UNKNOWN:
            unknown = True
        elif is_scalar(value):
            pieces.append(text_of(value))
        else:
            raise frame.error(
                f"Template error: variable {name.strip()} in Fn::Sub expression does not resolve"
                " to a string",
                path,
            )
    return UNKNOWN if unknown else "".join((*pieces, text[end:]))


def _variable(
    frame: _Frame, name: str, variables: Mapping[str, Any], path: tuple[str | int, ...]
) -> Any:
    if name in variables:
        return frame.value(variables[name], (*path, 1, name))
    logical_id, _, attribute = name.partition(".")
    if attribute:
        return frame.lookup.attribute(logical_id, attribute)
    return frame.named(name, path)


def _join(frame: _Frame, argument: Any, path: tuple[str | int, ...]) -> Any:
    items = frame.value(argument[1], (*path, 1))
    if items is UNKNOWN:
        return UNKNOWN
    if not isinstance(items, list):
        raise frame.error(_SHAPES["Fn::Join"].message, path)
    if any(item is UNKNOWN for item in items):
        return UNKNOWN
    if not all(is_scalar(item) for item in items):
        raise frame.error(_SHAPES["Fn::Join"].message, path)
    return str(argument[0]).join(text_of(item) for item in items)


def _split(frame: _Frame, argument: Any, path: tuple[str | int, ...]) -> Any:
    text = frame.value(argument[1], (*path, 1))
    if text is UNKNOWN:
        return UNKNOWN
    if not is_scalar(text):
        raise frame.error(_SHAPES["Fn::Split"].message, path)
    return text_of(text).split(argument[0])


def _select(frame: _Frame, argument: Any, path: tuple[str | int, ...]) -> Any:
    index = frame.value(argument[0], (*path, 0))
    items = frame.value(argument[1], (*path, 1))
    if index is UNKNOWN or items is UNKNOWN:
        return UNKNOWN
    try:
        place = int(index)
    except (TypeError, ValueError):
        raise frame.error(_SHAPES["Fn::Select"].message, path) from None
    if not isinstance(items, list):
        raise frame.error(_SHAPES["Fn::Select"].message, path)
    if not 0 <= place < len(items):
        raise frame.error(
            f"Template error: Fn::Select cannot select nonexistent value at index {place}", path
        )
    return items[place]


def _if(frame: _Frame, argument: Any, path: tuple[str | int, ...]) -> Any:
    taken = 1 if frame.evaluation.conditions[argument[0]] else 2
    return frame.value(argument[taken], (*path, taken))


def _find_in_map(frame: _Frame, argument: Any, path: tuple[str | int, ...]) -> Any:
    names = [text_of(frame.value(each, (*path, at))) for at, each in enumerate(argument)]
    template = frame.evaluation.template
    _require_mapping(template, names[0], path)
    try:
        return template.mappings[names[0]][names[1]][names[2]]
    except KeyError:
        raise frame.error(
            f"Template error: Unable to get mapping for {'::'.join(names)}", path
        ) from None


def _base64(frame: _Frame, argument: Any, path: tuple[str | int, ...]) -> Any:
    text = frame.value(argument, path)
    if text is UNKNOWN:
        return UNKNOWN
    if not is_scalar(text):
        raise frame.error(_SHAPES["Fn::Base64"].message, path)
    return base64.b64encode(text_of(text).encode()).decode()


def _cidr(frame: _Frame, argument: Any, path: tuple[str | int, ...]) -> Any:
    block, count, *bits = [frame.value(each, (*path, at)) for at, each in enumerate(argument)]
    if UNKNOWN in (block, count, *bits):
        return UNKNOWN
    try:
        network = ipaddress.ip_network(block, strict=False)
        length = network.max_prefixlen - int(bits[0] if bits else 8)
        found = itertools.islice(network.subnets(new_prefix=length), int(count))
        blocks = [str(each) for each in found]
    except ValueError:
        raise frame.error(_SHAPES["Fn::Cidr"].message, path) from None
    if not 1 <= int(count) <= 256 or len(blocks) < int(count):
        raise frame.error(_SHAPES["Fn::Cidr"].message, path)
    return blocks


_FUNCTIONS: Mapping[str, Callable[[_Frame, Any, tuple[str | int, ...]], Any]] = {
    "Ref": _ref,
    "Fn::GetAtt": _get_att,
    "Fn::Sub": _sub,
    "Fn::Join": _join,
    "Fn::Split": _split,
    "Fn::Select": _select,
    "Fn::If": _if,
    "Fn::FindInMap": _find_in_map,
    "Fn::Base64": _base64,
    "Fn::Cidr": _cidr,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What a function's argument must look like, and what AWS says where it does not."""

    fits: Callable[[Any], bool]
    message: str


def _is_listed(value: Any) -> bool:
    return isinstance(value, list) or function_of(value) is not None


def _is_textual(value: Any) -> bool:
    return is_scalar(value) or function_of(value) is not None


def _fits_get_att(value: Any) -> bool:
    if isinstance(value, str):
        name, _, attribute = value.partition(".")
        return bool(name and attribute)
    return (
        isinstance(value, list)
        and len(value) >= 2
        and isinstance(value[0], str)
        and bool(value[0] and value[1])
        and (isinstance(value[1], str) or function_of(value[1]) is not None)
        and all(isinstance(each, str) for each in value[2:])
    )


def _fits_sub(value: Any) -> bool:
    if isinstance(value, str):
        return True
    return (
        isinstance(value, list)
        and 1 <= len(value) <= 2
        and isinstance(value[0], str)
        and isinstance(value[-1], (dict, str))
        and (len(value) == 1 or isinstance(value[1], dict))
    )


def _fits_join(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and _is_listed(value[1])
    )


def _fits_split(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and value[0] != ""
        and _is_textual(value[1])
    )


def _fits_select(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2 or not _is_listed(value[1]):
        return False
    if function_of(value[0]) is not None:
        return True
    try:
        place = int(value[0])
    except (TypeError, ValueError):
        return False
    # An item may be AWS::NoValue: only what is out of range at any rate is found here.
    return not isinstance(value[1], list) or 0 <= place < len(value[1])


def _fits_find_in_map(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_is_textual(each) for each in value)


def _fits_equals(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_textual(each) for each in value)


def _fits_many(value: Any) -> bool:
    return isinstance(value, list) and 2 <= len(value) <= 10


_MANY = (
    "Template error: every {} object requires a list of at least 2 and at most 10 boolean"
    " parameters."
)

_SHAPES: Mapping[str, _Shape] = {
    "Ref": _Shape(
        fits=lambda value: isinstance(value, str) and value != "",
        message="Template error: every Ref object must have a single String value.",
    ),
    "Fn::GetAtt": _Shape(
        fits=_fits_get_att,
        message="Template error: every Fn::GetAtt object requires two non-empty parameters, the"
        " resource name and the resource attribute",
    ),
    "Fn::Sub": _Shape(
        fits=_fits_sub,
        message="Template error: One or more Fn::Sub intrinsic functions don't specify expected"
        " arguments. Specify a string as first argument, and an optional second argument to"
        " specify a mapping of values to replace in the string",
    ),
    "Fn::Join": _Shape(
        fits=_fits_join,
        message="Template error: every Fn::Join object requires two parameters, (1) a string"
        " delimiter and (2) a list of strings to be joined or a function that returns a list of"
        " strings (such as Fn::GetAZs) to be joined.",
    ),
    "Fn::Split": _Shape(
        fits=_fits_split,
        message="Template error: every Fn::Split object requires two parameters, (1) a string"
        " delimiter and (2) a string to be split or a function that returns a string to be split.",
    ),
    "Fn::Select": _Shape(
        fits=_fits_select,
        message="Template error: Fn::Select requires a list argument with two elements: an"
        " integer index and a list",
    ),
    "Fn::If": _Shape(
        fits=lambda value: (
            isinstance(value, list) and len(value) == 3 and isinstance(value[0], str)
        ),
        message="Template error: Fn::If requires a list argument with three elements",
    ),
    "Fn::FindInMap": _Shape(
        fits=_fits_find_in_map,
        message="Template error: every Fn::FindInMap object requires three parameters, the map"
        " name, map key and the attribute for return value",
    ),
    "Fn::Base64": _Shape(
        fits=_is_textual,
        message="Template error: every Fn::Base64 object must have a String-typed value.",
    ),
    "Fn::Cidr": _Shape(
        fits=lambda value: isinstance(value, list) and 2 <= len(value) <= 3,
        message="Template error: every Fn::Cidr object requires two required parameters, (1)"
        " ipBlock and (2) count, and an optional parameter cidrBits",
    ),
    "Fn::Equals": _Shape(
        fits=_fits_equals,
        message="Template error: every Fn::Equals object requires a list of 2 string parameters.",
    ),
    "Fn::And": _Shape(fits=_fits_many, message=_MANY.format("Fn::And")),
    "Fn::Or": _Shape(fits=_fits_many, message=_MANY.format("Fn::Or")),
    "Fn::Not": _Shape(
        fits=lambda value: isinstance(value, list) and len(value) == 1,
        message="Template error: every Fn::Not object requires a list of 1 boolean parameter.",
    ),
    "Condition": _Shape(
        fits=lambda value: isinstance(value, str),
        message="Template format error: Every Condition member must be a string.",
    ),
}
