"""What must be known of a whole template before code is made from its tree."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

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
    Property,
    Range,
    Reference,
    Set,
    Stop,
    Text,
)

LOOP_MEMBERS: Final = frozenset({"count", "index", "hasNext", "first", "last"})
LOOP_COUNTERS: Final = {"velocityCount": "count", "velocityHasNext": "hasNext"}


@dataclass(slots=True)
class Survey:
    """Which variables a template names and assigns, and what it may cost."""

    named: set[str] = field(default_factory=set)
    assigned: set[str] = field(default_factory=set)
    dynamic_loops: bool = False  # `$foreach` is more than its members within its own loop
    dynamic_stage_variables: bool = False
    stops_inside: bool = False
    defines: bool = False
    steps: int = 0


def survey_template(nodes: Sequence[Node]) -> Survey:
    survey = Survey()
    _Surveyor(survey).nodes(nodes, loops=0, factor=1, inside=False)
    return survey


class _Surveyor:
    """Goes through a tree once."""

    def __init__(self, survey: Survey) -> None:
        self.survey = survey

    def nodes(self, nodes: Iterable[Node], *, loops: int, factor: int, inside: bool) -> None:
        for node in nodes:
            self.survey.steps += factor
            self.node(node, loops, factor, inside)

    def node(self, node: Node, loops: int, factor: int, inside: bool) -> None:
        survey = self.survey
        match node:
            case Text() | Break():
                pass
            case Reference():
                self.expression(node, loops, factor)
            case Stop():
                survey.stops_inside |= inside
            case Set():
                self.expression(node.target, loops, factor)
                self.expression(node.value, loops, factor)
                if not node.target.steps:
                    survey.assigned.add(node.target.root)
                elif node.target.root == "stageVariables":
                    survey.dynamic_stage_variables = True
            case If():
                for condition, body in node.branches:
                    self.expression(condition, loops, factor)
                    self.nodes(body, loops=loops, factor=factor, inside=inside)
                self.nodes(node.otherwise, loops=loops, factor=factor, inside=inside)
            case Foreach():
                self.expression(node.source, loops, factor)
                survey.named.add(node.variable)
                survey.assigned.add(node.variable)
                self.nodes(node.body, loops=loops + 1, factor=factor * 1000, inside=inside)
            case Define():
                survey.defines = True
                survey.named.add(node.name)
                survey.assigned.add(node.name)
                self.nodes(node.body, loops=0, factor=factor, inside=True)
                self.require_static_loops_in(node.body)
            case _:
                assert_never(node)

    def require_static_loops_in(self, body: Sequence[Node]) -> None:
        """A block is rendered where it is printed: `$foreach` in it is that place's loop."""
        inner = Survey()
        _Surveyor(inner).nodes(body, loops=0, factor=1, inside=True)
        if inner.named & {"foreach", *LOOP_COUNTERS}:
            self.survey.dynamic_loops = True

    def expression(self, expression: Expression, loops: int, factor: int) -> None:
        self.survey.steps += factor
        match expression:
            case Reference():
                self.reference(expression, loops, factor)
            case Literal():
                pass
            case Interpolated():
                self.nodes(expression.body, loops=loops, factor=factor, inside=True)
            case ListLiteral():
                self.all(expression.items, loops, factor)
            case MapLiteral():
                for entry in expression.entries:
                    self.all(entry, loops, factor)
            case Range():
                self.all((expression.first, expression.last), loops, factor)
            case Not():
                self.expression(expression.operand, loops, factor)
            case Logical():
                self.all(expression.operands, loops, factor)
            case Binary():
                self.all((expression.left, expression.right), loops, factor)
            case _:
                assert_never(expression)

    def all(self, expressions: Iterable[Expression], loops: int, factor: int) -> None:
        for expression in expressions:
            self.expression(expression, loops, factor)

    def reference(self, reference: Reference, loops: int, factor: int) -> None:
        self.survey.named.add(reference.root)
        if reference.root == "foreach" and loop_member(reference, loops) is None:
            self.survey.dynamic_loops = True
        if reference.root == "stageVariables" and not literal_key(reference.steps[:1]):
            self.survey.dynamic_stage_variables = True
        for step in reference.steps:
            if isinstance(step, Call):
                self.all(step.arguments, loops, factor)
            elif isinstance(step, Index):
                self.expression(step.argument, loops, factor)


def loop_member(reference: Reference, loops: int) -> tuple[int, str] | None:
    """Return how many loops up and which member a `$foreach…` names, if that is known."""
    names = [step.name for step in reference.steps if isinstance(step, Property)]
    if len(names) != len(reference.steps) or not names:
        return None
    *parents, last = names
    if set(parents) - {"parent"} or last not in LOOP_MEMBERS or len(parents) >= loops:
        return None
    return len(parents), last


def literal_key(steps: Sequence[Property | Call | Index]) -> str:
    """Return the literal name that the first step reads, or "" when it is not literal."""
    match steps:
        case [Property(name=name), *_]:
            return name
        case [Index(argument=Literal(value=str(name))), *_]:
            return name
        case [Call(name="get", arguments=(Literal(value=str(name)),)), *_]:
            return name
    return ""


def is_direct(node: Node) -> bool:
    return isinstance(node, Text | Reference)


def weight(nodes: Sequence[Node]) -> int:
    """Count the nodes that one iteration renders, without those of loops within it."""
    total = 0
    for node in nodes:
        total += 1
        if isinstance(node, If):
            total += max(map(weight, (*[body for _, body in node.branches], node.otherwise)))
    return total
