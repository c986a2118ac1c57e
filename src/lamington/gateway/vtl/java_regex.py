"""Java regular expressions in terms of Python's: what `replaceAll`, `matches` and `split` take.

Python's engine cannot be stopped once it runs, so the text that it may see is bounded, and more
tightly for a pattern whose repetitions stand inside one another.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from lamington.gateway.vtl.limits import TemplateError

_PATTERN_CHARS_MAX = 2_000
_TEXT_CHARS_MAX = 1_000_000
_TEXT_CHARS_MAX_NESTED = 2_000

_DOT = r"[^\n\r\u0085\u2028\u2029]"
_LINE_BREAK = r"(?:\r\n|[\n\x0b\f\r\u0085\u2028\u2029])"
_BLANKS = r" \t\xa0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000"
# The inside of a character class for each name that `\p{…}` takes.
_PROPERTIES = {
    "Lower": "a-z",
    "Upper": "A-Z",
    "ASCII": r"\x00-\x7f",
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "Punct": r"!-/:-@\[-`{-~",
    "Graph": "!-~",
    "Print": " -~",
    "Blank": r" \t",
    "Cntrl": r"\x00-\x1f\x7f",
    "XDigit": "0-9a-fA-F",
    "Space": r" \t\n\x0b\f\r",
    "L": "a-zA-Zªµºa-zÀ-ÖØ-öø-ˁͰ-ͽͿ-ΆΈ-ϿЀ-ҁҊ-ԯԱ-Ֆա-ևא-תؠ-يऄ-ह一-鿿぀-ヿ가-힣",
    "Lu": "A-ZÀ-ÖØ-ÞΑ-ΩА-Я",
    "Ll": "a-zß-öø-ÿα-ωа-я",
    "N": "0-9²³¹¼-¾٠-٩",
    "Nd": "0-9٠-٩",
    "P": r"!-#%-*,-/:;?@\[-\]_{}¡§«¶·»¿‐-‧‰-⁞",
    "Z": r" \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
}
_PROPERTY_ALIASES = {"IsAlphabetic": "L", "IsLetter": "L", "IsL": "L", "IsDigit": "Nd"}
_ESCAPES = {
    "h": f"[{_BLANKS}]",
    "H": f"[^{_BLANKS}]",
    "R": _LINE_BREAK,
    "z": r"\Z",
    "Z": r"(?=\n?\Z)",
    "e": r"\x1b",
    "v": r"[\n\x0b\f\r\u0085\u2028\u2029]",
}
_KEPT_ESCAPES = frozenset("dDsSwWbBAtnrfa")
_QUANTIFIER = re.compile(r"[*+?][+?]?|\{\d+(?:,\d*)?\}[+?]?")
_GROUP = re.compile(r"\(\?(?:[:=!>]|<[=!])")
_NAMED_GROUP = re.compile(r"\(\?<([A-Za-z][A-Za-z0-9]*)>")
_FLAGS = re.compile(r"\(\?([a-zA-Z]*)(?:-([a-zA-Z]+))?([):])")


@dataclass(frozen=True, slots=True)
class JavaPattern:
    """A compiled pattern and the longest text that it may be tried on."""

    pattern: "re.Pattern[str]"
    text_chars_max: int

    def admit(self, text: str) -> "re.Pattern[str]":
        """Return the pattern, or raise when the text is too long for it."""
        if len(text) > self.text_chars_max:
            raise TemplateError(
                f"A regular expression is tried on {len(text)} characters;"
                f" {self.text_chars_max} are allowed for this pattern."
            )
        return self.pattern


@lru_cache(maxsize=256)
def compile_java_regex(pattern: str) -> JavaPattern:
    """Compile a Java pattern; raise `TemplateError` for a bad or an unsupported one."""
    if len(pattern) > _PATTERN_CHARS_MAX:
        raise TemplateError(f"A regular expression has more than {_PATTERN_CHARS_MAX} characters.")
    translation = _Translation(pattern)
    try:
        compiled = re.compile(translation.run(), re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise TemplateError(f"The regular expression `{pattern}` is not valid: {error}.") from None
    nested = _TEXT_CHARS_MAX_NESTED if translation.nested else _TEXT_CHARS_MAX
    return JavaPattern(compiled, nested)


class _Translation:
    """One pass from Java's pattern text to Python's."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.position = 0
        self.out: list[str] = []
        self.nested = False
        self.dot_all = False
        # For each open group: does it repeat something without bound, parentheses to add at its
        # end, and the state of `(?s)` before it.
        self.groups: list[tuple[bool, int, bool]] = [(False, 0, False)]

    def refuse(self, what: str) -> TemplateError:
        return TemplateError(
            f"The regular expression `{self.source}` {what}.",
            "Java's syntax is supported in the main; write the pattern more simply.",
        )

    def run(self) -> str:
        while self.position < len(self.source):
            self.item()
        self.out.append(")" * self.groups[0][1])
        return "".join(self.out)

    def item(self) -> None:
        source, start = self.source, self.position
        character = source[start]
        if character == "\\":
            self.out.append(self.escape(inside_class=False))
        elif character == "[":
            self.out.append(self.character_class())
        elif character == "(":
            self.open_group()
        elif character == ")":
            self.close_group()
        elif match := _QUANTIFIER.match(source, start):
            self.quantifier(match.group())
        else:
            if character == "." and not self.dot_all:
                character = _DOT
            elif character == ".":
                character = r"[\s\S]"
            elif character == "|" and self.groups[-1][1] and start:
                self.require_flags_at_start()
            elif character in "{}":
                character = "\\" + character
            self.out.append(character)
            self.position += 1

    def require_flags_at_start(self) -> None:
        if not self.source.startswith("(?"):
            raise self.refuse("changes flags before an alternative")

    def quantifier(self, symbol: str) -> None:
        self.position += len(symbol)
        self.out.append(symbol)
        if symbol[0] in "*+" or symbol.rstrip("+?").endswith(",}"):
            _, extra, dot_all = self.groups[-1]
            self.groups[-1] = (True, extra, dot_all)
            if self.last_group_repeats and self.out[-2] == ")":
                self.nested = True

    last_group_repeats = False

    def open_group(self) -> None:
        source, start = self.source, self.position
        if match := _NAMED_GROUP.match(source, start):
            self.out.append(f"(?P<{match.group(1)}>")
        elif match := _GROUP.match(source, start):
            self.out.append(match.group())
        elif match := _FLAGS.match(source, start):
            self.flags(match)
            return
        elif source.startswith("(?", start):
            raise self.refuse("has a group that is not supported")
        else:
            self.out.append("(")
            self.position += 1
            self.groups.append((False, 0, self.dot_all))
            return
        self.position = match.end()
        self.groups.append((False, 0, self.dot_all))

    def flags(self, match: "re.Match[str]") -> None:
        """Turn `(?i)` into a group that lasts to the end of the one around it."""
        on, off, end = match.group(1), match.group(2) or "", match.group(3)
        if set(on + off) - set("imsud"):
            raise self.refuse("uses a flag that is not supported")
        before = self.dot_all
        self.dot_all = ("s" in on or before) and "s" not in off
        on, off = ("".join(sorted(set(flags) & set("im"))) for flags in (on, off))
        self.out.append(f"(?{on}{'-' + off if off else ''}:")
        self.position = match.end()
        if end == ":":
            self.groups.append((False, 0, before))
        else:
            repeats, extra, dot_all = self.groups[-1]
            self.groups[-1] = (repeats, extra + 1, dot_all)

    def close_group(self) -> None:
        if len(self.groups) == 1:
            raise self.refuse("closes a group that was not opened")
        repeats, extra, dot_all = self.groups.pop()
        self.dot_all = dot_all
        self.last_group_repeats = repeats
        outer_repeats, outer_extra, outer_dot = self.groups[-1]
        self.groups[-1] = (outer_repeats or repeats, outer_extra, outer_dot)
        self.out.append(")" * extra)
        self.out.append(")")
        self.position += 1

    def escape(self, *, inside_class: bool) -> str:
        source = self.source
        self.position += 1
        if self.position >= len(source):
            raise self.refuse("ends in a backslash")
        character = source[self.position]
        self.position += 1
        if character in "pP":
            return self.property_class(negated=character == "P", inside_class=inside_class)
        if character == "Q":
            end = source.find("\\E", self.position)
            quoted = source[self.position : end if end >= 0 else len(source)]
            self.position = end + 2 if end >= 0 else len(source)
            return re.escape(quoted)
        if character in "uxc0":
            return self.code_point(character)
        if character == "k" and (match := re.compile(r"<(\w+)>").match(source, self.position)):
            self.position = match.end()
            return f"(?P={match.group(1)})"
        if character in _ESCAPES:
            escape = _ESCAPES[character]
            if not inside_class:
                return escape
            if escape.startswith("[^") or not escape.startswith(("[", "\\x")):
                raise self.refuse(f"has `\\{character}` in a character class")
            return escape.removeprefix("[").removesuffix("]")
        if character in _KEPT_ESCAPES or character.isdigit():
            return "\\" + character
        if character.isascii() and character.isalpha():
            raise self.refuse(f"has an escape `\\{character}` that is not supported")
        return re.escape(character)

    def code_point(self, kind: str) -> str:
        shapes = {
            "u": r"([0-9a-fA-F]{4})",
            "x": r"(?:([0-9a-fA-F]{2})|\{([0-9a-fA-F]{1,6})\})",
            "c": r"([@-_])",
            "0": r"([0-3]?[0-7]{1,2})",
        }
        match = re.compile(shapes[kind]).match(self.source, self.position)
        if match is None:
            raise self.refuse(f"has an incomplete `\\{kind}`")
        self.position = match.end()
        digits = next(group for group in match.groups() if group)
        if kind == "c":
            return re.escape(chr(ord(digits) ^ 64))
        code = int(digits, 8 if kind == "0" else 16)
        if code > 0x10FFFF:
            raise self.refuse("names a character that does not exist")
        return re.escape(chr(code))

    def property_class(self, *, negated: bool, inside_class: bool) -> str:
        match = re.compile(r"\{\^?(\w+)\}|(\w)").match(self.source, self.position)
        name = (match.group(1) or match.group(2)) if match else ""
        inside = _PROPERTIES.get(_PROPERTY_ALIASES.get(name, name))
        if match is None or inside is None:
            raise self.refuse(f"names a character property `{name}` that is not supported")
        if inside_class and negated:
            raise self.refuse(f"has `\\P{{{name}}}` in a character class")
        self.position = match.end()
        if inside_class:
            return inside
        return f"[^{inside}]" if negated else f"[{inside}]"

    def character_class(self) -> str:
        """Translate `[…]`; a union is flattened, `&&` becomes a look-ahead."""
        self.position += 1
        source = self.source
        negated = source.startswith("^", self.position)
        if negated:
            self.position += 1
        parts: list[str] = []
        conditions: list[str] = []
        first = True
        while True:
            if self.position >= len(source):
                raise self.refuse("does not close a character class")
            character = source[self.position]
            if character == "]" and not first:
                self.position += 1
                break
            first = False
            if source.startswith("&&", self.position):
                self.position += 2
                conditions.append(self.intersected())
            elif character == "[":
                inner = self.character_class()
                if not inner.startswith("[") or inner.startswith("[^"):
                    raise self.refuse("has a negated class within a class")
                parts.append(inner[1:-1])
            elif character == "\\":
                parts.append(self.escape(inside_class=True))
            else:
                parts.append("\\" + character if character in "[]^&~|" else character)
                self.position += 1
        if not parts:
            raise self.refuse("has an empty character class")
        body = f"[{'^' if negated else ''}{''.join(parts)}]"
        if not conditions:
            return body
        if negated:
            raise self.refuse("negates an intersection")
        return f"(?:{''.join(f'(?={condition})' for condition in conditions)}{body})"

    def intersected(self) -> str:
        if self.source.startswith("[", self.position):
            return self.character_class()
        end = self.source.find("]", self.position)
        inner = _Translation(f"[{self.source[self.position : end]}]" if end >= 0 else "[")
        translated = inner.character_class()
        self.position = end
        return translated


