"""Filter patterns of CloudWatch Logs: text to a predicate over messages.

Pure. A pattern is of one of three forms: terms (`ERROR -retry ?"time out"`), JSON selectors
(`{ $.level = "ERROR" && $.ms > 10 }`) or space-delimited fields (`[ip, user, status=4*]`).

AWS: CloudWatch Logs user guide, filter pattern syntax.
Differs: regular expressions (`%...%`) follow Python, which takes more than AWS does.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from lamington.core.errors import AwsError

Predicate = Callable[[str], bool]
"""Whether a message matches."""

_Value = Callable[[Any], bool]


class InvalidParameterException(AwsError):
    """Logs' refusal of a parameter."""

    status = 400


def compile_pattern(pattern: str) -> Predicate:
    """Make a predicate of a filter pattern; an empty one matches every message.

    Raises InvalidParameterException for a pattern that cannot be read.
    """
    text = pattern.strip()
    if not text:
        return lambda message: True
    if text.startswith("{"):
        return _compile_selector(text)
    if text.startswith("["):
        return _compile_fields(text)
    return _compile_terms(text)


# Terms

_TERM = re.compile(
    r'(?P<sign>[-?]?)(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|%(?P<regex>[^%]+)%|(?P<bare>[^\s"]+))\s*'
)
_BARE_TERM = re.compile(r"[\w\[\]<>.:/=@+*&!()#,;$'~^|-]+", re.UNICODE)


def _compile_terms(text: str) -> Predicate:
    """All plain terms and no excluded one; `?` terms count only where every term is one.

    AWS: a pattern that mixes `?` with other terms ignores the `?` terms.
    """
    required: list[Predicate] = []
    optional: list[Predicate] = []
    excluded: list[Predicate] = []
    position = 0
    while position < len(text):
        found = _TERM.match(text, position)
        if found is None:
            raise _invalid()
        position = found.end()
        {"": required, "?": optional, "-": excluded}[found["sign"]].append(_term(found))

    def matches(message: str) -> bool:
        if any(each(message) for each in excluded):
            return False
        if required or not optional:
            return all(each(message) for each in required)
        return any(each(message) for each in optional)

    return matches


def _term(found: re.Match[str]) -> Predicate:
    if found["regex"] is not None:
        expression = _regex(found["regex"])
        return lambda message: expression.search(message) is not None
    if found["quoted"] is not None:
        term = _unquoted(found["quoted"])
    else:
        term = found["bare"]
        if not _BARE_TERM.fullmatch(term):
            raise _invalid()
    return lambda message: term in message


# JSON selectors

_TOKEN = re.compile(
    r'\s*(?:(?P<operator>&&|\|\||!=|>=|<=|[=<>(){}])|"(?P<quoted>(?:[^"\\]|\\.)*)"'
    r"|%(?P<regex>[^%]+)%"
    r'|(?P<path>\$(?:\.[\w@-]+|\["(?:[^"\\]|\\.)*"\]|\[\d+\]|\[\*\]|\.\*)*)'
    r"|(?P<word>[^\s=<>!&|(){}\"%]+))"
)
_STEP = re.compile(r'\.([\w@-]+)|\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|(\[\*\]|\.\*)')
_DECODER = msgspec.json.Decoder()


def _compile_selector(text: str) -> Predicate:
    parser = _Selector(text)
    condition = parser.whole()

    def matches(message: str) -> bool:
        if not message.lstrip().startswith(("{", "[")):
            return False
        try:
            document = _DECODER.decode(message)
        except (msgspec.DecodeError, RecursionError):
            return False
        return condition(document)

    return matches


class _Selector:
    """A recursive-descent parser: `||` binds loosest, then `&&`, then comparisons."""

    def __init__(self, text: str) -> None:
        self._tokens: list[re.Match[str]] = []
        position, end = 0, len(text.rstrip())
        while position < end:
            found = _TOKEN.match(text, position)
            if found is None:
                raise _invalid()
            self._tokens.append(found)
            position = found.end()
        self._next = 0

    def whole(self) -> _Value:
        self._expect("{")
        condition = self._either()
        self._expect("}")
        if self._next != len(self._tokens):
            raise _invalid()
        return condition

    def _either(self) -> _Value:
        choices = [self._both()]
        while self._takes("||"):
            choices.append(self._both())
        return choices[0] if len(choices) == 1 else lambda at: any(each(at) for each in choices)

    def _both(self) -> _Value:
        parts = [self._single()]
        while self._takes("&&"):
            parts.append(self._single())
        return parts[0] if len(parts) == 1 else lambda at: all(each(at) for each in parts)

    def _single(self) -> _Value:
        if self._takes("("):
            inner = self._either()
            self._expect(")")
            return inner
        path = self._take("path")
        values = _compile_path(path)
        if self._word("IS"):
            return self._is(values)
        if self._word("NOT"):
            if not self._word("EXISTS"):
                raise _invalid()
            return lambda document: not values(document)
        if self._word("EXISTS"):
            return lambda document: bool(values(document))
        operator = self._take("operator")
        if operator not in _COMPARISONS:
            raise _invalid()
        test = self._comparison(operator)
        return lambda document: any(test(each) for each in values(document))

    def _is(self, values: Callable[[Any], list[Any]]) -> _Value:
        for word, wanted in (("TRUE", True), ("FALSE", False), ("NULL", None)):
            if self._word(word):
                return lambda document: any(each is wanted for each in values(document))
        raise _invalid()

    def _comparison(self, operator: str) -> _Value:
        found = self._peek()
        if found is None:
            raise _invalid()
        self._next += 1
        if found["regex"] is not None:
            return _regex_test(operator, _regex(found["regex"]))
        if found["quoted"] is not None:
            return _text_test(operator, _unquoted(found["quoted"]))
        word = found["word"]
        if word is None:
            raise _invalid()
        number = _number(word)
        if number is not None:
            return _number_test(operator, number, word)
        return _text_test(operator, word)

    def _peek(self) -> re.Match[str] | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self, group: str) -> str:
        found = self._peek()
        if found is None or found[group] is None:
            raise _invalid()
        self._next += 1
        return str(found[group])

    def _takes(self, operator: str) -> bool:
        found = self._peek()
        taken = found is not None and found["operator"] == operator
        self._next += taken
        return taken

    def _expect(self, operator: str) -> None:
        if not self._takes(operator):
            raise _invalid()

    def _word(self, word: str) -> bool:
        found = self._peek()
        taken = found is not None and (found["word"] or "").upper() == word
        self._next += taken
        return taken


