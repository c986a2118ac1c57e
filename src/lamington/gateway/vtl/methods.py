"""The public methods of Java's String, List, Map, Number and Boolean that templates call.

Dispatch is by tables written out: a name and the shape of its arguments lead to a function.
What is not in a table does not exist for a template, so no Python attribute can be reached.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from lamington.gateway.vtl.java_regex import compile_java_regex, java_replacement
from lamington.gateway.vtl.limits import TemplateError, require_length
from lamington.gateway.vtl.values import (
    Entry,
    JavaList,
    arithmetic,
    elements,
    float_text,
    map_key,
    require_list_length,
    same,
    text,
)

# One function for each shape of arguments. A shape has one letter an argument: s String,
# i integer, n number, b Boolean, l List, m Map, o anything; * takes all that is left.
Method = Callable[..., Any]
Overloads = tuple[tuple[str, Method], ...]
Table = Mapping[str, Overloads]

_SHAPES: Mapping[str, tuple[type, ...]] = {
    "s": (str,),
    "i": (int,),
    "n": (int, float),
    "b": (bool,),
    "l": (list, JavaList),
    "m": (dict,),
}


def select(overloads: Overloads, arguments: tuple[Any, ...]) -> Method | None:
    """Return the function whose shape fits the arguments, as Java would resolve the method."""
    for shape, method in overloads:
        if shape.endswith("*"):
            if len(arguments) < len(shape) - 1:
                continue
        elif len(shape) != len(arguments):
            continue
        if all(
            letter in "o*" or type(argument) in _SHAPES[letter]
            for letter, argument in zip(shape, arguments, strict=False)
        ):
            return method
    return None


# Strings. Java counts UTF-16 units: a character beyond U+FFFF is two of them.


def _units(value: str) -> str:
    if value.isascii() or max(value) <= "\uffff":
        return value
    raw = value.encode("utf-16-le", "surrogatepass")
    return "".join([chr(raw[i] | raw[i + 1] << 8) for i in range(0, len(raw), 2)])


def _joined(units: str) -> str:
    if units.isascii():
        return units
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _outside(index: int, length: int) -> TemplateError:
    return TemplateError(f"The index {index} is out of range for a length of {length}.")


def _substring(value: str, begin: int, end: int | None = None) -> str:
    units = _units(value)
    stop = len(units) if end is None else end
    if not 0 <= begin <= stop <= len(units):
        raise _outside(begin if not 0 <= begin <= len(units) else stop, len(units))
    return _joined(units[begin:stop])


def _char_at(value: str, index: int) -> str:
    return _substring(value, index, index + 1)


def _code_point_at(value: str, index: int) -> int:
    units = _units(value)
    if not 0 <= index < len(units):
        raise _outside(index, len(units))
    pair = units[index : index + 2]
    if len(pair) == 2 and "\ud800" <= pair[0] < "\udc00" <= pair[1] <= "\udfff":
        return ord(_joined(pair))
    return ord(pair[0])


def _sought(what: str | int) -> str:
    return _units(what if isinstance(what, str) else chr(what) if 0 <= what < 0x110000 else "")


def _index_of(value: str, what: str | int, start: int = 0) -> int:
    units = _units(value)
    return units.find(_sought(what), min(max(start, 0), len(units)))


def _last_index_of(value: str, what: str | int, start: int | None = None) -> int:
    units, sought = _units(value), _sought(what)
    if start is None:
        return units.rfind(sought)
    return units.rfind(sought, 0, start + len(sought)) if start >= 0 else -1


def _starts_with_at(value: str, prefix: str, offset: int) -> bool:
    return offset >= 0 and _units(value).startswith(_units(prefix), offset)


def _fold(value: str) -> str:
    return value.upper().lower()


def _compare_strings(left: str, right: str) -> int:
    first, second = _units(left), _units(right)
    for one, other in zip(first, second, strict=False):
        if one != other:
            return ord(one) - ord(other)
    return len(first) - len(second)


def _hash_code(value: str) -> int:
    code = 0
    for unit in _units(value):
        code = (code * 31 + ord(unit)) & 0xFFFFFFFF
    return code - 0x100000000 if code >= 0x80000000 else code


def _replace(value: str, old: str, new: str) -> str:
    require_length(len(value) + value.count(old) * max(len(new) - len(old), 0))
    return value.replace(old, new)


def _replace_regex(value: str, pattern: str, replacement: str, count: int) -> str:
    compiled = compile_java_regex(pattern).admit(value)
    grown = 0

    def expand(match: "re.Match[str]") -> str:
        nonlocal grown
        piece = java_replacement(match, replacement)
        grown += len(piece)
        require_length(grown)
        return piece

    return compiled.sub(expand, value, count=count)


def _matches(value: str, pattern: str) -> bool:
    return compile_java_regex(pattern).admit(value).fullmatch(value) is not None


def _split(value: str, pattern: str, limit: int = 0) -> JavaList:
    """Split as Java does: no empty first piece from an empty match, no empty pieces at the end."""
    compiled = compile_java_regex(pattern).admit(value)
    pieces: list[str] = []
    begin = 0
    for match in compiled.finditer(value):
        if limit > 0 and len(pieces) == limit - 1:
            break
        if match.end() == 0 or (match.start() == match.end() == len(value)):
            continue
        pieces.append(value[begin : match.start()])
        begin = match.end()
    if not begin:
        return JavaList([value])
    pieces.append(value[begin:])
    while limit == 0 and pieces and not pieces[-1]:
        pieces.pop()
    return JavaList(list(pieces))


_FORMAT = re.compile(r"%(?:(\d+)\$)?([-#+ 0,(]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])")
_FORMAT_WIDTH_MAX = 10_000


def _format(_: Any, template: str, *arguments: Any) -> str:
    """`String.format`: the conversions s S d f e x X o b c n and %."""
    following = iter(arguments)

    def convert(match: "re.Match[str]") -> str:
        position, flags, width, precision, conversion = match.groups()
        if conversion == "n":
            return "\n"
        if int(width or 0) > _FORMAT_WIDTH_MAX or int(precision or 0) > _FORMAT_WIDTH_MAX:
            raise TemplateError(f"A format is wider than {_FORMAT_WIDTH_MAX}.")
        if conversion == "%":
            return "%".rjust(int(width or 0))
        try:
            value = arguments[int(position) - 1] if position else next(following)
        except (IndexError, StopIteration):
            raise TemplateError(f"The format `{match.group()}` has no argument.") from None
        shown = _formatted(value, flags, precision, conversion)
        if "-" in flags:
            return shown.ljust(int(width or 0))
        if "0" in flags and conversion not in "sScbB":
            return shown.zfill(int(width or 0))
        return shown.rjust(int(width or 0))

    if _FORMAT.sub("", template).count("%"):
        raise TemplateError(f"The format `{template[:80]}` is not valid.")
    result = _FORMAT.sub(convert, template)
    require_length(len(result))
    return result


def _formatted(value: Any, flags: str, precision: str | None, conversion: str) -> str:
    kind = type(value)
    sign = "+" if "+" in flags else ""
    comma = "," if "," in flags else ""
    if conversion in "sS":
        shown = text(value)
        shown = shown[: int(precision)] if precision else shown
        return shown.upper() if conversion == "S" else shown
    if conversion == "d" and kind is int:
        return format(value, f"{sign}{comma}d")
    if conversion in "xXo" and kind is int:
        return format(value if value >= 0 else value & 0xFFFFFFFF, conversion)
    if conversion in "fe" and kind is float:
        return format(
            value, f"{sign}{comma if conversion == 'f' else ''}.{precision or 6}{conversion}"
        )
    if conversion in "bB":
        shown = text(value) if kind is bool else "true"
        return shown.upper() if conversion == "B" else shown
    if conversion == "c" and ((kind is str and len(value) == 1) or kind is int):
        return value if kind is str else _sought(value)
    raise TemplateError(f"The format `%{conversion}` does not fit `{text(value)[:80]}`.")


def _join(_: Any, separator: str, items: Any) -> str:
    pieces = [text(item) for item in elements(items) or ()]
    require_length(sum(map(len, pieces)) + len(separator) * len(pieces))
    return separator.join(pieces)


def _concat(value: str, other: str) -> str:
    require_length(len(value) + len(other))
    return value + other


_TRIMMED = "".join(map(chr, range(33)))

STRING: Table = {
    "length": (("", lambda s: len(_units(s))),),
    "isEmpty": (("", lambda s: not s),),
    "charAt": (("i", _char_at),),
    "codePointAt": (("i", _code_point_at),),
    "substring": (("i", _substring), ("ii", _substring)),
    "subSequence": (("ii", _substring),),
    "indexOf": (("s", _index_of), ("i", _index_of), ("si", _index_of), ("ii", _index_of)),
    "lastIndexOf": (
        ("s", _last_index_of),
        ("i", _last_index_of),
        ("si", _last_index_of),
        ("ii", _last_index_of),
    ),
    "contains": (("s", lambda s, other: other in s),),
    "startsWith": (("s", lambda s, other: s.startswith(other)), ("si", _starts_with_at)),
    "endsWith": (("s", lambda s, other: s.endswith(other)),),
    "equals": (("o", same),),
    "contentEquals": (("s", same),),
    "equalsIgnoreCase": (("s", lambda s, other: _fold(s) == _fold(other)),),
    "compareTo": (("s", _compare_strings),),
    "compareToIgnoreCase": (("s", lambda s, other: _compare_strings(_fold(s), _fold(other))),),
    "hashCode": (("", _hash_code),),
    "trim": (("", lambda s: s.strip(_TRIMMED)),),
    "toUpperCase": (("", lambda s: s.upper()),),
    "toLowerCase": (("", lambda s: s.lower()),),
    "concat": (("s", _concat),),
    "replace": (("ss", _replace),),
    "replaceAll": (("ss", lambda s, pattern, new: _replace_regex(s, pattern, new, 0)),),
    "replaceFirst": (("ss", lambda s, pattern, new: _replace_regex(s, pattern, new, 1)),),
    "matches": (("s", _matches),),
    "split": (("s", _split), ("si", _split)),
    "format": (("s*", _format),),
    "join": (("sl", _join),),
    "valueOf": (("o", lambda _, value: text(value)),),
    "toString": (("", lambda s: s),),
    "intern": (("", lambda s: s),),
}


# Lists. The functions take the Python list behind either kind of Java list.


def _item_at(items: list[Any], index: int) -> Any:
    if not 0 <= index < len(items):
        raise _outside(index, len(items))
    return items[index]


def _append(items: list[Any], value: Any) -> bool:
    require_list_length(len(items) + 1)
    items.append(value)
    return True


def _insert(items: list[Any], index: int, value: Any) -> None:
    if not 0 <= index <= len(items):
        raise _outside(index, len(items))
    require_list_length(len(items) + 1)
    items.insert(index, value)


def _append_all(items: list[Any], others: Any) -> bool:
    added = list(elements(others) or ())
    require_list_length(len(items) + len(added))
    items.extend(added)
    return bool(added)


def _replace_item(items: list[Any], index: int, value: Any) -> Any:
    previous = _item_at(items, index)
    items[index] = value
    return previous


def _remove_at(items: list[Any], index: int) -> Any:
    _item_at(items, index)
    return items.pop(index)


def _position(items: list[Any], value: Any) -> int:
    return next((index for index, item in enumerate(items) if same(item, value)), -1)


def _last_position(items: list[Any], value: Any) -> int:
    found = (index for index in range(len(items) - 1, -1, -1) if same(items[index], value))
    return next(found, -1)


def _remove_value(items: list[Any], value: Any) -> bool:
    index = _position(items, value)
    if index >= 0:
        del items[index]
    return index >= 0


def _contains_all(items: list[Any], others: Any) -> bool:
    return all(_position(items, other) >= 0 for other in elements(others) or ())


def _sub_list(items: list[Any], begin: int, end: int) -> JavaList:
    """Differs: a copy; Java gives a view, which nobody has been seen to write through."""
    if not 0 <= begin <= end <= len(items):
        raise _outside(begin if begin < 0 else end, len(items))
    return JavaList(items[begin:end])


_ITEMS: Table = {
    "size": (("", len),),
    "isEmpty": (("", lambda items: not items),),
    "get": (("i", _item_at),),
    "set": (("io", _replace_item),),
    "add": (("o", _append), ("io", _insert)),
    "addAll": (("l", _append_all),),
    "remove": (("i", _remove_at), ("o", _remove_value)),
    "contains": (("o", lambda items, value: _position(items, value) >= 0),),
    "containsAll": (("l", _contains_all),),
    "indexOf": (("o", _position),),
    "lastIndexOf": (("o", _last_position),),
    "subList": (("ii", _sub_list),),
    "clear": (("", lambda items: items.clear()),),
    "iterator": (("", lambda items: JavaList(list(items))),),
    "toArray": (("", lambda items: JavaList(list(items))),),
}
_LIST_ITSELF: Table = {
    "equals": (("o", same),),
    "toString": (("", text),),
    "toJSONString": (("", text),),
}


def _behind(method: Method) -> Method:
    return lambda value, *arguments: method(value.items, *arguments)


JSON_LIST: Table = {**_ITEMS, **_LIST_ITSELF}
JAVA_LIST: Table = {
    **{
        name: tuple((shape, _behind(method)) for shape, method in overloads)
        for name, overloads in _ITEMS.items()
    },
    "equals": (("o", same),),
    "toString": (("", text),),
}


# Maps.


def put(entries: dict[Any, Any], key: Any, value: Any) -> Any:
    """Set an entry and return what stood there."""
    key = map_key(key)
    previous = entries.get(key)
    entries[key] = value
    require_list_length(len(entries))
    return previous


def _put_all(entries: dict[Any, Any], others: dict[Any, Any]) -> None:
    entries.update(others)
    require_list_length(len(entries))


def _put_if_absent(entries: dict[Any, Any], key: Any, value: Any) -> Any:
    previous = entries.get(map_key(key))
    return put(entries, key, value) if previous is None else previous


def _get_or_default(entries: dict[Any, Any], key: Any, default: Any) -> Any:
    return entries.get(map_key(key), default)


def _contains_value(entries: dict[Any, Any], value: Any) -> bool:
    return any(same(item, value) for item in entries.values())


MAP: Table = {
    "get": (("o", lambda entries, key: entries.get(map_key(key))),),
    "put": (("oo", put),),
    "putAll": (("m", _put_all),),
    "putIfAbsent": (("oo", _put_if_absent),),
    "getOrDefault": (("oo", _get_or_default),),
    "containsKey": (("o", lambda entries, key: map_key(key) in entries),),
    "containsValue": (("o", _contains_value),),
    "remove": (("o", lambda entries, key: entries.pop(map_key(key), None)),),
    "keySet": (("", lambda entries: JavaList(list(entries))),),
    "values": (("", lambda entries: JavaList(list(entries.values()))),),
    "entrySet": (("", lambda m: JavaList([Entry(key, value) for key, value in m.items()])),),
    "size": (("", len),),
    "isEmpty": (("", lambda entries: not entries),),
    "clear": (("", lambda entries: entries.clear()),),
    "equals": (("o", same),),
    "toString": (("", text),),
    "toJSONString": (("", text),),
}

ENTRY: Table = {
    "getKey": (("", lambda entry: entry.key),),
    "getValue": (("", lambda entry: entry.value),),
    "toString": (("", text),),
}


# Numbers and Booleans.


def _wrapped(value: float, bits: int) -> int:
    """Cut a number to a Java integer of so many bits: doubles saturate, integers wrap."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    if isinstance(value, float):
        return 0 if value != value else int(min(max(value, low), high))
    return (value - low) % (1 << bits) + low


