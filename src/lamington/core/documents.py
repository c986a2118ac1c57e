"""YAML or JSON text to plain values that know where they stand: every error names its line.

Left to others: what the values mean. Nothing here knows CloudFormation but the names of its
short forms.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

from lamington.core.errors import Position, UsageError

Path = Sequence[str | int]
"""Where a value stands in a document: map keys and list indexes, from the root."""

TagReader = Callable[[str, Any], Any]
"""A tag of the author's own (`!thing`) and the plain value under it, to a value."""

NODES_MAX = 1_000_000
DEPTH_MAX = 200

SHORT_FORMS = {
    "!Ref": "Ref",
    "!Condition": "Condition",
    "!GetAtt": "Fn::GetAtt",
    "!Sub": "Fn::Sub",
    "!Join": "Fn::Join",
    "!Select": "Fn::Select",
    "!Split": "Fn::Split",
    "!FindInMap": "Fn::FindInMap",
    "!ImportValue": "Fn::ImportValue",
    "!If": "Fn::If",
    "!And": "Fn::And",
    "!Or": "Fn::Or",
    "!Not": "Fn::Not",
    "!Equals": "Fn::Equals",
    "!Base64": "Fn::Base64",
    "!Cidr": "Fn::Cidr",
    "!GetAZs": "Fn::GetAZs",
    "!Transform": "Fn::Transform",
}

_YAML = "tag:yaml.org,2002:"
_BOOLEANS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


class AliasError(UsageError):
    """An alias stands where none is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A value made of dict, list, str, int, float, bool and None, and the text it comes from."""

    value: Any
    file: str
    text: str
    root: yaml.Node | None = None

    def position(self, path: Path) -> Position:
        """Where the path's last part stands: a map member's key, a list's item.

        A path that leads further than the text goes ends at the last place that is there.
        """
        if self.root is not None:
            return _node_position(self.root, path, self.file)
        return _json_position(self.text, path, self.file)