def java_replacement(match: "re.Match[str]", replacement: str) -> str:
    """Expand `$1`, `${name}` and backslashes of a Java replacement for one match."""
    out: list[str] = []
    position = 0
    while position < len(replacement):
        character = replacement[position]
        position += 1
        if character == "\\":
            if position >= len(replacement):
                raise TemplateError("A replacement ends in a backslash.")
            out.append(replacement[position])
            position += 1
        elif character == "$":
            group, position = _group_reference(match, replacement, position)
            out.append(group)
        else:
            out.append(character)
    return "".join(out)


def _group_reference(match: "re.Match[str]", replacement: str, position: int) -> tuple[str, int]:
    if named := re.compile(r"\{([A-Za-z][A-Za-z0-9]*)\}").match(replacement, position):
        if named.group(1) not in match.re.groupindex:
            raise TemplateError(f"No group is named `{named.group(1)}`.")
        return match.group(named.group(1)) or "", named.end()
    digits = re.compile("[0-9]").match(replacement, position)
    if digits is None or int(digits.group()) > match.re.groups:
        raise TemplateError(
            "A `$` in a replacement names no group.", "Write `\\$` for a dollar sign."
        )
    number, position = int(digits.group()), position + 1
    # Java takes a further digit as long as such a group exists.
    while position < len(replacement) and "0" <= replacement[position] <= "9":
        longer = number * 10 + int(replacement[position])
        if longer > match.re.groups:
            break
        number, position = longer, position + 1
    return match.group(number) or "", position
