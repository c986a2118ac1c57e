"""JSONPath as Jayway's json-path reads it, compiled to functions.

A definite path gives one value or `MISSING`; a path with a wildcard, a filter, a slice or `..`
gives a list, which may be empty. Templates compile their literal paths once.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from lamington.gateway.vtl.java_regex import compile_java_regex
from lamington.gateway.vtl.limits import VALUE_NODES_MAX, TemplateError
from lamington.gateway.vtl.values import same


@dataclass(frozen=True, slots=True)
class _Missing:
    """The value of a path that leads nowhere; JSON's null is a value."""


MISSING: Final = _Missing()
JsonPath = Callable[[Any], Any]
# One step of an indefinite path: a value to the values that it leads to.
_Step = Callable[[Any], Iterator[Any]]
_Test = Callable[[Any], bool]
_Operand = Callable[[Any], Any]

_PATH_CHARS_MAX = 2_000
_FILTER_DEPTH_MAX = 20
_DEPTH_MAX = 1_100  # of the JSON gone through; the strict parser stops at 1024
_NAME = re.compile(r"[^\s.\[\]()*?,'\"@$&|<>=!]+")
_BRACKET_STRING = re.compile(r"\s*(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")\s*")
_INDEXES = re.compile(r"\s*-?\d{1,9}\s*(?:,\s*-?\d{1,9}\s*)*\]")
_SLICE = re.compile(r"\s*(-?\d{1,9})?\s*:\s*(-?\d{1,9})?\s*\]")
_FUNCTION = re.compile(r"\.(length|size|min|max|sum|avg|keys|first|last)\(\)")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORD = re.compile(r"(true|false|null)\b")
_REGEX = re.compile(r"/((?:[^/\\]|\\.)*)/([a-z]*)")
_COMPARISON = re.compile(r"\s*(==|!=|<=|>=|<|>|=~|(?:in|nin|contains|empty|size)\b)\s*", re.I)


@dataclass(frozen=True, slots=True)
class _Definite:
    """A step to at most one value: a key or an index."""

    key: str | int


def compile_json_path(path: str) -> JsonPath:
    """Compile a path, with or without a leading `$`; raise `TemplateError` when it is not one."""
    if len(path) > _PATH_CHARS_MAX:
        raise TemplateError(f"A JSONPath has more than {_PATH_CHARS_MAX} characters.")
    parser = _Parser(path.strip())
    steps = parser.root()
    if parser.position != len(parser.text):
        raise parser.refuse("cannot be read")
    return _assemble(steps, parser.function)


def _assemble(steps: list["_Definite | _Step"], function: str) -> JsonPath:
    count = next(
        (index for index, step in enumerate(steps) if not isinstance(step, _Definite)), len(steps)
    )
    keys = tuple(step.key for step in steps[:count] if isinstance(step, _Definite))
    found = _definite(keys)
    if count < len(steps):
        found = _indefinite(found, [_spread(step) for step in steps[count:]])
    if not function:
        return found
    apply = _FUNCTIONS[function]
    return lambda root: MISSING if (value := found(root)) is MISSING else apply(value)


def _definite(keys: tuple[str | int, ...]) -> JsonPath:
    if not keys:
        return lambda root: root
    if len(keys) == 1 and isinstance(keys[0], str):
        only = keys[0]
        return lambda root: root.get(only, MISSING) if type(root) is dict else MISSING

    def walk(value: Any) -> Any:
        for key in keys:
            value = _child(value, key)
            if value is MISSING:
                return MISSING
        return value

    return walk


def _child(value: Any, key: str | int) -> Any:
    if isinstance(key, str):
        return value.get(key, MISSING) if type(value) is dict else MISSING
    if type(value) is list and -len(value) <= key < len(value):
        return value[key]
    return MISSING


def _indefinite(start: JsonPath, steps: list[_Step]) -> JsonPath:
    def walk(root: Any) -> Any:
        begin = start(root)
        if begin is MISSING:
            return MISSING
        values = [begin]
        for step in steps:
            following: list[Any] = []
            for value in values:
                following.extend(step(value))
                if len(following) > VALUE_NODES_MAX:
                    raise TemplateError("A JSONPath selects more than a payload can hold.")
            values = following
        return values

    return walk


def _spread(step: "_Definite | _Step") -> _Step:
    if not isinstance(step, _Definite):
        return step
    key = step.key

    def single(value: Any) -> Iterator[Any]:
        child = _child(value, key)
        if child is not MISSING:
            yield child

    return single


def _children(value: Any) -> Iterator[Any]:
    if type(value) is dict:
        yield from value.values()
    elif type(value) is list:
        yield from value


def _descendants(value: Any) -> Iterator[Any]:
    """Go through a value and everything below it, each before its children."""
    pending = [(value, _DEPTH_MAX)]
    nodes = VALUE_NODES_MAX
    while pending:
        current, depth = pending.pop()
        yield current
        children = [(child, depth - 1) for child in _children(current)]
        nodes -= len(children)
        if nodes < 0 or not depth:
            raise TemplateError("A JSONPath goes through more than a payload can hold.")
        pending.extend(reversed(children))


