"""The Java values that a template holds, as Python ones: printing, comparing, arithmetic.

A JSON array is a plain `list` and prints as JSON; any other Java list is a `JavaList` and prints
as Java does. Both kinds of map are a `dict`. What is null in Java prints as nothing. Leaves the
methods of these values to `methods`.
"""

import json
import math
from collections.abc import Callable
from decimal import Decimal
from itertools import islice
from typing import Any

import msgspec

from lamington.gateway.vtl.limits import (
    LIST_LENGTH_MAX,
    STRING_CHARS_MAX,
    VALUE_DEPTH_MAX,
    VALUE_NODES_MAX,
    TemplateError,
    require_length,
)

_INTEGER_BITS_MAX = 4096
_RANGE_LENGTH_MAX = 100_000
_DEFINE_DEPTH_MAX = 2  # Velocity's directive.define.maxDepth


# Values of a template's own are plain classes: a dataclass would be written to JSON as an object.


class JavaList:
    """A Java list that is not a JSON array: a literal, a range, a view of a map."""

    __slots__ = ("items",)

    def __init__(self, items: list[Any]) -> None:
        self.items = items


class ContextMap:
    """A map within `$context`, which prints as nothing."""

    __slots__ = ("entries",)

    def __init__(self, entries: dict[Any, Any]) -> None:
        self.entries = entries


class Entry:
    """One key with its value, from `entrySet()`."""

    __slots__ = ("key", "value")

    def __init__(self, key: Any, value: Any) -> None:
        self.key = key
        self.value = value


class Loop:
    """`$foreach` for a template that hands it about instead of reading its members."""

    __slots__ = ("count", "length", "parent")

    def __init__(self, length: int, parent: Any, count: int = 0) -> None:
        self.length = length
        self.parent = parent
        self.count = count


class Block:
    """What `#define` assigns: text that is rendered anew at each use."""

    __slots__ = ("body", "depth")

    def __init__(self, body: Callable[[], str]) -> None:
        self.body = body
        self.depth = 0

    def render(self) -> str:
        """Render the block, or nothing when it prints itself: Velocity stops there too."""
        if self.depth >= _DEFINE_DEPTH_MAX:
            return ""
        self.depth += 1
        try:
            return self.body()
        finally:
            self.depth -= 1


def text(value: Any) -> str:
    """Print a value as `toString` does, and null as nothing."""
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]  # narrowed by `kind`, for speed
    if kind is int:
        if value.bit_length() > _INTEGER_BITS_MAX:
            raise TemplateError(f"An integer grew past {_INTEGER_BITS_MAX} bits.")
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is dict or kind is list or kind is JavaList:
        measure(value)
        return _print_nested(value, VALUE_DEPTH_MAX)
    if kind is float:
        return float_text(value)
    if kind is Entry:
        measure(value)
        key, held = (_print_nested(part, VALUE_DEPTH_MAX) for part in (value.key, value.value))
        return f"{key}={held}"
    if kind is Block:
        rendered: str = value.render()
        return rendered
    return "{}" if kind is Loop else ""  # Velocity's loop status is an empty map


def _print_nested(value: Any, depth: int) -> str:
    kind = type(value)
    if kind is dict:
        depth -= 1
        inner = ", ".join(
            [f"{_print_nested(k, depth)}={_print_nested(v, depth)}" for k, v in value.items()]
        )
        return f"{{{inner}}}"
    if kind is JavaList:
        return f"[{', '.join([_print_nested(item, depth - 1) for item in value.items])}]"
    if kind is list:
        return json_text(value)
    return "null" if value is None else text(value)


def json_text(value: Any) -> str:
    """Print a value as compact JSON; the caller has measured what a template may have built.

    Differs: AWS may write `/` as `\\/` and doubles as Java does; both are the same JSON.
    """
    try:
        return _ENCODER.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        # A lone surrogate, an integer beyond 64 bits, a key that is no string.
        try:
            return json.dumps(
                value, default=_json_default, ensure_ascii=False, separators=(",", ":")
            )
        except (TypeError, ValueError, RecursionError):
            raise TemplateError("The value cannot be written as JSON.") from None


def _json_default(value: Any) -> Any:
    kind = type(value)
    if kind is JavaList:
        return value.items
    if kind is ContextMap:
        return value.entries
    return text(value)


_ENCODER = msgspec.json.Encoder(enc_hook=_json_default)


def well_formed(value: str) -> str:
    """Return text that UTF-8 can encode: halves of a surrogate pair are joined or replaced.

    Differs: a lone half becomes U+FFFD; Java writes a question mark.
    """
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value


def float_text(value: float) -> str:
    """Print a double as Java's `Double.toString` does."""
    if value != value:
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    first, rest = digits[0], "".join(map(str, digits[1:])) or "0"
    return f"{'-' if sign else ''}{first}.{rest}E{exponent + len(digits) - 1}"


def measure(value: Any) -> None:
    """Raise when printing or comparing a value would cost more than any payload can.

    A list may hold another twice, and that one a third twice: 40 of them print as 2**40 items.
    """
    nodes = VALUE_NODES_MAX
    pending: list[tuple[Any, int]] = [(value, VALUE_DEPTH_MAX)]
    chars = 0
    while pending:
        current, depth = pending.pop()
        kind = type(current)
        if kind is str:
            chars += len(current)
            continue
        children: Any = ()
        if kind is dict:
            children = [*current.keys(), *current.values()]
        elif kind is list:
            children = current
        elif kind is JavaList:
            children = current.items
        elif kind is ContextMap:
            children = current.entries.values()
        elif kind is Entry:
            children = (current.key, current.value)
        nodes -= len(children)
        if children and not depth:
            raise TemplateError(f"A value is nested more than {VALUE_DEPTH_MAX} deep.")
        if nodes < 0 or chars > STRING_CHARS_MAX:
            raise TemplateError("A value grew past what a payload can carry.")
        for child in children:
            pending.append((child, depth - 1))
    require_length(chars)


