"""Template text to a typed tree with positions: the grammar of Apache Velocity 1.7.

API Gateway runs that version, so the oddities of its lexer are kept: `$n-1` is one name, `3 -1`
is an error, `#set` eats the blanks before it unless plain text stands there. Leaves the meaning
of the tree to the compiler.
"""

import re
from bisect import bisect_right
from typing import NoReturn

from lamington.core.errors import LamingtonError
from lamington.gateway.vtl.limits import TemplateLimits
from lamington.gateway.vtl.tree import (
    Binary,
    Break,
    Call,
    Define,
    Expression,
    Foreach,
    If,
    Index,
    Interpolated,
    ListLiteral,
    Literal,
    Logical,
    MapLiteral,
    Node,
    Not,
    Place,
    Property,
    Range,
    Reference,
    Set,
    Stop,
    Text,
)


class TemplateSyntaxError(LamingtonError):
    """Template text that Velocity cannot parse; `line` and `column` count from 1 within it."""

    def __init__(self, message: str, hint: str = "", *, line: int, column: int) -> None:
        super().__init__(message, hint)
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"


_TEXT = re.compile(r"[^$#\\]+")
_SET = re.compile(r"[ \t]*#(?:set|\{set\}) *\(")
_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
# Velocity takes `${$name}` for a reference, to a variable `$name` that nobody can set.
_REFERENCE = re.compile(rf"\$!?(?:(\{{)(\$?{_NAME})|({_NAME}))")
_LONE_DOLLARS = re.compile(r"\$(?:[$!]*(?=#)|!?)")
_SWALLOWS_DOLLARS = re.compile(
    r"#(?:\*|(?:if|else|elseif|end)(?![A-Za-z0-9_@])|\{(?:if|else|elseif|end)\})"
)
_PROPERTY = re.compile(rf"\.(?=[A-Za-z])({_NAME})(\()?")
_DIRECTIVE = re.compile(r"#(?:([A-Za-z_@][A-Za-z0-9_@]*)|\{([A-Za-z_][A-Za-z0-9_@]*)\})")
_BACKSLASHES = re.compile(r"\\+")
_COMMENT = re.compile(r"##[^\r\n]*(?:\r\n|\r|\n)?")
_NEWLINE = re.compile(r"\r\n|\r|\n")
_BLANK = re.compile(r"[ \t\r\n]*")
_LINE_END = re.compile(r"(?:[ \t]*(?:\r\n|\r|\n))?")
_STRING = re.compile(r"\"(?:[^\"]|\"\")*+\"|'(?:[^']|'')*+'")
_STRING_ODD = re.compile(r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'")
_INTEGER = re.compile(r"-?[0-9]+(?=\.\.)|-?[0-9]+(?![0-9.eE])|-?[0-9]+(?=[eE](?![+-]?[0-9]))")
_FLOAT = re.compile(r"-?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|-?[0-9]+[eE][+-]?[0-9]+")
_BOOLEAN = re.compile(r"(true|false)(?![A-Za-z0-9_@])")
_WORD = re.compile(r"[A-Za-z_@][A-Za-z0-9_@]*")
_NOT = re.compile(r"!(?!=)|not(?![A-Za-z0-9_@])")
_OPERATOR = re.compile(
    r"&&|\|\||==|!=|<=|>=|<|>|\+|-(?!\.?[0-9])|\*|/|%"
    r"|(?:and|or|eq|ne|lt|gt|le|ge)(?![A-Za-z0-9_@])"
)
_UNICODE_ESCAPE = re.compile(r"\\u(.{0,4})", re.DOTALL)
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{4}")

_SYMBOLS = {
    **{"and": "&&", "or": "||", "eq": "==", "ne": "!="},
    **{"lt": "<", "gt": ">", "le": "<=", "ge": ">="},
}
_PRECEDENCE = {
    **{"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, ">": 4, "<=": 4, ">=": 4},
    **{"+": 5, "-": 5, "*": 6, "/": 6, "%": 6},
}
_CLOSERS = frozenset({"end", "else", "elseif"})
_PLUGGED = frozenset({"foreach", "define", "break", "stop", "macro", "literal"})
# What a backslash escapes. `#include`, `#parse` and `#evaluate` are plain text on API Gateway.
_ESCAPABLE = _PLUGGED | _CLOSERS | {"if", "set"}
_HALVES_BACKSLASHES = _PLUGGED | _CLOSERS | {"if"}
_OPERATORS_MAX = 100  # in one expression
_STEPS_MAX = 60  # in one reference
_LOOPS_MAX = 16  # inside one another: Python allows 20 nested blocks


def parse_template(text: str, limits: TemplateLimits) -> tuple[Node, ...]:
    """Parse a whole template; raise `TemplateSyntaxError` where Velocity would refuse it."""
    if len(text) > limits.template_chars:
        raise TemplateSyntaxError(
            f"The template has {len(text)} characters; {limits.template_chars} are allowed.",
            line=1,
            column=1,
        )
    parser = _Parser(text, Place(1, 1), limits.nesting)
    nodes, closer = parser.block(inside="")
    assert not closer
    return nodes


class _Parser:
    """One pass over one text: the template, or a string in double quotes within it."""

    def __init__(self, text: str, origin: Place, nesting: int) -> None:
        self.text = text
        self.origin = origin
        self.nesting = nesting
        self.position = 0
        self.loops = 0
        self.line_starts = [0, *(found.end() for found in _NEWLINE.finditer(text))]

    # Places and errors.

    def place(self, position: int) -> Place:
        line = bisect_right(self.line_starts, position) - 1
        if not line:
            return Place(self.origin.line, self.origin.column + position)
        return Place(self.origin.line + line, position - self.line_starts[line] + 1)

    def refuse(self, position: int, message: str, hint: str = "") -> NoReturn:
        at = self.place(position)
        raise TemplateSyntaxError(message, hint, line=at.line, column=at.column)

    def found(self) -> str:
        if self.position >= len(self.text):
            return "the end of the template"
        return f"`{self.text[self.position : self.position + 12].splitlines()[0] or 'newline'}`"

    def deeper(self) -> None:
        self.nesting -= 1
        if self.nesting < 0:
            self.refuse(self.position, "The template is nested too deeply here.")

    def skip_blanks(self) -> None:
        match = _BLANK.match(self.text, self.position)
        assert match is not None
        self.position = match.end()

    def accept(self, symbol: str) -> bool:
        if self.text.startswith(symbol, self.position):
            self.position += len(symbol)
            return True
        return False

    # Blocks and text.

    def add_text(self, nodes: list[Node], text: str, start: int) -> None:
        """Print characters; `start` is where they stand."""
        if text:
            nodes.append(Text(text, self.place(start).line))

    def block(self, inside: str) -> tuple[tuple[Node, ...], str]:
        """Parse up to the directive that closes the block; `inside` names what was opened."""
        self.deeper()
        start = self.position
        nodes: list[Node] = []
        while self.position < len(self.text):
            if match := _SET.match(self.text, self.position):
                nodes.append(self.set_directive(match))
            elif match := _TEXT.match(self.text, self.position):
                self.position = match.end()
                self.add_text(nodes, match.group(), match.start())
            else:
                closer = self.special(nodes, inside)
                if closer:
                    self.nesting += 1
                    return tuple(nodes), closer
        if inside:
            self.refuse(start, f"`#{inside}` is not closed.", "End it by `#end`.")
        self.nesting += 1
        return tuple(nodes), ""

    def special(self, nodes: list[Node], inside: str) -> str:
        """Parse what begins by `$`, `#` or a backslash; return the closer if it is one."""
        first = self.text[self.position]
        if first == "$":
            self.dollar(nodes, 0)
        elif first == "#":
            return self.hash(nodes, inside)
        else:
            self.backslashes(nodes)
        return ""

    def dollar(self, nodes: list[Node], backslashes: int) -> None:
        start = self.position
        match = _REFERENCE.match(self.text, start)
        if match is None:
            self.lone_dollar(nodes, backslashes)
            return
        reference = self.reference()
        if backslashes:
            self.add_text(nodes, "\\" * (backslashes // 2), start)
        if backslashes % 2:
            self.add_text(nodes, self.text[start : self.position], start)
        else:
            nodes.append(reference)

    def lone_dollar(self, nodes: list[Node], backslashes: int) -> None:
        """Print a `$` that begins no reference, with the oddities of Velocity's lexer.

        A directive that follows at once swallows it, and `$!` loses its exclamation mark.
        """
        start, text = self.position, self.text
        match = _LONE_DOLLARS.match(text, start)
        assert match is not None
        self.position = match.end()
        if match.end() == len(text):
            self.refuse(
                start,
                "A `$` at the end of the template begins a reference that never comes.",
                "Put a newline after it, or print it by `#set($d = '$')$d`.",
            )
        shown = match.group()
        following = text[match.end()]
        if _SWALLOWS_DOLLARS.match(text, match.end()) or _SET.match(text, match.end()):
            return
        plugged = _DIRECTIVE.match(text, match.end()) if following == "#" else None
        if plugged and plugged.group()[1:] in _PLUGGED:
            self.position = plugged.end()
            self.arguments(required=False)
            shown = text[start : self.position]
        elif shown == "$!" and following not in "$[#{":
            shown = "" if _PROPERTY.match(text, match.end()) else "$"
        elif following == "{":
            self.position += 1
            shown += "{"
        self.add_text(nodes, "\\" * backslashes + shown, start)

    def backslashes(self, nodes: list[Node]) -> None:
        match = _BACKSLASHES.match(self.text, self.position)
        assert match is not None
        count = len(match.group())
        self.position = match.end()
        if self.text.startswith("$", self.position):
            self.dollar(nodes, count)
            return
        directive = _DIRECTIVE.match(self.text, self.position)
        word = (directive.group(1) or directive.group(2)) if directive else ""
        if directive and count % 2:
            shown = (count - 1) // 2 if word in _ESCAPABLE else count
            self.add_text(nodes, "\\" * shown + directive.group(), match.start())
            self.position = directive.end()
        elif directive and word in _HALVES_BACKSLASHES and not (word in _PLUGGED and directive[2]):
            self.add_text(nodes, "\\" * (count // 2), match.start())
        else:
            self.add_text(nodes, "\\" * count, match.start())

    # Directives.

    def hash(self, nodes: list[Node], inside: str) -> str:
        start, text = self.position, self.text
        if match := _COMMENT.match(text, start):
            self.position = match.end()
        elif text.startswith("#[[", start):
            end = text.find("]]#", start + 3)
            if end < 0:
                self.refuse(start, "`#[[` is not closed.", "End the literal text by `]]#`.")
            self.add_text(nodes, text[start + 3 : end], start)
            self.position = end + 3
        elif text.startswith("#*", start):
            end = text.find("*#", start + 2)
            self.position = end + 2 if end >= 0 else len(text)
        elif match := _DIRECTIVE.match(text, start):
            self.position = match.end()
            return self.directive(match.group(1) or match.group(2), start, nodes, inside)
        elif start == len(text) - 1:
            self.refuse(
                start,
                "A `#` at the end of the template begins a directive that never comes.",
                "Put a newline after it, or print it by `#[[#]]#`.",
            )
        else:
            self.position += 1
            self.add_text(nodes, "#", start)
        return ""

    def directive(self, word: str, start: int, nodes: list[Node], inside: str) -> str:
        if word in _CLOSERS:
            if not inside or (word != "end" and inside not in ("if", "elseif")):
                opened = f"`#{inside}`" if inside else "nothing"
                self.refuse(start, f"`#{word}` closes {opened} here.", "It belongs after an `#if`.")
            if word != "elseif":
                self.swallow_line_end()
            return word
        match word:
            case "if":
                nodes.append(self.if_directive(start))
            case "foreach":
                nodes.append(self.foreach_directive(start))
            case "define":
                nodes.append(self.define_directive(start))
            case "break" | "stop":
                self.arguments(required=False)
                at = self.place(start)
                nodes.append(Break(at) if word == "break" else Stop(at))
            case "macro":
                self.macro_directive(start)
            case "literal":
                self.literal_directive(start, nodes)
            case _:
                self.unknown_directive(word, start, nodes)
        return ""

    def swallow_line_end(self) -> None:
        match = _LINE_END.match(self.text, self.position)
        assert match is not None
        self.position = match.end()

    def set_directive(self, match: "re.Match[str]") -> Set:
        start = self.text.index("#", match.start())
        self.position = match.end()
        self.skip_blanks()
        if not _REFERENCE.match(self.text, self.position):
            self.refuse(
                self.position,
                f"`#set` needs a reference to assign to, found {self.found()}.",
                "Write `#set($name = value)`.",
            )
        target = self.reference()
        self.skip_blanks()
        if self.text.startswith("==", self.position) or not self.accept("="):
            self.refuse(
                self.position,
                f"`#set` needs `=` after its target, found {self.found()}.",
                "Write `#set($name = value)`; `-` is part of a name.",
            )
        value = self.expression()
        self.close_parenthesis("#set")
        return Set(target, value, self.place(start))

    def close_parenthesis(self, owner: str) -> None:
        if not self.accept(")"):
            following = self.text[self.position : self.position + 2]
            if following[:1] == "-":
                hint = "Put a blank on both sides of `-`."
            elif following[:1] == "=":
                hint = "Compare by `==`."
            elif following[:1] == "?":
                hint = "There is no `? :`; use `#if` and `#else`."
            else:
                hint = 'Double a quote within a string: `"say ""hi"""`; backslashes do not escape.'
            self.refuse(self.position, f"`{owner}` needs `)` here, found {self.found()}.", hint)
        self.swallow_line_end()

    def condition(self, directive: str) -> Expression:
        self.skip_blanks()
        if not self.accept("("):
            self.refuse(
                self.position,
                f"`#{directive}` needs a condition in parentheses, found {self.found()}.",
                f"Write `#{directive}($x == 1)`.",
            )
        condition = self.expression()
        self.close_parenthesis(f"#{directive}")
        return condition

    def if_directive(self, start: int) -> If:
        branches: list[tuple[Expression, tuple[Node, ...]]] = []
        closer = "if"
        while closer in ("if", "elseif"):
            condition = self.condition(closer)
            body, closer = self.block(inside="if")
            branches.append((condition, body))
        otherwise: tuple[Node, ...] = ()
        if closer == "else":
            otherwise, closer = self.block(inside="else")
        return If(tuple(branches), otherwise, self.place(start))

    def arguments(self, *, required: bool, name: str = "") -> list[Expression | str]:
        """Parse `( … )` after a directive's name; words come as plain strings."""
        before = self.position
        self.skip_blanks()
        if not self.accept("("):
            if required:
                self.refuse(
                    self.position,
                    f"`#{name}` needs arguments in parentheses, found {self.found()}.",
                )
            self.position = before
            return []
        found: list[Expression | str] = []
        while True:
            self.skip_blanks()
            if found and self.accept(","):
                self.skip_blanks()
            if self.accept(")"):
                self.swallow_line_end()
                return found
            word = _WORD.match(self.text, self.position)
            if word and not _BOOLEAN.match(self.text, self.position):
                self.position = word.end()
                found.append(word.group())
            else:
                found.append(self.parameter())

    def foreach_directive(self, start: int) -> Foreach:
        arguments = self.arguments(required=True, name="foreach")
        match arguments:
            case [
                Reference(root=variable),
                str(),
                Reference()
                | Literal()
                | Interpolated()
                | ListLiteral()
                | MapLiteral()
                | Range() as source,
            ]:
                pass
            case _:
                self.refuse(
                    start,
                    "`#foreach` needs a variable, `in` and what to iterate over.",
                    "Write `#foreach($item in $list)`.",
                )
        self.loops += 1
        if self.loops > _LOOPS_MAX:
            self.refuse(start, f"More than {_LOOPS_MAX} `#foreach` stand inside one another.")
        body, _ = self.block(inside="foreach")
        self.loops -= 1
        return Foreach(variable, source, body, self.place(start))

    def define_directive(self, start: int) -> Define:
        match self.arguments(required=True, name="define"):
            case [Reference(root=name)]:
                pass
            case [Interpolated() | Literal() as other]:
                name = (
                    other.value[1:]
                    if isinstance(other, Literal) and isinstance(other.value, str)
                    else ""
                )
            case _:
                self.refuse(start, "`#define` needs a reference.", "Write `#define($block)`.")
        body, _ = self.block(inside="define")
        return Define(name, body, self.place(start))

    def macro_directive(self, start: int) -> None:
        """AWS: a macro's definition prints nothing, and its calls are printed as they stand."""
        match self.arguments(required=True, name="macro"):
            case [str(), *_]:
                self.block(inside="macro")
            case _:
                self.refuse(
                    start, "`#macro` needs a name first.", "Write `#macro(name $argument)`."
                )

    def literal_directive(self, start: int, nodes: list[Node]) -> None:
        self.arguments(required=True, name="literal")
        begin = self.position
        self.block(inside="literal")
        end = max(
            self.text.rfind("#end", begin, self.position),
            self.text.rfind("#{end}", begin, self.position),
        )
        self.add_text(nodes, self.text[begin:end], begin)

    def unknown_directive(self, word: str, start: int, nodes: list[Node]) -> None:
        """AWS: a directive that is not known, `#evaluate` and `#parse` too, is printed verbatim."""
        self.arguments(required=False)
        if word.startswith("@") and self.position > start + 1 + len(word):
            self.block(inside=word)
        self.add_text(nodes, self.text[start : self.position], start)

    # References and expressions.

    def reference(self) -> Reference:
        start = self.position
        match = _REFERENCE.match(self.text, start)
        assert match is not None
        root = self.name(
            match.group(2) or match.group(3), match.end(1) if match.group(1) else start + 1
        )
        self.position = match.end()
        steps: list[Property | Call | Index] = []
        while step := self.step():
            steps.append(step)
            if len(steps) > _STEPS_MAX:
                self.refuse(start, f"The reference has more than {_STEPS_MAX} parts.")
        if match.group(1) and not self.accept("}"):
            self.refuse(
                self.position,
                f"`${{{root}` needs `}}` here, found {self.found()}.",
                "Velocity 1.7 has no `${name|default}`; use `#if`.",
            )
        return Reference(root, tuple(steps), self.place(start))

    def name(self, name: str, position: int) -> str:
        if name in ("true", "false"):
            self.refuse(position, f"`{name}` cannot be a name.", "Write the Boolean without `$`.")
        return name

    def step(self) -> Property | Call | Index | None:
        start = self.position
        if self.accept("["):
            self.skip_blanks()
            argument = self.parameter()
            if not isinstance(argument, Reference | Literal | Interpolated) or (
                isinstance(argument, Literal) and isinstance(argument.value, float)
            ):
                self.refuse(start, "An index is a string, an integer or a reference.")
            if not self.accept("]"):
                self.refuse(self.position, f"The index needs `]` here, found {self.found()}.")
            return Index(argument, self.place(start))
        match = _PROPERTY.match(self.text, start)
        if match is None:
            return None
        name = self.name(match.group(1), match.start(1))
        self.position = match.end()
        at = self.place(match.start(1))
        if not match.group(2):
            return Property(name, at)
        return Call(name, self.parameters(")", f".{name}(…)"), at)

    def parameters(self, end: str, owner: str) -> tuple[Expression, ...]:
        """Parse parameters separated by commas, up to and with `end`."""
        found: list[Expression] = []
        if end == ")":
            self.skip_blanks()
        if self.accept(end):
            return ()
        while True:
            found.append(self.parameter())
            if self.accept(end):
                return tuple(found)
            if not self.accept(","):
                self.refuse(
                    self.position,
                    f"`{owner}` needs `,` or `{end}` here, found {self.found()}.",
                    "Arguments are references and literals; do arithmetic in a `#set` before.",
                )

    def parameter(self) -> Expression:
        """Parse one value without operators, and the blanks around it."""
        self.skip_blanks()
        self.deeper()
        value = self.primary()
        self.nesting += 1
        self.skip_blanks()
        return value

    def primary(self) -> Expression:
        text, start = self.text, self.position
        first = text[start : start + 1]
        if first in {'"', "'"}:
            return self.string()
        if first == "$" and _REFERENCE.match(text, start):
            return self.reference()
        if first == "[":
            return self.list_or_range()
        if first == "{":
            return self.map_literal()
        if match := _INTEGER.match(text, start):
            self.position = match.end()
            return Literal(_integer(match.group()))
        if match := _FLOAT.match(text, start):
            self.position = match.end()
            return Literal(float(match.group()))
        if match := _BOOLEAN.match(text, start):
            self.position = match.end()
            return Literal(match.group() == "true")
        hint = "A value is a reference, a string, a number, true, false, [list] or {map}."
        if first == "-":
            hint = "There is no unary minus on references; write `0 - $x`."
        return self.refuse(start, f"A value is missing here, found {self.found()}.", hint)

    def string(self) -> Literal | Interpolated:
        start = self.position
        match = _STRING.match(self.text, start) or _STRING_ODD.match(self.text, start)
        if match is None:
            self.refuse(start, "The string is not closed.", "Double a quote within a string.")
        self.position = match.end()
        quote, image = match.group()[0], match.group()[1:-1]
        if quote == "'":
            return Literal(image.replace("''", "'"))
        if "\\u" in image:
            image = _UNICODE_ESCAPE.sub(lambda found: self.unicode_escape(found, start), image)
        image = image.replace('""', '"')
        if "$" not in image and "#" not in image:
            return Literal(image)
        at = self.place(start)
        # Velocity adds a blank, so that `$` and `#` may end a string, and takes it away again.
        padded = image if "##" in image else image + " "
        inner = _Parser(padded, Place(at.line, at.column + 1), self.nesting)
        inner.loops = self.loops
        inner.deeper()
        body, _ = inner.block(inside="")
        if padded is not image:
            body = _without_last_blank(body)
        return Interpolated(body, at)

    def unicode_escape(self, match: "re.Match[str]", start: int) -> str:
        if not _HEXADECIMAL.fullmatch(match.group(1)):
            self.refuse(start, "`\\u` in a string needs four hexadecimal digits.")
        return chr(int(match.group(1), 16))

    def list_or_range(self) -> ListLiteral | Range:
        start = self.position
        self.position += 1
        if self.accept("]"):
            return ListLiteral(())
        first = self.parameter()
        if isinstance(first, Reference | Literal) and self.accept(".."):
            last = self.parameter()
            for bound in (first, last):
                if not isinstance(bound, Reference) and not (
                    isinstance(bound, Literal) and type(bound.value) is int
                ):
                    self.refuse(start, "A range goes from integer to integer, such as `[1..5]`.")
            if not self.accept("]"):
                self.refuse(self.position, f"The range needs `]` here, found {self.found()}.")
            return Range(first, last, self.place(start))
        if self.accept("]"):
            return ListLiteral((first,))
        if not self.accept(","):
            self.refuse(self.position, f"The list needs `,` or `]` here, found {self.found()}.")
        return ListLiteral((first, *self.parameters_after_comma("]", "[…]")))

    def parameters_after_comma(self, end: str, owner: str) -> tuple[Expression, ...]:
        if self.text.startswith(end, self.position):
            self.refuse(self.position, f"A value is missing here, found {self.found()}.")
        return self.parameters(end, owner)

    def map_literal(self) -> MapLiteral:
        self.position += 1
        before = self.position
        self.skip_blanks()
        if self.accept("}"):
            return MapLiteral(())
        self.position = before
        entries: list[tuple[Expression, Expression]] = []
        while True:
            key = self.parameter()
            if not self.accept(":"):
                self.refuse(
                    self.position,
                    f"The map needs `:` after a key, found {self.found()}.",
                    'Write `{"key": $value}`.',
                )
            entries.append((key, self.parameter()))
            if self.accept("}"):
                return MapLiteral(tuple(entries))
            if not self.accept(","):
                self.refuse(self.position, f"The map needs `,` or `}}`, found {self.found()}.")

    def expression(self) -> Expression:
        self.deeper()
        operators = [_OPERATORS_MAX]
        value = self.operation(1, operators)
        self.nesting += 1
        return value

    def operation(self, precedence: int, operators: list[int]) -> Expression:
        """Climb the precedences; operators of equal rank bind to the left."""
        left = self.unary()
        while True:
            self.skip_blanks()
            match = _OPERATOR.match(self.text, self.position)
            symbol = _SYMBOLS.get(match.group(), match.group()) if match else ""
            if match is None or _PRECEDENCE[symbol] < precedence:
                return left
            at = self.place(self.position)
            self.position = match.end()
            right = self.operation(_PRECEDENCE[symbol] + 1, operators)
            if symbol in ("&&", "||"):
                same = isinstance(left, Logical) and left.operator == symbol
                before = left.operands if same and isinstance(left, Logical) else (left,)
                left = Logical(symbol, (*before, right))
                continue
            operators[0] -= 1
            if operators[0] < 0:
                self.refuse(self.position, f"More than {_OPERATORS_MAX} operators stand together.")
            left = Binary(symbol, left, right, at)

    def unary(self) -> Expression:
        self.skip_blanks()
        if match := _NOT.match(self.text, self.position):
            self.position = match.end()
            self.deeper()
            operand = self.unary()
            self.nesting += 1
            return Not(operand)
        if self.accept("("):
            value = self.expression()
            self.skip_blanks()
            if not self.accept(")"):
                self.refuse(self.position, f"`)` is missing here, found {self.found()}.")
            return value
        return self.parameter()


def _without_last_blank(body: tuple[Node, ...]) -> tuple[Node, ...]:
    last = body[-1] if body else None
    if not isinstance(last, Text) or not last.text.endswith(" "):
        return body
    rest = body[:-1]
    return (*rest, Text(last.text[:-1], last.line)) if last.text != " " else rest


def _integer(digits: str) -> int:
    # Python refuses to convert more than 4300 digits; no template means such a number.
    return int(digits[:400])
