"""What can be said of a template's functions without its parameters: shapes and names.

Pure; the texts are AWS's own. Left to others: what the functions give (`intrinsics`).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lamington.core.documents import Path
from lamington.stack.mentions import (
    PSEUDO_PARAMETERS,
    Reference,
    function_of,
    references,
    sub_parts,
    sub_variables,
)
from lamington.stack.template import OutputDefinition, ResourceDefinition, Template, is_scalar

REFUSED = frozenset({"Fn::ImportValue", "Fn::GetAZs", "Fn::Transform", "Fn::GetStackOutput"})


CONDITION_FUNCTIONS = frozenset({"Fn::And", "Fn::Or", "Fn::Not", "Fn::Equals", "Condition"})


_VARIABLE_NAME = re.compile(r"[A-Za-z0-9_.:]+")


def mentions_of(
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
    for reference in mentions_of(each, None)[1]:
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
            raise template.error(SHAPES[str(path[-1])].message, path)


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
    shape = SHAPES.get(name)
    misplaced = name == "Fn::If" if conditions else name in CONDITION_FUNCTIONS
    if shape is None or misplaced:
        supported = ", ".join(sorted(SHAPES.keys() - CONDITION_FUNCTIONS - {"Ref"}))
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
        require_mapping(template, argument[0], path)
    if name == "Fn::Sub":
        _check_sub(template, argument, path)


def require_mapping(template: Template, name: str, path: Path) -> None:
    if name not in template.mappings:
        raise template.error(
            f"Template error: Mapping named '{name}' is not present in the 'Mappings' section"
            " of template.",
            path,
        )


def _check_sub(template: Template, argument: Any, path: Path) -> None:
    text, variables = sub_parts(argument)
    for variable in sub_variables(text):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
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


SHAPES: Mapping[str, Shape] = {
    "Ref": Shape(
        fits=lambda value: isinstance(value, str) and value != "",
        message="Template error: every Ref object must have a single String value.",
    ),
    "Fn::GetAtt": Shape(
        fits=_fits_get_att,
        message="Template error: every Fn::GetAtt object requires two non-empty parameters, the"
        " resource name and the resource attribute",
    ),
    "Fn::Sub": Shape(
        fits=_fits_sub,
        message="Template error: One or more Fn::Sub intrinsic functions don't specify expected"
        " arguments. Specify a string as first argument, and an optional second argument to"
        " specify a mapping of values to replace in the string",
    ),
    "Fn::Join": Shape(
        fits=_fits_join,
        message="Template error: every Fn::Join object requires two parameters, (1) a string"
        " delimiter and (2) a list of strings to be joined or a function that returns a list of"
        " strings (such as Fn::GetAZs) to be joined.",
    ),
    "Fn::Split": Shape(
        fits=_fits_split,
        message="Template error: every Fn::Split object requires two parameters, (1) a string"
        " delimiter and (2) a string to be split or a function that returns a string to be split.",
    ),
    "Fn::Select": Shape(
        fits=_fits_select,
        message="Template error: Fn::Select requires a list argument with two elements: an"
        " integer index and a list",
    ),
    "Fn::If": Shape(
        fits=lambda value: (
            isinstance(value, list) and len(value) == 3 and isinstance(value[0], str)
        ),
        message="Template error: Fn::If requires a list argument with three elements",
    ),
    "Fn::FindInMap": Shape(
        fits=_fits_find_in_map,
        message="Template error: every Fn::FindInMap object requires three parameters, the map"
        " name, map key and the attribute for return value",
    ),
    "Fn::Base64": Shape(
        fits=_is_textual,
        message="Template error: every Fn::Base64 object must have a String-typed value.",
    ),
    "Fn::Cidr": Shape(
        fits=lambda value: isinstance(value, list) and 2 <= len(value) <= 3,
        message="Template error: every Fn::Cidr object requires two required parameters, (1)"
        " ipBlock and (2) count, and an optional parameter cidrBits",
    ),
    "Fn::Equals": Shape(
        fits=_fits_equals,
        message="Template error: every Fn::Equals object requires a list of 2 string parameters.",
    ),
    "Fn::And": Shape(fits=_fits_many, message=_MANY.format("Fn::And")),
    "Fn::Or": Shape(fits=_fits_many, message=_MANY.format("Fn::Or")),
    "Fn::Not": Shape(
        fits=lambda value: isinstance(value, list) and len(value) == 1,
        message="Template error: every Fn::Not object requires a list of 1 boolean parameter.",
    ),
    "Condition": Shape(
        fits=lambda value: isinstance(value, str),
        message="Template format error: Every Condition member must be a string.",
    ),
}
