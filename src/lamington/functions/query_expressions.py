"""Expressions of the Logs Insights query language: text to functions over rows.

Pure. Left to others: commands and how rows come about (`insights`).

AWS: CloudWatch Logs user guide, Logs Insights query syntax.
Differs: regular expressions follow Python.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lamington.core.errors import AwsError

DEPTH_MAX = 50


class Row(Protocol):
    """One record on its way through a query."""

    def get(self, name: str, /) -> Any: ...


class MalformedQueryException(AwsError):
    """A query that cannot be read; its position is in `queryCompileError`."""

    status = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A word of a query; `start` and `end` are offsets in the whole query's text."""

    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """Something that has a value for each row; `text` names its column where no alias does."""

    evaluate: Callable[[Row], Any]
    text: str
    is_time: bool = False
    """Milliseconds since 1970, which are shown as a date."""
    is_field: bool = False


_TOKEN = re.compile(
    r"(?P<space>\s+|\#[^\n]*)"
    r"|(?P<regex>/(?:[^/\\\n]|\\.)+/i?)"
    r'|(?P<string>"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\')'
    r"|(?P<span>\d+(?:ms|mo|qtr|yr?|[smhdw])\b)"
    r"|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r"|(?P<quoted>`[^`]+`)"
    r"|(?P<name>@?[A-Za-z_][\w@]*(?:\.(?:`[^`]+`|[\w@-]*[\w@]))*)"
    r"|(?P<sign>!=|<=|>=|=~|[=<>|(),+*/%^\[\]-])"
)
_VALUE_KINDS = frozenset({"string", "number", "quoted", "name", "span"})

