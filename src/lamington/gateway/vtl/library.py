"""What a template sees: `$input`, `$util`, `$context`, `$stageVariables`, and how it reaches in.

Every `.name`, `[index]` and `.method()` of a template ends in a function of this module, which
looks the type of the value up in tables written out. No Python attribute is ever looked up by a
name from a template. Leaves the fast paths for literal names to the compiler.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus, unquote_plus

from lamington.gateway.vtl.json_text import parse_json
from lamington.gateway.vtl.jsonpath import MISSING, JsonPath, compile_json_path
from lamington.gateway.vtl.limits import TemplateError as TemplateError
from lamington.gateway.vtl.limits import require_length
from lamington.gateway.vtl.methods import (
    JAVA_METHODS,
    JAVA_PROPERTIES,
    MAP,
    Method,
    Table,
    put,
    select,
)
from lamington.gateway.vtl.values import (
    ContextMap,
    JavaList,
    Loop,
    elements,
    json_text,
    map_key,
    measure,
    plain,
    text,
    well_formed,
)

# $input.


@dataclass(frozen=True, slots=True)
class _Unparsed:
    """The place of a body that no template has asked for yet."""


_UNPARSED: Final = _Unparsed()


class Input:
    """`$input`: the payload and the request's parameters.

    The body is parsed when a template first asks for a part of it, and once only. The mappings
    are not copied until a template asks for all of them.

    AWS: an empty payload reads as `{}`.
    """

    __slots__ = ("_all", "_exposed", "_header", "_path", "_querystring", "_root", "body")

    def __init__(
        self,
        body: str,
        *,
        path: Mapping[str, str],
        querystring: Mapping[str, str],
        header: Mapping[str, str],
    ) -> None:
        self.body = body or "{}"
        self._path = path
        self._querystring = querystring
        self._header = header
        self._root: Any = _UNPARSED
        self._all: dict[str, Any] | None = None
        self._exposed = False  # a template holds a part of the body and may have changed it

    def root(self) -> Any:
        """Return the parsed body."""
        if self._root is _UNPARSED:
            self._root = parse_json(self.body)
        return self._root

    def path(self, path: str) -> Any:
        """Return the value at a JSONPath, or "" for a missing one and for null."""
        return self.select_value(compile_json_path(path))

    def json(self, path: str) -> str:
        """Return the JSON text of the value at a JSONPath; a missing one gives two quotes."""
        return self.select_json(compile_json_path(path))

    def select_value(self, path: JsonPath) -> Any:
        """Do what `path` does, with a compiled JSONPath."""
        value = path(self.root())
        if type(value) is dict or type(value) is list:
            self._exposed = True
        return "" if value is MISSING or value is None else value

    def select_json(self, path: JsonPath) -> str:
        """Do what `json` does, with a compiled JSONPath."""
        value = path(self.root())
        if value is MISSING:
            return '""'
        if self._exposed:
            measure(value)
        return json_text(value)

    def parameter(self, name: str) -> str:
        """Search the path, then the query string, then the headers; "" when none has the name."""
        for parameters in (self._path, self._querystring, self._header):
            value = parameters.get(name)
            if value is not None:
                return value
        return ""

    def params(self, name: str | None = None) -> Any:
        """Return one parameter, or a map of `path`, `querystring` and `header`."""
        if name is not None:
            return self.parameter(name)
        if self._all is None:
            self._all = {
                "path": dict(self._path),
                "querystring": dict(self._querystring),
                "header": dict(self._header),
            }
        return self._all


# $util.


@dataclass(frozen=True, slots=True)
class Utility:
    """`$util`, which has methods alone."""


_BACKSLASHED = {
    **{"\\": "\\\\", '"': '\\"', "'": "\\'", "/": "\\/"},
    **{"\b": "\\b", "\n": "\\n", "\t": "\\t", "\f": "\\f", "\r": "\\r"},
}
_ESCAPED_CHARACTER = re.compile(r"[\x00-\x1f\"'/\\\u0080-\U0010ffff]")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")


def escape_java_script(value: Any) -> str:
    """Escape a string for a JavaScript literal; what is no string gives "".

    AWS: `'` becomes `\\'`, which JSON does not know; templates repair it by `replaceAll`.
    """
    if type(value) is not str:
        return ""
    if not (value.isascii() and value.isprintable()):
        require_length(len(value) * 2)
        escaped = _ESCAPED_CHARACTER.sub(_escape_character, value)
        require_length(len(escaped))
        return escaped
    escaped = value
    if "\\" in escaped:
        escaped = escaped.replace("\\", "\\\\")
    if "/" in escaped:
        escaped = escaped.replace("/", "\\/")
    if '"' in escaped:
        escaped = escaped.replace('"', '\\"')
    if "'" in escaped:
        escaped = escaped.replace("'", "\\'")
    require_length(len(escaped))
    return escaped


def _escape_character(match: "re.Match[str]") -> str:
    character = match.group()
    short = _BACKSLASHED.get(character)
    if short is not None:
        return short
    code = ord(character)
    if code <= 0xFFFF:
        return f"\\u{code:04X}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04X}\\u{0xDC00 + (code & 0x3FF):04X}"


def url_encode(value: Any) -> str:
    """Encode as `application/x-www-form-urlencoded`, in UTF-8; what is no string gives ""."""
    if type(value) is not str:
        return ""
    encoded = quote_plus(value, safe="*", errors="replace").replace("~", "%7E")
    require_length(len(encoded))
    return encoded


def url_decode(value: Any) -> str:
    """Decode `application/x-www-form-urlencoded` text; what is no string gives ""."""
    if type(value) is not str:
        return ""
    if _BAD_PERCENT.search(value):
        raise TemplateError(
            "`$util.urlDecode` meets a `%` without two hexadecimal digits.",
            "Encode a percent sign as `%25`.",
        )
    return unquote_plus(value)


def base64_encode(value: Any) -> str:
    """Encode the UTF-8 bytes of a string; what is no string gives ""."""
    if type(value) is not str:
        return ""
    require_length(len(value) * 2)
    return base64.b64encode(value.encode("utf-8", "replace")).decode("ascii")


def base64_decode(value: Any) -> str:
    """Decode to UTF-8 text, whatever the alphabet and the padding; what is no string gives ""."""
    if type(value) is not str:
        return ""
    digits = _NOT_BASE64.sub("", value.replace("-", "+").replace("_", "/"))
    digits = digits[:-1] if len(digits) % 4 == 1 else digits
    padded = digits + "=" * (-len(digits) % 4)
    return base64.b64decode(padded).decode("utf-8", "replace")


# $context.

_OVERRIDES: Mapping[str, tuple[str, ...]] = {
    "requestOverride": ("header", "querystring", "path"),
    "responseOverride": ("header",),
}


@dataclass(slots=True, eq=False)
class Context:
    """`$context`: the values of one request.

    `values` belongs to the context, whose templates may add to it. The maps within are shared
    until a template reaches into them otherwise than by a literal name: then they are copied.
    """

    values: dict[str, Any]


def make_context(values: dict[str, Any]) -> Context:
    """Make the `$context` of one request from a plain nested dict, in iteration order.

    Nothing is copied or converted here. The outer dict must be fresh for each request, since
    templates may write to it; maps within it, such as an authorizer's cached answer, may be shared
    between requests. `requestOverride` and `responseOverride` need not be there: they appear
    when a template writes to them. One context serves the request and the response template.
    """
    return Context(values)


def request_override(context: Context) -> dict[str, dict[str, Any]]:
    """Return what templates set under `$context.requestOverride`.

    Keys `header`, `querystring` and `path` are always there; values are strings, numbers,
    Booleans or lists of them.
    """
    override = _override(context, "requestOverride")
    return {part: _as_map(override.get(part)) for part in _OVERRIDES["requestOverride"]}


def response_override(context: Context) -> dict[str, Any]:
    """Return what templates set under `$context.responseOverride`.

    `header` is always there; `status` is None unless set, and is not checked here.
    """
    override = _override(context, "responseOverride")
    return {"header": _as_map(override.get("header")), "status": override.get("status")}


def _override(context: Context, name: str) -> dict[str, Any]:
    found = context.values.get(name)
    # A dict that no template reached into is the gateway's own, or a map put there whole.
    return _as_map(found)


def _as_map(value: Any) -> dict[str, Any]:
    copied = plain(value) if type(value) in (ContextMap, dict) else {}
    return {
        well_formed(text(key)): well_formed(item) if type(item) is str else item
        for key, item in copied.items()
    }


def _own(entries: dict[Any, Any], name: Any) -> Any:
    """Return an entry of a context map; a map is copied the first time, so that it may change."""
    found = entries.get(name)
    if type(found) is dict:
        found = entries[name] = ContextMap(dict(found))
    return found


def _context_entry(context: Context, name: Any) -> Any:
    parts = _OVERRIDES.get(name)
    if parts is not None and type(context.values.get(name)) is not ContextMap:
        given = context.values.get(name)
        entries: dict[Any, Any] = {part: {} for part in parts}
        entries.update(given if type(given) is dict else {})
        context.values[name] = ContextMap(entries)
    return _own(context.values, name)


def _own_all(entries: dict[Any, Any]) -> dict[Any, Any]:
    for name in list(entries):
        _own(entries, name)
    return entries


def _storable(value: Any) -> Any:
    """Return what a context may keep: later changes of a list or map do not reach it."""
    return value if type(value) in (str, int, float, bool) else plain(value)


def _put_storable(entries: dict[Any, Any], key: Any, value: Any) -> Any:
    return put(entries, key, _storable(value))


def _of_entries(method: Method) -> Method:
    return lambda value, *arguments: method(_own_all(value.entries), *arguments)


def _of_context(method: Method) -> Method:
    return lambda context, *arguments: method(_own_all(context.values), *arguments)


_CONTEXT_MAP_METHODS: Table = {
    **{
        name: tuple((shape, _of_entries(method)) for shape, method in overloads)
        for name, overloads in MAP.items()
    },
    "get": (("o", lambda value, key: _own(value.entries, map_key(key))),),
    "put": (("oo", lambda value, key, new: _put_storable(value.entries, key, new)),),
    "putAll": (("m", lambda value, new: value.entries.update(plain(new))),),
    "putIfAbsent": (),
    "equals": (),
    "toString": (("", lambda value: ""),),
}
_CONTEXT_METHODS: Table = {
    **{
        name: tuple((shape, _of_context(method)) for shape, method in overloads)
        for name, overloads in MAP.items()
    },
    "get": (("o", lambda context, key: _context_entry(context, map_key(key))),),
    "put": (("oo", lambda context, key, new: _put_storable(context.values, key, new)),),
    "putAll": (),
    "putIfAbsent": (),
    "clear": (),
    "remove": (),
    "equals": (),
    "toString": (("", lambda value: ""),),
}


# Bindings and dispatch.


@dataclass(slots=True, kw_only=True)
class Bindings:
    """What one rendering of a template sees.

    `variables` binds further names, for tests and for tools that render a template alone; lists
    in it print as JSON arrays do, unless they are a `JavaList`.
    """

    input: Input
    context: Context
    stage_variables: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, Any] | None = None


UTILITY: Final = Utility()

_UTILITY_METHODS: Table = {
    "escapeJavaScript": (("s", lambda _, value: escape_java_script(value)),),
    "parseJson": (("s", lambda _, value: parse_json(value)),),
    "urlEncode": (("s", lambda _, value: url_encode(value)),),
    "urlDecode": (("s", lambda _, value: url_decode(value)),),
    "base64Encode": (("s", lambda _, value: base64_encode(value)),),
    "base64Decode": (("s", lambda _, value: base64_decode(value)),),
}
_INPUT_METHODS: Table = {
    "json": (("s", lambda request, path: request.json(path)),),
    "path": (("s", lambda request, path: request.path(path)),),
    "params": (
        ("", lambda request: request.params()),
        ("s", lambda request, name: request.parameter(name)),
    ),
}
METHODS: Mapping[type, Table] = {
    **JAVA_METHODS,
    Context: _CONTEXT_METHODS,
    ContextMap: _CONTEXT_MAP_METHODS,
    Input: _INPUT_METHODS,
    Utility: _UTILITY_METHODS,
}
PROPERTIES: Mapping[type, Mapping[str, Method]] = {
    **JAVA_PROPERTIES,
    Input: {"body": lambda request: request.body},
    Loop: {
        "count": lambda loop: loop.count,
        "index": lambda loop: loop.count - 1,
        "hasNext": lambda loop: loop.count < loop.length,
        "first": lambda loop: loop.count == 1,
        "last": lambda loop: loop.count == loop.length,
        "parent": lambda loop: loop.parent,
    },
}


def member(value: Any, name: str) -> Any:
    """Read `.name`; "" for what is not there."""
    kind = type(value)
    if kind is dict:
        found = value.get(name)
    elif kind is ContextMap:
        found = _own(value.entries, name)
    elif kind is Context:
        found = _context_entry(value, name)
    else:
        getter = PROPERTIES.get(kind, {}).get(name)
        found = None if getter is None else getter(value)
    return "" if found is None else found


def index(value: Any, key: Any) -> Any:
    """Read `[key]`; a list counts negative ones from its end, and raises outside it."""
    items = elements(value)
    if items is None:
        return call(value, "get", (key,))
    if type(key) is not int:
        return ""
    found = items[_position(items, key)]
    return "" if found is None else found


def _position(items: list[Any], key: int) -> int:
    if not -len(items) <= key < len(items):
        raise TemplateError(
            f"The index {key} is out of range for a list of {len(items)}.",
            "Test `$list.size()` before.",
        )
    return key


def call(value: Any, name: str, arguments: tuple[Any, ...]) -> Any:
    """Call `.name(arguments)`; "" for a method that the value has not, or that returns null."""
    table = METHODS.get(type(value))
    overloads = table.get(name) if table is not None else None
    if not overloads:
        return ""
    method = select(overloads, arguments)
    found = None if method is None else method(value, *arguments)
    return "" if found is None else found


def get(value: Any, key: Any) -> Any:
    """Call `.get(key)`, by a short cut for a map."""
    if type(value) is dict and type(key) is str:
        found = value.get(key)
        return "" if found is None else found
    return call(value, "get", (key,))


def keys(value: Any) -> list[Any] | JavaList | str:
    """Call `.keySet()` for a loop, by a short cut for a map."""
    if type(value) is dict:
        return JavaList(list(value))
    found: JavaList | str = call(value, "keySet", ())
    return found


def set_member(value: Any, name: Any, new: Any) -> None:
    """Assign to `.name` or to `["name"]`; what takes no assignment is left alone."""
    kind = type(value)
    if kind is dict:
        put(value, name, new)
    elif kind is ContextMap:
        put(value.entries, name, _storable(new))
    elif kind is Context:
        put(value.values, name, _storable(new))


def set_index(value: Any, key: Any, new: Any) -> None:
    """Assign to `[key]` of a list or a map."""
    items = elements(value)
    if items is None:
        set_member(value, key, new)
    elif type(key) is int:
        items[_position(items, key)] = new


def variable(variables: Mapping[str, Any], name: str) -> Any:
    """Return a variable that the bindings bring; null and unbound are ""."""
    found = variables.get(name)
    return "" if found is None else found


def bounded(value: str) -> str:
    """Return a string after checking that a payload could carry it."""
    require_length(len(value))
    return value


class JsonPaths:
    """The JSONPaths that one template makes while it renders; the oldest go when it is full."""

    __slots__ = ("_compiled",)
    SIZE_MAX: Final = 128

    def __init__(self) -> None:
        self._compiled: dict[str, JsonPath] = {}

    def compiled(self, path: str) -> JsonPath:
        """Return a path's function, compiled at most once while it is remembered."""
        found = self._compiled.get(path)
        if found is None:
            if len(self._compiled) >= self.SIZE_MAX:
                self._compiled.pop(next(iter(self._compiled)))
            found = self._compiled[path] = compile_json_path(path)
        return found


def input_value(request: Input, paths: JsonPaths, path: Any) -> Any:
    """Call `$input.path(path)` with a path that is not literal."""
    return request.select_value(paths.compiled(path)) if type(path) is str else ""


def input_json(request: Input, paths: JsonPaths, path: Any) -> str:
    """Call `$input.json(path)` with a path that is not literal."""
    return request.select_json(paths.compiled(path)) if type(path) is str else ""


def input_parameter(request: Input, name: Any) -> str:
    """Call `$input.params(name)` with a name that is not literal."""
    return request.parameter(name) if type(name) is str else ""


def parsed_json(value: Any) -> Any:
    """Call `$util.parseJson(value)`."""
    found = parse_json(value) if type(value) is str else ""
    return "" if found is None else found