def is_json(text: str) -> bool:
    """JSON is what begins with a brace or bracket; all else is YAML."""
    return text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[")


def load_document(
    text: str,
    file: str,
    *,
    intrinsics: bool = False,
    aliases: bool = True,
    tags: TagReader | None = None,
) -> Document:
    """Read a document; with `intrinsics`, CloudFormation's short forms become their long forms.

    In YAML, dates and numbers with leading zeros stay text, map keys are text always, and a key
    given twice is an error; in JSON the last of two equal keys counts, as it does on AWS.
    Raises UsageError with its place for text that is not well-formed, AliasError for an alias
    where `aliases` is false.
    """
    text = text.removeprefix("\ufeff")
    if is_json(text):
        try:
            return Document(value=msgspec.json.decode(text), file=file, text=text)
        except (msgspec.DecodeError, RecursionError):
            problem = _json_problem(text, file)
            if problem is not None and not text.lstrip().startswith("["):
                raise problem from None
    root = _compose(text, file)
    if root is None:
        return Document(value=None, file=file, text=text)
    reader = _Reader(file=file, text=text, intrinsics=intrinsics, aliases=aliases, tags=tags)
    return Document(value=reader.read(root, 0), file=file, text=text, root=root)


def _json_problem(text: str, file: str) -> UsageError | None:
    """What the standard library says is wrong, for it says where; None where it sees nothing."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        where = Position(file=file, line=error.lineno, column=error.colno)
        return UsageError(f"JSON not well-formed: {error.msg}", where=where)
    except RecursionError:
        return UsageError("JSON is nested too deeply", where=Position(file=file))
    return None


def _compose(text: str, file: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = _marked(mark, file) if mark else Position(file=file)
        raise UsageError(f"YAML not well-formed: {error.problem or error}", where=where) from None
    except yaml.YAMLError as error:
        raise UsageError(f"YAML not well-formed: {error}", where=Position(file=file)) from None


class _Reader:
    """Turns composed nodes into plain values; each alias is read anew, within bounds."""

    def __init__(
        self, *, file: str, text: str, intrinsics: bool, aliases: bool, tags: TagReader | None
    ) -> None:
        self._file = file
        self._text = text
        self._intrinsics = intrinsics
        self._aliases = aliases
        self._tags = tags
        self._seen: set[int] = set()
        self._count = 0

    def read(self, node: yaml.Node, depth: int) -> Any:
        self._count += 1
        if depth > DEPTH_MAX or self._count > NODES_MAX:
            raise self._error("the document is too large or nested too deeply", node)
        if not self._aliases:
            if id(node) in self._seen:
                raise AliasError(
                    "YAML aliases are not allowed here", where=_first_alias(self._text, self._file)
                )
            self._seen.add(id(node))
        if node.tag.startswith("!") and node.tag != "!":
            return self._tagged(node, depth)
        return self._untagged(node, depth)

    def _untagged(self, node: yaml.Node, depth: int) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, depth + 1) for item in node.value]
        assert isinstance(node, yaml.MappingNode)
        return self._mapping(node, depth)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._error("a map's key must be text", key_node)
            if key_node.tag == f"{_YAML}merge" and self._aliases:
                self._merge(merged, self.read(value_node, depth + 1), value_node)
                continue
            key = key_node.value
            if key in result:
                raise self._error(f"the key `{key}` is given twice", key_node)
            result[key] = self.read(value_node, depth + 1)
        return {**merged, **result} if merged else result

    def _merge(self, merged: dict[str, Any], value: Any, node: yaml.Node) -> None:
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, dict):
                raise self._error("only maps can be merged by `<<`", node)
            for key, member in each.items():
                merged.setdefault(key, member)

    def _tagged(self, node: yaml.Node, depth: int) -> Any:
        name = SHORT_FORMS.get(node.tag) if self._intrinsics else None
        if name is None and self._tags is None:
            raise self._error(f"the tag `{node.tag}` is not known", node)
        # Under a tag every plain scalar is text: the tag took the place of its type.
        value = node.value if isinstance(node, yaml.ScalarNode) else self._untagged(node, depth)
        if name is None:
            assert self._tags is not None
            return self._tags(node.tag, value)
        if name == "Fn::GetAtt" and isinstance(value, str):
            value = value.split(".", 1)
        return {name: value}

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        kind, text = node.tag.removeprefix(_YAML), node.value
        if kind == "bool":
            return _BOOLEANS[text.lower()]
        if kind == "null":
            return None
        if kind == "int":
            return _integer(text)
        if kind == "float":
            return _number(text)
        return text

    def _error(self, message: str, node: yaml.Node) -> UsageError:
        return UsageError(message, where=_marked(node.start_mark, self._file))


def _integer(text: str) -> int | str:
    """Numbers in base 60, with leading zeros or underscores are text: account ids, times."""
    digits = text.lstrip("+-")
    if digits.lower().startswith(("0x", "0b")):
        return int(text, 0)
    if ":" in text or "_" in text or (len(digits) > 1 and digits[0] == "0"):
        return text
    return int(text)


def _number(text: str) -> float | str:
    """Infinities and what is not a number are text: JSON has none of them."""
    try:
        number = float(text)
    except ValueError:
        return text
    return number if number - number == 0.0 else text


def _first_alias(text: str, file: str) -> Position:
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            return _marked(event.start_mark, file)
    return Position(file=file)


def _marked(mark: Any, file: str) -> Position:
    return Position(file=file, line=mark.line + 1, column=mark.column + 1)


def _node_position(root: yaml.Node, path: Path, file: str) -> Position:
    node, place = root, root
    for part in path:
        if part == SHORT_FORMS.get(node.tag):
            place = node
            continue
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == part), None)
            if pair is None:
                break
            place, node = pair
        elif (
            isinstance(node, yaml.SequenceNode)
            and isinstance(part, int)
            and 0 <= part < len(node.value)
        ):
            place = node = node.value[part]
        else:
            break
    return _marked(place.start_mark, file)


def _json_position(text: str, path: Path, file: str) -> Position:
    """Walk the text to the path, skipping what is beside it."""
    decoder = json.JSONDecoder()
    value_at = place = _after_blank(text, 0)
    for part in path:
        found = _json_member(decoder, text, value_at, part)
        if found is None:
            break
        place, value_at = found
    line = text.count("\n", 0, place) + 1
    return Position(file=file, line=line, column=place - text.rfind("\n", 0, place))


def _json_member(
    decoder: json.JSONDecoder, text: str, at: int, part: str | int
) -> tuple[int, int] | None:
    """Where a member's key (or the item) and its value begin; of equal keys, the last."""
    is_object = text[at] == "{"
    if not is_object and text[at] != "[":
        return None
    found: tuple[int, int] | None = None
    index = 0
    at = _after_blank(text, at + 1)
    while text[at] not in "}]":
        place, key = at, index
        if is_object:
            key, at = decoder.raw_decode(text, at)
            at = _after_blank(text, _after_blank(text, at) + 1)
        if key == part and isinstance(key, type(part)):
            found = (place, at)
            if not is_object:
                return found
        _, at = decoder.raw_decode(text, at)
        at = _after_blank(text, at)
        if text[at] == ",":
            at = _after_blank(text, at + 1)
        index += 1
    return found


def _after_blank(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at
