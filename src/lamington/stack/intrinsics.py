"""What the functions of a template give: Ref, GetAtt, Sub and the rest, as one table; conditions.

Pure: what resources give comes in through a `Lookup`. Left to others: the order of resources
(`graph`), what a plan makes of values that are not known yet (`planner`).
"""

import base64
import enum
import ipaddress
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lamington.core.aws import Scope
from lamington.core.documents import Path
from lamington.stack.checks import SHAPES, mentions_of, require_mapping
from lamington.stack.entities import TemplateError
from lamington.stack.mentions import (
    PSEUDO_PARAMETERS,
    VARIABLE,
    attribute_parts,
    function_of,
    references,
    sub_parts,
)
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


class Lookup(Protocol):
    """What resources give; either may be UNKNOWN."""

    def reference(self, logical_id: str) -> Any: ...

    def attribute(self, logical_id: str, attribute: str) -> Any: ...


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
    block, found = mentions_of(each, conditions)
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
                return FUNCTIONS[name](self, argument, (*path, name))
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
            raise self.error(SHAPES["Fn::Equals"].message, path)
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
    logical_id, attribute = attribute_parts(argument)
    return frame.lookup.attribute(logical_id, text_of(frame.value(attribute, path)))


def _sub(frame: _Frame, argument: Any, path: tuple[str | int, ...]) -> Any:
    text, variables = sub_parts(argument)
    pieces: list[str] = []
    unknown = False
    end = 0
    for match in VARIABLE.finditer(text):
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
        raise frame.error(SHAPES["Fn::Join"].message, path)
    if any(item is UNKNOWN for item in items):
        return UNKNOWN
    if not all(is_scalar(item) for item in items):
        raise frame.error(SHAPES["Fn::Join"].message, path)
    return str(argument[0]).join(text_of(item) for item in items)


def _split(frame: _Frame, argument: Any, path: tuple[str | int, ...]) -> Any:
    text = frame.value(argument[1], (*path, 1))
    if text is UNKNOWN:
        return UNKNOWN
    if not is_scalar(text):
        raise frame.error(SHAPES["Fn::Split"].message, path)
    return text_of(text).split(argument[0])


def _select(frame: _Frame, argument: Any, path: tuple[str | int, ...]) -> Any:
    index = frame.value(argument[0], (*path, 0))
    items = frame.value(argument[1], (*path, 1))
    if index is UNKNOWN or items is UNKNOWN:
        return UNKNOWN
    try:
        place = int(index)
    except (TypeError, ValueError):
        raise frame.error(SHAPES["Fn::Select"].message, path) from None
    if not isinstance(items, list):
        raise frame.error(SHAPES["Fn::Select"].message, path)
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
    require_mapping(template, names[0], path)
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
        raise frame.error(SHAPES["Fn::Base64"].message, path)
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
        raise frame.error(SHAPES["Fn::Cidr"].message, path) from None
    if not 1 <= int(count) <= 256 or len(blocks) < int(count):
        raise frame.error(SHAPES["Fn::Cidr"].message, path)
    return blocks


FUNCTIONS: Mapping[str, Callable[[_Frame, Any, tuple[str | int, ...]], Any]] = {
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