def _deep(step: _Step) -> _Step:
    return lambda value: (found for node in _descendants(value) for found in step(node))


def _indexes(indexes: tuple[int, ...]) -> _Step:
    def pick(value: Any) -> Iterator[Any]:
        for index in indexes:
            child = _child(value, index)
            if child is not MISSING:
                yield child

    return pick


def _slice(begin: int | None, end: int | None) -> _Step:
    return lambda value: iter(value[begin:end] if type(value) is list else ())


def _keys(keys: tuple[str, ...]) -> _Step:
    def pick(value: Any) -> Iterator[Any]:
        if type(value) is dict:
            yield {key: value[key] for key in keys if key in value}

    return pick


def _filter(test: _Test) -> _Step:
    def keep(value: Any) -> Iterator[Any]:
        if type(value) is list:
            yield from (item for item in value if test(item))
        elif type(value) is dict and test(value):
            yield value

    return keep


def _numbers(value: Any) -> list[float]:
    items = value if type(value) is list else []
    numbers = [item for item in items if type(item) in (int, float)]
    if not numbers:
        raise TemplateError("A function of a JSONPath needs an array with numbers.")
    return numbers


def _length(value: Any) -> Any:
    return len(value) if type(value) in (list, dict, str) else None


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "length": _length,
    "size": _length,
    "min": lambda value: float(min(_numbers(value))),
    "max": lambda value: float(max(_numbers(value))),
    "sum": lambda value: float(sum(_numbers(value))),
    "avg": lambda value: sum(_numbers(value)) / len(_numbers(value)),
    "keys": lambda value: list(value) if type(value) is dict else None,
    "first": lambda value: value[0] if type(value) is list and value else None,
    "last": lambda value: value[-1] if type(value) is list and value else None,
}


