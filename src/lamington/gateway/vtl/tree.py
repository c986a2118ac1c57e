"""The tree of a template: what the parser makes and the compiler reads.

Places are kept where an error could point, so that it can name the line and the column.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node begins; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Text:
    """Characters that are printed as they are; `line` is where they begin."""

    text: str
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Property:
    """`.name` after a reference."""

    name: str
    at: Place


@dataclass(frozen=True, slots=True)
class Call:
    """`.name(arguments)` after a reference."""

    name: str
    arguments: "tuple[Expression, ...]"
    at: Place


@dataclass(frozen=True, slots=True)
class Index:
    """`[argument]` after a reference."""

    argument: "Expression"
    at: Place


@dataclass(frozen=True, slots=True)
class Reference:
    """`$root` and what follows it."""

    root: str
    steps: tuple[Property | Call | Index, ...]
    at: Place


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a Boolean, or a string without anything to interpolate."""

    value: str | int | float | bool


@dataclass(frozen=True, slots=True)
class Interpolated:
    """A string in double quotes that holds references or directives."""

    body: "tuple[Node, ...]"
    at: Place


@dataclass(frozen=True, slots=True)
class ListLiteral:
    """`[a, b]`."""

    items: "tuple[Expression, ...]"


@dataclass(frozen=True, slots=True)
class MapLiteral:
    """`{key: value}`, in the order written."""

    entries: "tuple[tuple[Expression, Expression], ...]"


@dataclass(frozen=True, slots=True)
class Range:
    """`[first..last]`, up or down."""

    first: "Expression"
    last: "Expression"
    at: Place


@dataclass(frozen=True, slots=True)
class Not:
    """`!operand`."""

    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Logical:
    """Operands joined by `and` or by `or`."""

    operator: str
    operands: "tuple[Expression, ...]"


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic or comparison; `operator` is the symbol, never the word."""

    operator: str
    left: "Expression"
    right: "Expression"
    at: Place


@dataclass(frozen=True, slots=True)
class Set:
    """`#set(target = value)`."""

    target: Reference
    value: "Expression"
    at: Place


@dataclass(frozen=True, slots=True)
class If:
    """`#if` with its `#elseif` branches and `#else`."""

    branches: "tuple[tuple[Expression, tuple[Node, ...]], ...]"
    otherwise: "tuple[Node, ...]"
    at: Place


@dataclass(frozen=True, slots=True)
class Foreach:
    """`#foreach($variable in source)`."""

    variable: str
    source: "Expression"
    body: "tuple[Node, ...]"
    at: Place


@dataclass(frozen=True, slots=True)
class Define:
    """`#define($name)`: a block that is rendered wherever `$name` is printed."""

    name: str
    body: "tuple[Node, ...]"
    at: Place


@dataclass(frozen=True, slots=True)
class Break:
    """`#break`."""

    at: Place


@dataclass(frozen=True, slots=True)
class Stop:
    """`#stop`."""

    at: Place


Expression = (
    Reference | Literal | Interpolated | ListLiteral | MapLiteral | Range | Not | Logical | Binary
)
Node = Text | Reference | Set | If | Foreach | Define | Break | Stop