def _compile_path(path: str) -> Callable[[Any], list[Any]]:
    """A function from a document to the values at a path: none, one, or many by `[*]`."""
    steps: list[str | int | None] = []
    for found in _STEP.finditer(path, 1):
        name, quoted, index, _ = found.groups()
        if index is not None:
            steps.append(int(index))
        elif name is not None or quoted is not None:
            steps.append(name if name is not None else _unquoted(quoted))
        else:
            steps.append(None)

    def values(document: Any) -> list[Any]:
        reached = [document]
        for step in steps:
            reached = [each for value in reached for each in _members(value, step)]
        return reached

    return values


def _members(value: Any, step: str | int | None) -> list[Any]:
    if step is None:
        if isinstance(value, Mapping):
            return list(value.values())
        return value if isinstance(value, list) else []
    if isinstance(step, int):
        return [value[step]] if isinstance(value, list) and step < len(value) else []
    return [value[step]] if isinstance(value, Mapping) and step in value else []


_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
}


def _number_test(operator: str, number: float, word: str) -> _Value:
    compare = _COMPARISONS[operator]

    def test(value: Any) -> bool:
        if isinstance(value, bool) or value is None:
            return False
        if isinstance(value, (int, float)):
            return compare(value, number)
        return (
            isinstance(value, str)
            and operator in ("=", "!=")
            and ((value == word) == (operator == "="))
        )

    return test


def _text_test(operator: str, text: str) -> _Value:
    if operator not in ("=", "!="):
        raise _invalid()
    return _regex_test(operator, _wildcard(text), whole=True)


def _regex_test(operator: str, expression: re.Pattern[str], *, whole: bool = False) -> _Value:
    if operator not in ("=", "!="):
        raise _invalid()
    find = expression.fullmatch if whole else expression.search
    wanted = operator == "="

    def test(value: Any) -> bool:
        text = _scalar_text(value)
        return text is not None and (find(text) is not None) == wanted

    return test


def _scalar_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return msgspec.json.encode(value).decode()
    return None


# Space-delimited fields

_FIELD = re.compile(r'\[([^\]]*)\]|"((?:[^"\\]|\\.)*)"|(\S+)')
_FIELD_TEST = re.compile(
    r"\s*(?P<name>[\w.-]+|\.\.\.)?\s*(?:(?P<operator>!=|>=|<=|=|<|>)\s*(?P<value>.+?))?\s*",
    re.DOTALL,
)


def _compile_fields(text: str) -> Predicate:
    if not text.endswith("]"):
        raise _invalid()
    columns = [column.strip() for column in _split_fields(text[1:-1])]
    open_at = columns.index("...") if "..." in columns else None
    before = [_field(column) for column in columns[:open_at]]
    behind = [] if open_at is None else [_field(column) for column in columns[open_at + 1 :]]

    def matches(message: str) -> bool:
        fields = [a or b or c for a, b, c in _FIELD.findall(message)]
        if open_at is None and len(fields) != len(before):
            return False
        if len(fields) < len(before) + len(behind):
            return False
        tail = fields[len(fields) - len(behind) :] if behind else []
        return all(
            test(field)
            for tests, values in ((before, fields), (behind, tail))
            for test, field in zip(tests, values, strict=False)
        )

    return matches


def _split_fields(text: str) -> list[str]:
    parts, quoted, start = [], False, 0
    for index, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]


def _field(column: str) -> _Value:
    """The condition on one column: several on the same name, joined by `&&` or `||`."""
    if "||" in column:
        choices = [_field(part) for part in column.split("||")]
        return lambda value: any(each(value) for each in choices)
    if "&&" in column:
        parts = [_field(part) for part in column.split("&&")]
        return lambda value: all(each(value) for each in parts)
    found = _FIELD_TEST.fullmatch(column)
    if found is None:
        raise _invalid()
    operator, wanted = found["operator"], found["value"]
    if operator is None:
        return lambda value: True
    if wanted.startswith("%") and wanted.endswith("%"):
        return _regex_test(operator, _regex(wanted[1:-1]))
    number = _number(wanted)
    if number is not None:
        numeric = _number_test(operator, number, wanted)
        return lambda value: numeric(value if (read := _number(value)) is None else read)
    return _text_test(operator, _unquoted(wanted.strip('"')))


# Common to the three

_ESCAPED = re.compile(r"\\(.)")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


def _unquoted(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _wildcard(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in text.split("*")), re.DOTALL)


def _regex(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error:
        raise _invalid() from None


def _invalid() -> InvalidParameterException:
    return InvalidParameterException("Invalid filter pattern")