class _Parser:
    """One pass over one path."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.function = ""
        self.depth = 0

    def refuse(self, what: str) -> TemplateError:
        return TemplateError(
            f"The JSONPath `{self.text}` {what} at character {self.position + 1}.",
            "Write `$.name`, `$['name']`, `$[0]`, `$.list[*].name` or `$.list[?(@.x > 1)]`.",
        )

    def accept(self, symbol: str) -> bool:
        if self.text.startswith(symbol, self.position):
            self.position += len(symbol)
            return True
        return False

    def root(self) -> list[_Definite | _Step]:
        if not self.text:
            raise TemplateError("A JSONPath is empty.", "Write `$` for the whole body.")
        if self.text[0] in "$@":
            self.position = 1
            return self.steps()
        if self.text[0] in ".[":
            return self.steps()
        first = self.named()
        return [*first, *self.steps()]

    def steps(self) -> list[_Definite | _Step]:
        steps: list[_Definite | _Step] = []
        while self.position < len(self.text) and not self.function:
            if match := _FUNCTION.match(self.text, self.position):
                self.function = match.group(1)
                self.position = match.end()
            elif self.accept(".."):
                inner = self.bracket() if self.accept("[") else self.named()
                steps.extend(_deep(_spread(step)) for step in inner)
            elif self.accept("["):
                steps.extend(self.bracket())
            elif self.text.startswith(".[", self.position):
                self.position += 1
            elif self.accept("."):
                steps.extend(self.named())
            else:
                break
        return steps

    def named(self) -> list[_Definite | _Step]:
        if self.accept("*"):
            return [_children]
        match = _NAME.match(self.text, self.position)
        if match is None:
            raise self.refuse("needs a name")
        self.position = match.end()
        return [_Definite(match.group())]

    def bracket(self) -> list[_Definite | _Step]:
        """Parse what follows a `[`, with its `]`."""
        if match := re.compile(r"\s*\*\s*\]").match(self.text, self.position):
            self.position = match.end()
            return [_children]
        if match := _SLICE.match(self.text, self.position):
            self.position = match.end()
            begin, end = match.group(1), match.group(2)
            return [_slice(int(begin) if begin else None, int(end) if end else None)]
        if match := _INDEXES.match(self.text, self.position):
            self.position = match.end()
            indexes = tuple(map(int, match.group()[:-1].split(",")))
            return [_Definite(indexes[0]) if len(indexes) == 1 else _indexes(indexes)]
        if self.accept("?("):
            test = self.disjunction()
            if not (self.accept(")") and self.accept("]")):
                raise self.refuse("does not close its filter")
            return [_filter(test)]
        keys: list[str] = []
        while match := _BRACKET_STRING.match(self.text, self.position):
            self.position = match.end()
            inner = match.group(1) if match.group(1) is not None else match.group(2)
            keys.append(re.sub(r"\\(.)", r"\1", inner))
            if self.accept("]"):
                return [_Definite(keys[0]) if len(keys) == 1 else _keys(tuple(keys))]
            if not self.accept(","):
                break
        raise self.refuse("has an unknown `[…]`")

    # Filters.

    def blanks(self) -> None:
        while self.text[self.position : self.position + 1].isspace():
            self.position += 1

    def disjunction(self) -> _Test:
        self.depth += 1
        if self.depth > _FILTER_DEPTH_MAX:
            raise self.refuse("is nested too deeply")
        tests = [self.conjunction()]
        self.blanks()
        while self.accept("||"):
            tests.append(self.conjunction())
            self.blanks()
        self.depth -= 1
        return tests[0] if len(tests) == 1 else lambda item: any(test(item) for test in tests)

    def conjunction(self) -> _Test:
        tests = [self.test()]
        self.blanks()
        while self.accept("&&"):
            tests.append(self.test())
            self.blanks()
        return tests[0] if len(tests) == 1 else lambda item: all(test(item) for test in tests)

    def test(self) -> _Test:
        self.blanks()
        if self.accept("!"):
            self.depth += 1
            if self.depth > _FILTER_DEPTH_MAX:
                raise self.refuse("is nested too deeply")
            negated = self.test()
            self.depth -= 1
            return lambda item: not negated(item)
        if self.accept("("):
            inner = self.disjunction()
            self.blanks()
            if not self.accept(")"):
                raise self.refuse("does not close a parenthesis")
            return inner
        left = self.operand()
        match = _COMPARISON.match(self.text, self.position)
        if match is None:
            return lambda item: left(item) is not MISSING
        self.position = match.end()
        operator = match.group(1).lower()
        if operator == "=~":
            return self.regex_test(left)
        right = self.operand()
        compare = _COMPARISONS[operator]
        return lambda item: compare(left(item), right(item))

    def regex_test(self, left: _Operand) -> _Test:
        match = _REGEX.match(self.text, self.position)
        if match is None:
            raise self.refuse("needs a `/regular expression/`")
        self.position = match.end()
        flags = f"(?{match.group(2)})" if match.group(2) else ""
        pattern = compile_java_regex(flags + match.group(1).replace("\\/", "/"))

        def test(item: Any) -> bool:
            value = left(item)
            return type(value) is str and pattern.admit(value).fullmatch(value) is not None

        return test

    def operand(self) -> _Operand:
        self.blanks()
        text, start = self.text, self.position
        if text.startswith("@", start):
            self.position += 1
            steps = self.steps()
            path = _assemble(steps, self.function)
            self.function = ""
            return path
        if text.startswith("[", start):
            return self.list_operand()
        constant: Any
        if match := _BRACKET_STRING.match(text, start):
            inner = match.group(1) if match.group(1) is not None else match.group(2)
            constant = re.sub(r"\\(.)", r"\1", inner)
        elif match := _NUMBER.match(text, start):
            digits = match.group()
            constant = int(digits) if digits.lstrip("-").isdecimal() else float(digits)
        elif match := _WORD.match(text, start):
            constant = {"true": True, "false": False, "null": None}[match.group(1)]
        else:
            raise self.refuse("needs a value in its filter")
        self.position = match.end()
        return lambda item: constant

    def list_operand(self) -> _Operand:
        self.position += 1
        self.depth += 1
        if self.depth > _FILTER_DEPTH_MAX:
            raise self.refuse("is nested too deeply")
        items: list[_Operand] = []
        self.blanks()
        while not self.accept("]"):
            items.append(self.operand())
            self.blanks()
            if not self.accept(",") and not self.text.startswith("]", self.position):
                raise self.refuse("does not close a list")
            self.blanks()
        self.depth -= 1
        return lambda item: [each(item) for each in items]


def _alike(left: Any, right: Any) -> bool:
    numbers = (int, float)
    if type(left) in numbers and type(right) in numbers:
        return bool(left == right)
    return same(left, right)


def _order(symbol: str) -> Callable[[Any, Any], bool]:
    def ordered(left: Any, right: Any) -> bool:
        numbers = type(left) in (int, float) and type(right) in (int, float)
        if not numbers and not (type(left) is str and type(right) is str):
            return False
        if symbol in ("<", "<="):
            return bool(left < right) or (symbol == "<=" and bool(left == right))
        return bool(left > right) or (symbol == ">=" and bool(left == right))

    return ordered


def _is_in(left: Any, right: Any) -> bool:
    return type(right) is list and any(_alike(left, item) for item in right)


def _contains(left: Any, right: Any) -> bool:
    if type(left) is str:
        return type(right) is str and right in left
    return _is_in(right, left)


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": _alike,
    "!=": lambda left, right: not _alike(left, right),
    "<": _order("<"),
    "<=": _order("<="),
    ">": _order(">"),
    ">=": _order(">="),
    "in": _is_in,
    "nin": lambda left, right: not _is_in(left, right),
    "contains": _contains,
    "size": lambda left, right: _length(left) == right,
    "empty": lambda left, right: (_length(left) == 0) is right,
}