def elements(value: Any) -> list[Any] | None:
    """Return the Python list behind a Java list, or None when the value is none."""
    kind = type(value)
    if kind is list:
        return value  # type: ignore[no-any-return]  # narrowed by `kind`
    if kind is JavaList:
        return value.items  # type: ignore[no-any-return]  # narrowed by `kind`
    return None


def plain(value: Any) -> Any:
    """Return a deep copy made of Python's own types alone."""
    measure(value)
    return _plain(value)


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _plain(item) for key, item in value.items()}
    if kind is ContextMap:
        return {key: _plain(item) for key, item in value.entries.items()}
    items = elements(value)
    if items is not None:
        return [_plain(item) for item in items]
    return value if value is None or kind in (str, int, float, bool) else text(value)


def map_key(value: Any) -> Any:
    """Return a value as a key of a map: what Python cannot hash is keyed by its text."""
    return value if type(value) in (str, int, float, bool) else text(value)


def same(left: Any, right: Any) -> bool:
    """Compare as Java's `equals` does: values of different classes are never equal."""
    left_items, right_items = elements(left), elements(right)
    if left_items is not None and right_items is not None:
        measure(left)
        measure(right)
        return len(left_items) == len(right_items) and all(map(same, left_items, right_items))
    if type(left) is not type(right):
        return False
    if type(left) is dict:
        measure(left)
        measure(right)
        return left.keys() == right.keys() and all(
            same(item, right[key]) for key, item in left.items()
        )
    return bool(left == right)


def equal(left: Any, right: Any) -> bool:
    """Compare as `==` in a template does: numbers by value, different classes by their text."""
    left_kind, right_kind = type(left), type(right)
    if left_kind is str and right_kind is str:
        return bool(left == right)
    if (left_kind is int or left_kind is float) and (right_kind is int or right_kind is float):
        return bool(left == right)
    if left is None or right is None:
        return left is right
    if left_kind is right_kind:
        return same(left, right)
    return text(left) == text(right)


def compare(operator: str, left: Any, right: Any) -> bool:
    """Order two numbers; anything else is neither smaller nor greater."""
    if type(left) not in (int, float) or type(right) not in (int, float):
        return False
    if operator == "<":
        return bool(left < right)
    if operator == ">":
        return bool(left > right)
    return bool(left <= right) if operator == "<=" else bool(left >= right)


def add(left: Any, right: Any) -> Any:
    """Add numbers, or join texts when either is a string."""
    if type(left) is str or type(right) is str:
        joined = text(left) + text(right)
        require_length(len(joined))
        return joined
    return arithmetic("+", left, right)


def arithmetic(operator: str, left: Any, right: Any) -> Any:
    """Calculate as Velocity does; None, which is null, for what is not a number or divides by 0."""
    if type(left) not in (int, float) or type(right) not in (int, float):
        return None
    try:
        if operator == "+":
            result = left + right
        elif operator == "-":
            result = left - right
        elif operator == "*":
            result = left * right
        elif not right:
            return None
        elif operator == "/":
            result = _quotient(left, right)
        else:
            result = _remainder(left, right)
    except (OverflowError, ValueError):
        return None
    if type(result) is int and result.bit_length() > _INTEGER_BITS_MAX:
        raise TemplateError(f"An integer grew past {_INTEGER_BITS_MAX} bits.")
    return result


def _quotient(left: int | float, right: int | float) -> int | float:
    if type(left) is int and type(right) is int:
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) == (right < 0) else -quotient
    return left / right


def _remainder(left: int | float, right: int | float) -> int | float:
    if type(left) is int and type(right) is int:
        remainder = abs(left) % abs(right)
        return -remainder if left < 0 else remainder
    return math.fmod(left, right)


def range_list(first: Any, last: Any) -> JavaList | None:
    """Make `[first..last]`, up or down; None when a bound is not an integer."""
    if type(first) is not int or type(last) is not int:
        return None
    if abs(last - first) >= _RANGE_LENGTH_MAX:
        raise TemplateError(f"A range has more than {_RANGE_LENGTH_MAX} numbers.")
    return JavaList(list(range(first, last + 1) if first <= last else range(first, last - 1, -1)))


def iterate(value: Any, limit: int) -> tuple[list[Any], int]:
    """Return what `#foreach` goes over, cut at `limit`, and the length before the cut.

    It is a copy: the body may change the list. A map gives its values; null, a string and
    anything else give nothing.
    """
    kind = type(value)
    if kind is list:
        return value[:limit], len(value)
    if kind is JavaList:
        return value.items[:limit], len(value.items)
    if kind is dict:
        return list(islice(value.values(), limit)), len(value)
    if kind is ContextMap:
        return list(islice(value.entries.values(), limit)), len(value.entries)
    return [], 0


def require_list_length(length: int) -> None:
    """Raise when a list or map grows past what any payload could hold."""
    if length > LIST_LENGTH_MAX:
        raise TemplateError(f"A list or map grew past {LIST_LENGTH_MAX} items.")
