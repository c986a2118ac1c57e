"""The values of a template's parameters: given or by default, checked against every constraint.

Left to others: what a request says about previous values (`operations`).
"""

from collections.abc import Mapping

from lamington.core.errors import LamingtonError
from lamington.gateway.vtl.java_regex import compile_java_regex
from lamington.stack.entities import PARAMETER_VALUE_BYTES_MAX, ValidationError
from lamington.stack.template import ParameterDefinition, Template

HIDDEN = "****"
"""What clients see of a NoEcho value."""


def complete_parameters(template: Template, given: Mapping[str, str]) -> dict[str, str]:
    """Every declared parameter's text: as given, or its default. Raises ValidationError."""
    unknown = [name for name in given if name not in template.parameters]
    if unknown:
        raise ValidationError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    _refuse_unsupported(template)
    values: dict[str, str] = {}
    missing: list[str] = []
    for name, definition in template.parameters.items():
        value = given.get(name, definition.default)
        if value is None:
            missing.append(name)
        else:
            values[name] = value
    if missing:
        raise ValidationError(f"Parameters: [{', '.join(missing)}] must have values")
    for name, value in values.items():
        _check(template.parameters[name], value)
    return values


def parameter_values(template: Template, texts: Mapping[str, str]) -> dict[str, str | list[str]]:
    """What `Ref` gives for each parameter: text, or a list of trimmed items for a list type."""
    return {
        name: _items(texts[name]) if is_list(definition) else texts[name]
        for name, definition in template.parameters.items()
    }


def is_list(definition: ParameterDefinition) -> bool:
    return definition.type == "CommaDelimitedList" or definition.type.startswith("List<")


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")]


def _refuse_unsupported(template: Template) -> None:
    """Types whose values AWS looks up elsewhere: we cannot, so we say so."""
    for name, definition in template.parameters.items():
        if definition.type.startswith("AWS::SSM::"):
            raise template.error(
                f"Parameter '{name}' has the type {definition.type}, which is not supported.",
                ("Parameters", name, "Type"),
                hint="Lamington does not emulate Parameter Store yet: declare it as a String",
            )


def _check(definition: ParameterDefinition, text: str) -> None:
    name = definition.name
    if len(text.encode()) > PARAMETER_VALUE_BYTES_MAX:
        raise ValidationError(
            f"Parameter '{name}' must contain at most {PARAMETER_VALUE_BYTES_MAX} characters"
        )
    items = _items(text) if is_list(definition) else [text]
    problem = _number_problem(definition, items) if "Number" in definition.type else ""
    problem = problem or _text_problem(definition, items)
    if not problem:
        return
    if definition.constraint_description and problem != "must be a number.":
        raise ValidationError(
            f"Parameter '{name}' failed to satisfy constraint: {definition.constraint_description}"
        )
    raise ValidationError(f"Parameter '{name}' {problem}")


def _number_problem(definition: ParameterDefinition, items: list[str]) -> str:
    for item in items:
        try:
            number = float(item)
        except ValueError:
            return "must be a number."
        if definition.value_max is not None and number > definition.value_max:
            return f"must be a number not greater than {_plain(definition.value_max)}"
        if definition.value_min is not None and number < definition.value_min:
            return f"must be a number not less than {_plain(definition.value_min)}"
    return ""


def _text_problem(definition: ParameterDefinition, items: list[str]) -> str:
    for item in items:
        if definition.allowed_values and item not in definition.allowed_values:
            return "must be one of AllowedValues"
        pattern = definition.allowed_pattern
        if pattern and not _matches(pattern, item):
            return f"must match pattern {pattern}"
        if definition.length_max is not None and len(item) > definition.length_max:
            return f"must contain at most {definition.length_max} characters"
        if definition.length_min is not None and len(item) < definition.length_min:
            return f"must contain at least {definition.length_min} characters"
    return ""


def _matches(pattern: str, text: str) -> bool:
    """Whether a Java pattern matches the whole text. Raises ValidationError for a bad pattern."""
    try:
        return compile_java_regex(pattern).admit(text).fullmatch(text) is not None
    except LamingtonError as error:
        raise ValidationError(
            f"Template format error: the AllowedPattern {pattern} cannot be used.",
            hint=error.message,
        ) from None


def _plain(number: float) -> str:
    return str(int(number)) if number.is_integer() else str(number)