_SPANS_MS: Mapping[str, int] = {
    **{"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000},
    **{"mo": 2_592_000_000, "qtr": 7_776_000_000, "y": 31_536_000_000, "yr": 31_536_000_000},
}


def tokens_of(query: str) -> list[Token]:
    """The words of a query; raises MalformedQueryException."""
    found: list[Token] = []
    position = 0
    while position < len(query):
        match = _TOKEN.match(query, position)
        if match is None:
            raise malformed(f"unexpected symbol found {query[position]}", position, position + 1)
        kind = str(match.lastgroup)
        if kind == "regex" and found and _ends_value(found):
            # A division: what follows the stroke is read anew.
            found.append(Token(kind="sign", text="/", start=position, end=position + 1))
            position += 1
            continue
        if kind != "space":
            found.append(Token(kind=kind, text=match[0], start=position, end=match.end()))
        position = match.end()
    return found


def _ends_value(found: Sequence[Token]) -> bool:
    """Whether a stroke behind these words divides; else it begins a regular expression."""
    if len(found) > 1 and found[-2].text.lower() == "parse":
        return False
    if found[-1].kind in _VALUE_KINDS:
        return found[-1].text.lower() not in ("like", "parse")
    return found[-1].text in (")", "]")


def malformed(message: str, start: int, end: int) -> MalformedQueryException:
    """The refusal of a query, with the place in it."""
    location = {"startCharOffset": start, "endCharOffset": end}
    return MalformedQueryException(
        f"{message} at position {start}",
        queryCompileError={"location": location, "message": message},
    )


class Reader:
    """Goes through the words of a query."""

    def __init__(self, query: str) -> None:
        self.query = query
        self._tokens = tokens_of(query)
        self._next = 0
        self._depth = 0

    @property
    def token(self) -> Token:
        if self._next < len(self._tokens):
            return self._tokens[self._next]
        end = len(self.query)
        return Token(kind="end", text="", start=end, end=end)

    def take(self) -> Token:
        token = self.token
        self._next += 1
        return token

    def accept(self, *texts: str) -> Token | None:
        """Take the next word if it is one of these; words of the language in any case."""
        if self.token.kind in ("sign", "name") and self.token.text.lower() in texts:
            return self.take()
        return None

    def require(self, text: str) -> Token:
        found = self.accept(text)
        if found is None:
            raise self.unexpected(f"`{text}`")
        return found

    def unexpected(self, wanted: str) -> MalformedQueryException:
        token = self.token
        what = f"`{token.text}`" if token.text else "the end"
        return malformed(f"unexpected {what}, expected {wanted}", token.start, token.end)

    def name(self, what: str = "a field") -> str:
        """A field's name, or an alias."""
        if self.token.kind not in ("name", "quoted"):
            raise self.unexpected(what)
        return self.take().text.replace("`", "")

    def string(self) -> str:
        if self.token.kind != "string":
            raise self.unexpected("a string")
        return unquoted(self.take().text)

    def regex(self) -> "re.Pattern[str]":
        token = self.take()
        text, _, flags = token.text[1:].rpartition("/")
        source = text.replace("\\/", "/").replace("(?<", "(?P<")
        source = source.replace("(?P<=", "(?<=").replace("(?P<!", "(?<!")
        try:
            return re.compile(source, re.IGNORECASE if flags else 0)
        except (re.error, RecursionError, OverflowError) as error:
            message = f"invalid regular expression: {error}"
            raise malformed(message, token.start, token.end) from None

    # Expressions, from the loosest binding to the tightest

    def expression(self) -> Expression:
        """Anything that has a value; `or` binds loosest."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise malformed("the query is nested too deeply", self.token.start, self.token.end)
        start = self.token.start
        parts = [self._conjunction()]
        while self.accept("or"):
            parts.append(self._conjunction())
        self._depth -= 1
        if len(parts) == 1:
            return parts[0]
        tests = [part.evaluate for part in parts]
        return self._named(start, lambda row: any(truth(test(row)) for test in tests))

    def _conjunction(self) -> Expression:
        start = self.token.start
        parts = [self._negation()]
        while self.accept("and"):
            parts.append(self._negation())
        if len(parts) == 1:
            return parts[0]
        tests = [part.evaluate for part in parts]
        return self._named(start, lambda row: all(truth(test(row)) for test in tests))

    def _negation(self) -> Expression:
        start = self.token.start
        if not self.accept("not"):
            return self._comparison()
        inner = self._negation().evaluate
        return self._named(start, lambda row: not truth(inner(row)))

    def _comparison(self) -> Expression:
        start = self.token.start
        left = self._sum()
        negated = False
        if self.token.text.lower() == "not":
            negated = bool(self.accept("not"))
            if self.token.text.lower() not in ("like", "in"):
                raise self.unexpected("`like` or `in`")
        test: Callable[[Row], bool]
        if self.accept("like", "=~"):
            test = self._like(left)
        elif self.accept("in"):
            test = self._among(left)
        elif found := self.accept(*_COMPARISONS):
            test = _comparing(left, _COMPARISONS[found.text], self._sum())
        else:
            return left
        if negated:
            return self._named(start, lambda row: not test(row))
        return self._named(start, test)

    def _like(self, left: Expression) -> Callable[[Row], bool]:
        value = left.evaluate
        if self.token.kind == "regex":
            pattern = self.regex()
            return lambda row: pattern.search(text_of(value(row))) is not None
        part = self.string()
        return lambda row: part in text_of(value(row))

    def _among(self, left: Expression) -> Callable[[Row], bool]:
        self.require("[")
        options = [self._sum()]
        while self.accept(","):
            options.append(self._sum())
        self.require("]")
        equal = _COMPARISONS["="]
        tests = [_comparing(left, equal, option) for option in options]
        return lambda row: any(test(row) for test in tests)

    def _sum(self) -> Expression:
        return self._chain(self._product, ("+", "-"))

    def _product(self) -> Expression:
        return self._chain(self._power, ("*", "/", "%"))

    def _power(self) -> Expression:
        return self._chain(self._unary, ("^",))

    def _chain(self, part: Callable[[], Expression], signs: tuple[str, ...]) -> Expression:
        start = self.token.start
        found = part()
        while sign := self.accept(*signs):
            left, right, apply = found.evaluate, part().evaluate, _ARITHMETIC[sign.text]
            found = self._named(start, _calculating(left, right, apply))
        return found

    def _unary(self) -> Expression:
        start = self.token.start
        if self.accept("-"):
            inner = self._unary().evaluate
            return self._named(start, _calculating(lambda row: 0, inner, _ARITHMETIC["-"]))
        return self._primary()

    def _primary(self) -> Expression:
        token = self.token
        if self.accept("("):
            inner = self.expression()
            self.require(")")
            return inner
        match token.kind:
            case "number":
                self.take()
                number = number_of(token.text)
                return Expression(evaluate=lambda row: number, text=token.text)
            case "string":
                text = self.string()
                return Expression(evaluate=lambda row: text, text=token.text)
            case "name" | "quoted":
                name = self.name()
                if self.token.text == "(" and self.token.start == token.end:
                    return self._call(name, token)
                return Expression(
                    evaluate=lambda row: row.get(name),
                    text=name,
                    is_time=name in ("@timestamp", "@ingestionTime"),
                    is_field=True,
                )
            case _:
                raise self.unexpected("a value")

    def _call(self, name: str, token: Token) -> Expression:
        self.require("(")
        if name.lower() in ("bin", "datefloor", "dateceil"):
            return self._rounded_time(name.lower(), token)
        arguments: list[Expression] = []
        while not self.accept(")"):
            if arguments:
                self.require(",")
            arguments.append(self.expression())
        found = _FUNCTIONS.get(name.lower())
        if found is None:
            raise malformed(f"unknown function `{name}`", token.start, token.end)
        least, most, apply = found
        if not least <= len(arguments) <= most:
            raise malformed(f"wrong number of arguments of `{name}`", token.start, token.end)
        values = [each.evaluate for each in arguments]
        return Expression(
            evaluate=lambda row: apply([value(row) for value in values]),
            text=self._text_from(token.start),
            is_time=name.lower() == "frommillis",
        )

    def _rounded_time(self, name: str, token: Token) -> Expression:
        """`bin(5m)`, `datefloor(@timestamp, 1h)`."""
        moment = None
        if name != "bin":
            moment = self.expression().evaluate
            self.require(",")
        if self.token.kind != "span":
            raise self.unexpected("a period such as 5m")
        text = self.take().text
        self.require(")")
        number = re.match(r"\d+", text)
        assert number is not None, "a span begins with digits"
        step = int(number[0]) * _SPANS_MS[text[number.end() :]]
        if not step:
            raise malformed("a period cannot be 0", token.start, token.end)
        up = name == "dateceil"

        def rounded(row: Row) -> Any:
            at = as_number(moment(row) if moment else row.get("@timestamp"))
            if at is None:
                return None
            return int(-(-at // step) * step if up else at // step * step)

        return Expression(evaluate=rounded, text=self._text_from(token.start), is_time=True)

    def _named(self, start: int, evaluate: Callable[[Row], Any]) -> Expression:
        return Expression(evaluate=evaluate, text=self._text_from(start))

    def _text_from(self, start: int) -> str:
        return self.query[start : self._tokens[self._next - 1].end]


# Values


def unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def number_of(text: str) -> int | float:
    return int(text) if text.isdecimal() else float(text)


def as_number(value: Any) -> int | float | None:
    """The number that a value is or is written as."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str):
        try:
            found = float(value)
        except ValueError:
            return None
        return found if math.isfinite(found) else None
    return None


def text_of(value: Any) -> str:
    """A value as results show it."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        case _:
            return str(value)


def truth(value: Any) -> bool:
    """AWS: booleans as such, numbers other than nought are true; and so is text but "false"."""
    if isinstance(value, str):
        return bool(value) and value.lower() != "false"
    return bool(value)


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: bool(one == other),
    "!=": lambda one, other: bool(one != other),
    "<": lambda one, other: bool(one < other),
    "<=": lambda one, other: bool(one <= other),
    ">": lambda one, other: bool(one > other),
    ">=": lambda one, other: bool(one >= other),
}
_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "+": lambda one, other: one + other,
    "-": lambda one, other: one - other,
    "*": lambda one, other: one * other,
    "/": lambda one, other: one / other,
    "%": lambda one, other: math.fmod(one, other),
    "^": lambda one, other: one**other,
}


def _comparing(
    left: Expression, compare: Callable[[Any, Any], bool], right: Expression
) -> Callable[[Row], bool]:
    first, second = left.evaluate, right.evaluate
    unequal = compare is _COMPARISONS["!="]

    def test(row: Row) -> bool:
        one, other = first(row), second(row)
        if one is None or other is None:
            return unequal and one is not other
        numbers = as_number(one), as_number(other)
        if None not in numbers:
            return compare(*numbers)
        return compare(text_of(one), text_of(other))

    return test


def _calculating(
    left: Callable[[Row], Any],
    right: Callable[[Row], Any],
    apply: Callable[[float, float], float],
) -> Callable[[Row], Any]:
    def value(row: Row) -> Any:
        one, other = as_number(left(row)), as_number(right(row))
        if one is None or other is None:
            return None
        try:
            found = apply(float(one) if abs(other) > 1000 else one, other)
        except (ZeroDivisionError, OverflowError, ValueError):
            return None
        return found if isinstance(found, int | float) else None

    return value


def _of_number(apply: Callable[[float], Any]) -> Callable[[Sequence[Any]], Any]:
    def value(arguments: Sequence[Any]) -> Any:
        number = as_number(arguments[0])
        try:
            return None if number is None else apply(number)
        except (ValueError, OverflowError):
            return None

    return value


def _of_text(apply: Callable[..., Any]) -> Callable[[Sequence[Any]], Any]:
    def value(arguments: Sequence[Any]) -> Any:
        if arguments[0] is None:
            return None
        return apply(*(text_of(each) for each in arguments))

    return value


def _numbers(values: Sequence[Any]) -> list[int | float]:
    return [number for value in values if (number := as_number(value)) is not None]


def _log(arguments: Sequence[Any]) -> Any:
    value = as_number(arguments[0])
    return math.log(value) if value is not None and value > 0 else None


def _substring(text: str, start: str, length: str = "") -> str:
    first = int(as_number(start) or 0)
    return text[first : first + int(as_number(length) or 0)] if length else text[first:]


_Function = tuple[int, int, Callable[[Sequence[Any]], Any]]
_FUNCTIONS: Mapping[str, _Function] = {
    "abs": (1, 1, _of_number(abs)),
    "ceil": (1, 1, _of_number(math.ceil)),
    "floor": (1, 1, _of_number(math.floor)),
    "sqrt": (1, 1, _of_number(math.sqrt)),
    "log": (1, 1, _log),
    "greatest": (1, 99, lambda given: max(_numbers(given), default=None)),
    "least": (1, 99, lambda given: min(_numbers(given), default=None)),
    "ispresent": (1, 1, lambda given: given[0] is not None),
    "isempty": (1, 1, lambda given: given[0] in (None, "")),
    "isblank": (1, 1, lambda given: not text_of(given[0]).strip()),
    "coalesce": (1, 99, lambda given: next((each for each in given if each is not None), None)),
    "concat": (1, 99, lambda given: "".join(map(text_of, given))),
    "strlen": (1, 1, _of_text(len)),
    "toupper": (1, 1, _of_text(str.upper)),
    "tolower": (1, 1, _of_text(str.lower)),
    "trim": (1, 2, _of_text(str.strip)),
    "ltrim": (1, 2, _of_text(str.lstrip)),
    "rtrim": (1, 2, _of_text(str.rstrip)),
    "replace": (3, 3, _of_text(str.replace)),
    "substr": (2, 3, _of_text(_substring)),
    "strcontains": (2, 2, _of_text(lambda text, part: int(part in text))),
    "tomillis": (1, 1, lambda given: as_number(given[0])),
    "frommillis": (1, 1, lambda given: as_number(given[0])),
}
