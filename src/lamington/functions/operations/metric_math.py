"""Metric math, as far as arithmetic goes: an expression to a function over series.

Pure. The expression is read by Python's own parser, and only what stands in a table is taken
from its tree; nothing is evaluated.

AWS: CloudWatch user guide, using metric math.
Differs: the four operations, SUM, AVG, MIN and MAX; of the rest nothing.
"""

import ast
from collections.abc import Callable, Mapping, Sequence

from lamington.core.errors import AwsError

Series = dict[int, float]
"""Values by the second that their period begins with."""

EXPRESSION_MAX = 2048

_Evaluate = Callable[[Mapping[str, Series]], "Series | float"]

_FUNCTIONS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "SUM": sum,
    "AVG": lambda values: sum(values) / len(values),
    "MIN": min,
    "MAX": max,
}
_OPERATORS: Mapping[type, Callable[[float, float], float | None]] = {
    ast.Add: lambda one, other: one + other,
    ast.Sub: lambda one, other: one - other,
    ast.Mult: lambda one, other: one * other,
    ast.Div: lambda one, other: one / other if other else None,
}


class ValidationError(AwsError):
    """An expression that cannot be read, or asks for what there is not."""

    status = 400


def names_in_expression(expression: str) -> set[str]:
    """The Ids that an expression needs."""
    tree = _parse(expression)
    called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node not in called}


def compile_expression(expression: str) -> Callable[[Mapping[str, Series]], Series]:
    """Make a function of an expression; raises ValidationError."""
    evaluate = _compile(_parse(expression).body, expression)

    def over(series: Mapping[str, Series]) -> Series:
        found = evaluate(series)
        if isinstance(found, dict):
            return found
        raise _refused(expression, "its result is one number, not a series")

    return over


def _parse(expression: str) -> ast.Expression:
    if len(expression) > EXPRESSION_MAX:
        raise _refused(expression[:40], f"it is longer than {EXPRESSION_MAX} characters")
    try:
        return ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _refused(expression, "it is no arithmetic over Ids, SUM, AVG, MIN and MAX") from None


def _compile(node: ast.expr, expression: str) -> _Evaluate:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            number = float(value)
            return lambda series: number
        case ast.Name(id=name):
            return lambda series: series[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _compile(operand, expression)
            return lambda series: _joined(inner(series), -1.0, _OPERATORS[ast.Mult])
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            first, second = _compile(left, expression), _compile(right, expression)
            apply = _OPERATORS[type(operator)]
            return lambda series: _joined(first(series), second(series), apply)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
            return _compile_call(name, argument, expression)
        case _:
            raise _refused(expression, f"`{ast.unparse(node)}` is not supported by Lamington")


def _compile_call(name: str, argument: ast.expr, expression: str) -> _Evaluate:
    """A function of one series is a number; of a list of series it is a series."""
    reduce = _FUNCTIONS[name]
    if isinstance(argument, ast.List):
        parts = [_compile(each, expression) for each in argument.elts]

        def across(series: Mapping[str, Series]) -> Series | float:
            found = [each for part in parts if isinstance(each := part(series), dict)]
            times = sorted({at for each in found for at in each})
            return {at: reduce([each[at] for each in found if at in each]) for at in times}

        return across
    inner = _compile(argument, expression)

    def along(series: Mapping[str, Series]) -> Series | float:
        found = inner(series)
        if not isinstance(found, dict):
            return found
        return reduce(list(found.values())) if found else 0.0

    return along


def _joined(
    one: Series | float, other: Series | float, apply: Callable[[float, float], float | None]
) -> Series | float:
    """Both applied at each time that both have; AWS: a division by nought gives no value."""
    if isinstance(one, dict):
        pairs = (
            {at: (value, other[at]) for at, value in one.items() if at in other}
            if isinstance(other, dict)
            else {at: (value, other) for at, value in one.items()}
        )
    elif isinstance(other, dict):
        pairs = {at: (one, value) for at, value in other.items()}
    else:
        return apply(one, other) or 0.0
    return {
        at: found
        for at, (left, right) in pairs.items()
        if (found := apply(left, right)) is not None
    }


def _refused(expression: str, reason: str) -> ValidationError:
    return ValidationError(f"Error in expression '{expression}': {reason}.")
