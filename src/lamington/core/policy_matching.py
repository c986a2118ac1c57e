"""What the texts of a policy match: wildcards, ARNs, the operators of conditions, variables.

Each is compiled from the text of a policy to a function of what a request has. Left to others:
documents, and where in them such texts stand (`policies`).
"""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

Values = Mapping[str, str | Sequence[str]]
"""What a request says of each condition key, under its name in lower case."""

CompileText = Callable[[str], Callable[[str], bool]]
"""Compiles an expected text; raises ValueError where it is none of its kind."""

_ARN_FIELDS = 6

# Policy variables.


@dataclass(frozen=True, slots=True)
class Variable:
    key: str
    default: str | None


_VARIABLE = re.compile(r"\$\{\s*([^{},]+?)\s*(?:,\s*'([^']*)'\s*)?\}")
_LITERALS = "*?$"
_ESCAPED = {ord("*"): "\ue000", ord("?"): "\ue001"}
"""Characters that are no wildcards because a variable or `${*}` gave them, while a pattern is
compiled: two of Unicode's private ones, which no request that we receive holds."""


def parse_variables(text: str) -> list["str | Variable"]:
    parts: list[str | Variable] = []
    end = 0
    for found in _VARIABLE.finditer(text):
        parts.append(text[end : found.start()])
        if found[1] in _LITERALS:
            parts.append(found[1].translate(_ESCAPED))
        else:
            parts.append(Variable(found[1].lower(), found[2]))
        end = found.end()
    parts.append(text[end:])
    return parts


def substituted(parts: Sequence["str | Variable"], values: Values) -> str | None:
    """The text with its variables' values, None where one has none: then nothing matches.

    AWS: only keys of a single value can be variables.
    """
    written = []
    for part in parts:
        if isinstance(part, str):
            written.append(part)
            continue
        value = values.get(part.key)
        if value is None:
            value = part.default
        if not isinstance(value, str):
            return None
        written.append(value.translate(_ESCAPED))
    return "".join(written)


def _unescaped(text: str) -> str:
    return text.replace("\ue000", "*").replace("\ue001", "?")


# Matching.


def compile_wildcards(pattern: str) -> Callable[[str], bool]:
    """Compile a text in which `*` stands for anything and `?` for one character.

    It takes time in proportion to the text: a `*` that was passed is never tried again.
    """
    if pattern == "*":
        return lambda text: True
    if "*" not in pattern and "?" not in pattern:
        return _unescaped(pattern).__eq__
    first, *others = [_piece(each) for each in re.split(r"\*+", pattern)]
    if not others:
        expression = first
    else:
        middle = "".join(f"(?>.*?{each})" for each in others[:-1])
        expression = f"{first}{middle}.*{others[-1]}"
    matches = re.compile(expression, re.DOTALL).fullmatch
    return lambda text: matches(text) is not None


def _piece(text: str) -> str:
    return ".".join(re.escape(_unescaped(each)) for each in text.split("?"))


def compile_arn_pattern(pattern: str) -> Callable[[str], bool]:
    """Compile the pattern of an ARN, whose first five fields are matched each for itself.

    AWS: IAM user guide, resources: an incomplete ARN is completed by wildcards, and a `*` at the
    end of a field may stand for more than that field.
    """
    fields = pattern.split(":", _ARN_FIELDS - 1)
    if len(fields) < _ARN_FIELDS:
        whole = compile_wildcards(pattern)
        if not pattern.startswith("arn:") or pattern.endswith("*"):
            return whole
        fields += ["*"] * (_ARN_FIELDS - len(fields))
    matchers = [compile_wildcards(each) for each in fields]

    def matches(text: str) -> bool:
        given = text.split(":", _ARN_FIELDS - 1)
        return len(given) == _ARN_FIELDS and all(
            matcher(field) for matcher, field in zip(matchers, given, strict=True)
        )

    return matches


def _equals(expected: str) -> Callable[[str], bool]:
    return _unescaped(expected).__eq__


def _equals_ignoring_case(expected: str) -> Callable[[str], bool]:
    lower = _unescaped(expected).lower()
    return lambda value: value.lower() == lower


def _is_flag(expected: str) -> Callable[[str], bool]:
    lower = expected.lower()
    return lambda value: value.lower() == lower


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _time(text: str) -> Decimal | None:
    """A moment in seconds since 1970, from that number or an ISO 8601 date."""
    number = _number(text)
    if number is not None:
        return number
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return Decimal(str(moment.timestamp()))
    except (ValueError, OverflowError):
        return None


_Compare = Callable[[Decimal, Decimal], bool]
_Read = Callable[[str], Decimal | None]


def _comparison(read: _Read, compare: _Compare) -> CompileText:
    def compile_text(expected: str) -> Callable[[str], bool]:
        bound = read(expected)
        if bound is None:
            return lambda value: False

        def matches(value: str) -> bool:
            found = read(value)
            return found is not None and compare(found, bound)

        return matches

    return compile_text


def _in_network(expected: str) -> Callable[[str], bool]:
    try:
        network = ipaddress.ip_network(expected, strict=False)
    except ValueError:
        raise ValueError(f"`{expected}` is no address and no range of addresses") from None

    def matches(value: str) -> bool:
        try:
            return ipaddress.ip_address(value) in network
        except ValueError:
            return False

    return matches


_COMPARISONS: Mapping[str, _Compare] = {
    "Equals": lambda value, bound: value == bound,
    "LessThan": lambda value, bound: value < bound,
    "LessThanEquals": lambda value, bound: value <= bound,
    "GreaterThan": lambda value, bound: value > bound,
    "GreaterThanEquals": lambda value, bound: value >= bound,
}

OPERATORS: Mapping[str, tuple[CompileText, bool, bool]] = {
    "StringEquals": (_equals, False, True),
    "StringNotEquals": (_equals, True, True),
    "StringEqualsIgnoreCase": (_equals_ignoring_case, False, True),
    "StringNotEqualsIgnoreCase": (_equals_ignoring_case, True, True),
    "StringLike": (compile_wildcards, False, True),
    "StringNotLike": (compile_wildcards, True, True),
    "ArnEquals": (compile_arn_pattern, False, True),
    "ArnNotEquals": (compile_arn_pattern, True, True),
    "ArnLike": (compile_arn_pattern, False, True),
    "ArnNotLike": (compile_arn_pattern, True, True),
    "Bool": (_is_flag, False, False),
    "BinaryEquals": (_equals, False, False),
    "IpAddress": (_in_network, False, False),
    "NotIpAddress": (_in_network, True, False),
    "NumericNotEquals": (_comparison(_number, _COMPARISONS["Equals"]), True, False),
    "DateNotEquals": (_comparison(_time, _COMPARISONS["Equals"]), True, False),
    **{
        f"{kind}{name}": (_comparison(read, compare), False, False)
        for kind, read in (("Numeric", _number), ("Date", _time))
        for name, compare in _COMPARISONS.items()
    },
}
"""Each operator: how a value of it is compiled, whether it is negated, whether variables count.

AWS: IAM user guide, condition operators.
"""