def _parse_integer(_: Any, digits: str, radix: int = 10) -> int:
    if not 2 <= radix <= 36 or not re.fullmatch(r"[+-]?[0-9a-zA-Z]{1,400}", digits):
        raise TemplateError(f"`{digits[:80]}` is not an integer.")
    try:
        return int(digits, radix)
    except ValueError:
        raise TemplateError(f"`{digits[:80]}` is not an integer.") from None


def _parse_double(_: Any, digits: str) -> float:
    if not re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[dDfF]?\s*", digits):
        raise TemplateError(f"`{digits[:80]}` is not a number.")
    return float(digits.strip().rstrip("dDfF"))


def _double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _ordering(left: Any, right: Any) -> int:
    return int(left > right) - int(left < right)


_NUMBER: Table = {
    "intValue": (("", lambda n: _wrapped(n, 32)),),
    "longValue": (("", lambda n: _wrapped(n, 64)),),
    "shortValue": (("", lambda n: _wrapped(n, 16)),),
    "byteValue": (("", lambda n: _wrapped(n, 8)),),
    "doubleValue": (("", _double),),
    "floatValue": (("", _double),),
    "equals": (("o", same),),
    "compareTo": (("n", _ordering),),
}
INTEGER: Table = {
    **_NUMBER,
    "toString": (("", text), ("i", lambda _, value: str(value))),
    "hashCode": (("", lambda n: _wrapped(n, 32)),),
    "parseInt": (("s", _parse_integer), ("si", _parse_integer)),
    "parseLong": (("s", _parse_integer), ("si", _parse_integer)),
    "valueOf": (("s", _parse_integer), ("si", _parse_integer), ("i", lambda _, value: value)),
    "toHexString": (("i", lambda _, value: format(value & 0xFFFFFFFF, "x")),),
    "toBinaryString": (("i", lambda _, value: format(value & 0xFFFFFFFF, "b")),),
    "max": (("ii", lambda _, one, other: max(one, other)),),
    "min": (("ii", lambda _, one, other: min(one, other)),),
    "sum": (("ii", lambda _, one, other: arithmetic("+", one, other)),),
}
DOUBLE: Table = {
    **_NUMBER,
    "toString": (("", float_text),),
    "parseDouble": (("s", _parse_double),),
    "valueOf": (("s", _parse_double), ("n", lambda _, value: _double(value))),
    "isNaN": (("", lambda n: n != n),),
    "isInfinite": (("", lambda n: n in (float("inf"), float("-inf"))),),
    "max": (("nn", lambda _, one, other: _double(max(one, other))),),
    "min": (("nn", lambda _, one, other: _double(min(one, other))),),
    "sum": (("nn", lambda _, one, other: _double(one) + _double(other)),),
}
BOOLEAN: Table = {
    "booleanValue": (("", lambda b: b),),
    "equals": (("o", same),),
    "compareTo": (("b", _ordering),),
    "toString": (("", text), ("b", lambda _, value: text(value))),
    "parseBoolean": (("s", lambda _, value: value.lower() == "true"),),
    "valueOf": (("s", lambda _, value: value.lower() == "true"), ("b", lambda _, value: value)),
}

JAVA_METHODS: Mapping[type, Table] = {
    str: STRING,
    list: JSON_LIST,
    JavaList: JAVA_LIST,
    dict: MAP,
    Entry: ENTRY,
    int: INTEGER,
    float: DOUBLE,
    bool: BOOLEAN,
}

# What `.name` reads besides a map's entries: Java's getters `getName()` and `isName()`.
JAVA_PROPERTIES: Mapping[type, Mapping[str, Method]] = {
    str: {"empty": lambda s: not s},
    list: {"empty": lambda items: not items},
    JavaList: {"empty": lambda value: not value.items},
    Entry: {"key": lambda entry: entry.key, "value": lambda entry: entry.value},
    float: {"naN": lambda n: n != n, "infinite": lambda n: n in (float("inf"), float("-inf"))},
}
