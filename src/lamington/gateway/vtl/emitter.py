"""A template's tree to the tree of a Python module with one function, `template(bindings)`.

No template text is spliced into source: text becomes constants, names become numbered locals.
References to `$input`, `$util`, `$context` and `$stageVariables` by literal names become direct
code as long as the template does not assign to those variables. The names that the code uses
are bound by the compiler.
"""

import ast
import copy
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, assert_never

from lamington.gateway.vtl.jsonpath import JsonPath, compile_json_path
from lamington.gateway.vtl.limits import TemplateError, TemplateLimits
from lamington.gateway.vtl.python_nodes import PythonNodes, parameters
from lamington.gateway.vtl.survey import (
    LOOP_COUNTERS,
    Survey,
    is_direct,
    literal_key,
    loop_member,
    weight,
)
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

_PIECES_MAX: Final = 16  # of one piece of output, so that its size is looked at soon enough
_LINES: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_BUILT_IN: Final = frozenset({"input", "context", "util", "stageVariables"})
_UTILITIES: Final = {
    "escapeJavaScript": "escape_java_script",
    "urlEncode": "url_encode",
    "urlDecode": "url_decode",
    "base64Encode": "base64_encode",
    "base64Decode": "base64_decode",
    "parseJson": "parsed_json",
}


@dataclass(slots=True)
class _Scope:
    """One Python function that is being made: the template, a block or a string."""

    renders: str  # "template", "block" or "string"
    loops: list[int] = field(default_factory=list)
    functions: list[ast.stmt] = field(default_factory=list)
    own_loops: int = 0


class Emitter:
    """Makes the module of one template; `at` is the place that new Python nodes are given."""

    def __init__(self, limits: TemplateLimits, survey: Survey, *, traced: bool = False) -> None:
        """`traced` makes code that tells the line of each piece that it prints to `trace`."""
        self.traced = traced
        self.limits = limits
        self.survey = survey
        self.python = PythonNodes()
        self.constants: dict[str, JsonPath] = {}
        self.serial = 0
        self.locals: dict[str, str] = {}
        self.scope = _Scope(renders="template")
        self.direct = _BUILT_IN - survey.assigned
        self.static_loops = not survey.dynamic_loops and not (
            survey.assigned & {"foreach", *LOOP_COUNTERS}
        )
        # Below this bound no rendering can exceed the steps, so that counting is needless.
        self.counts_steps = survey.steps > limits.steps or survey.defines
        self.used: set[str] = set()

    def fresh(self) -> int:
        self.serial += 1
        return self.serial

    def variable(self, name: str) -> str:
        if name not in self.locals:
            self.locals[name] = f"v{len(self.locals)}"
        return self.locals[name]

    # Functions.

    def module(self, nodes: tuple[Node, ...]) -> ast.Module:
        simple = all(map(is_direct, nodes)) and len(nodes) <= _PIECES_MAX
        if simple and not (self.survey.stops_inside or self.counts_steps or self.traced):
            body: list[ast.stmt] = [self.python.leave(self.joined(nodes))]
        else:
            content = self.block(nodes)
            if self.survey.stops_inside:
                printed = self.python.invoke("printed_before", self.python.name("stop"))
                stopping = [self.python.run(self.python.invoke("write", printed))]
                if self.traced:
                    stopping.append(self.trace(0, printed))
                handler = ast.ExceptHandler(self.python.name("Stopped"), "stop", stopping)
                content = [
                    self.python.place(ast.Try(content, [self.python.place(handler)], [], []))
                ]
            body = [*self.opening(), *content, self.leave_with_output()]
            if self.counts_steps:
                body.insert(0, self.python.assign("steps", self.python.constant(0)))
        self.python.at = Place(1, 1)
        function = ast.FunctionDef(
            name="template",
            args=parameters("bindings", "trace") if self.traced else parameters("bindings"),
            body=[*self.prologue(), *self.scope.functions, *body],
            decorator_list=[],
        )
        return ast.Module([self.python.place(function)], [])

    def prologue(self) -> list[ast.stmt]:
        """Bind the variables that the template names, in the order of their locals."""
        bindings = self.python.name("bindings")

        def attribute(value: ast.expr, name: str) -> ast.expr:
            return self.python.place(ast.Attribute(value, name, ast.Load()))

        statements: list[ast.stmt] = []
        if "request" in self.used:
            statements.append(self.python.assign("request", attribute(bindings, "input")))
        if self.used & {"context", "context_values"}:
            statements.append(self.python.assign("context", attribute(bindings, "context")))
        if "context_values" in self.used:
            found = attribute(self.python.name("context"), "values")
            statements.append(self.python.assign("context_values", found))
        if "stage" in self.used:
            stage = attribute(bindings, "stage_variables")
            if self.survey.dynamic_stage_variables:
                stage = self.python.invoke("dict", stage)
            statements.append(self.python.assign("stage", stage))
        free = [name for name in self.locals if name not in _BUILT_IN]
        for name in _BUILT_IN & self.locals.keys():
            attribute_of = {"input": "input", "context": "context", "util": ""}
            source = attribute_of.get(name, "stage_variables")
            initial = attribute(bindings, source) if source else self.python.name("utility")
            if name == "stageVariables":
                initial = self.python.invoke("dict", initial)
            statements.append(self.python.assign(self.locals[name], initial))
        if free:
            statements.append(self.python.assign("bound", attribute(bindings, "variables")))
            unbound = self.python.test(
                self.python.name("bound"), ast.Is(), self.python.constant(None)
            )
            empty = ast.Assign(
                [self.python.target(self.locals[name]) for name in free], self.python.constant("")
            )
            looked_up = [
                self.python.assign(
                    self.locals[name],
                    self.python.invoke(
                        "variable", self.python.name("bound"), self.python.constant(name)
                    ),
                )
                for name in free
            ]
            statements.append(self.python.when(unbound, [self.python.place(empty)], looked_up))
        return statements

    def opening(self) -> list[ast.stmt]:
        return [
            self.python.assign("out", self.python.place(ast.List([], ast.Load()))),
            self.python.assign(
                "write",
                self.python.place(ast.Attribute(self.python.name("out"), "append", ast.Load())),
            ),
            self.python.assign("size", self.python.constant(0)),
        ]

    def output_so_far(self) -> ast.expr:
        out = self.python.name("out")
        return self.python.invoke_method(self.python.constant(""), "join", out)

    def leave_with_output(self) -> ast.stmt:
        return self.python.leave(self.output_so_far())

    def function(self, nodes: tuple[Node, ...], *, renders: str, loops: list[int]) -> str:
        """Make a function of the current one, which renders nodes to a string."""
        outer, self.scope = self.scope, _Scope(renders=renders, loops=loops)
        at = self.python.at
        body = [*self.opening(), *self.block(nodes)]
        self.python.at = at
        body.append(self.leave_with_output())
        shared = sorted(self.variable(name) for name in self.survey.assigned)
        if not self.static_loops:
            shared.append(self.variable("foreach"))
        if self.counts_steps:
            shared.append("steps")
        if shared:
            body.insert(0, self.python.place(ast.Nonlocal(sorted(set(shared)))))
        name = f"block{self.fresh()}"
        function = ast.FunctionDef(
            name=name,
            args=parameters(),
            body=[*body[:1], *self.scope.functions, *body[1:]],
            decorator_list=[],
        )
        self.scope = outer
        self.scope.functions.append(self.python.place(function))
        return name

    # Statements.

    def block(self, nodes: Sequence[Node]) -> list[ast.stmt]:
        statements: list[ast.stmt] = []
        pending: list[Node] = []
        # A block that stops the rendering must find printed what stands before it.
        pieces_max = 1 if self.survey.stops_inside or self.traces else _PIECES_MAX
        for node in _by_lines(nodes) if self.traces else nodes:
            if is_direct(node):
                pending.append(node)
                if len(pending) >= pieces_max:
                    statements.extend(self.output(pending))
                    pending = []
                continue
            if pending:
                statements.extend(self.output(pending))
                pending = []
            statements.extend(self.directive(node))
        if pending:
            statements.extend(self.output(pending))
        return statements

    def output(self, nodes: Sequence[Node]) -> list[ast.stmt]:
        """Print a run of text and references, and look at the size of what is printed."""
        for node in nodes:
            if isinstance(node, Reference):
                self.python.at = node.at
                break
        printed = self.joined(nodes)
        if isinstance(printed, ast.Constant):
            length = self.python.constant(len(str(printed.value)))
        else:
            printed = self.python.place(ast.NamedExpr(self.python.target("piece"), printed))
            length = self.python.invoke("len", self.python.name("piece"))
        total = self.python.place(ast.BinOp(self.python.name("size"), ast.Add(), length))
        grown = self.python.place(ast.NamedExpr(self.python.target("size"), total))
        limit = self.python.constant(self.limits.output_chars)
        told = []
        if self.traces:
            (node,) = nodes
            line = node.line if isinstance(node, Text) else self.python.at.line
            piece = printed if isinstance(printed, ast.Constant) else self.python.name("piece")
            told.append(self.trace(line, piece))
        return [
            self.python.run(self.python.invoke("write", printed)),
            *told,
            self.python.when(
                self.python.test(grown, ast.Gt(), limit),
                [self.python.run(self.python.invoke("too_large"))],
            ),
        ]

    @property
    def traces(self) -> bool:
        """Whether what is printed here goes to the output at once, and is told."""
        return self.traced and self.scope.renders == "template"

    def trace(self, line: int, piece: ast.expr) -> ast.stmt:
        pair = self.python.tuple_of([self.python.constant(line), piece])
        return self.python.run(self.python.invoke("trace", pair))

    def joined(self, nodes: Sequence[Node]) -> ast.expr:
        """Make one string of text and references."""
        pieces: list[ast.expr] = []
        literal: list[str] = []
        for node in nodes:
            if isinstance(node, Text):
                literal.append(node.text)
                continue
            assert isinstance(node, Reference)
            printed = self.printed(node)
            if literal:
                pieces.append(self.python.constant("".join(literal)))
                literal = []
            pieces.append(self.python.place(ast.FormattedValue(printed, -1, None)))
        if literal:
            pieces.append(self.python.constant("".join(literal)))
        if not pieces:
            return self.python.constant("")
        if len(pieces) == 1:
            only = pieces[0]
            return only.value if isinstance(only, ast.FormattedValue) else only
        return self.python.place(ast.JoinedStr(pieces))

    def directive(self, node: Node) -> list[ast.stmt]:
        match node:
            case Set():
                return self.set_directive(node)
            case If():
                return self.if_directive(node)
            case Foreach():
                return self.foreach_directive(node)
            case Define():
                self.python.at = node.at
                name = self.function(node.body, renders="block", loops=[])
                block = self.python.invoke("Block", self.python.name(name))
                return [self.python.assign(self.variable(node.name), block)]
            case Break():
                self.python.at = node.at
                if self.scope.own_loops:
                    return [self.python.place(ast.Break())]
                return [self.leave_with_output()]
            case Stop():
                self.python.at = node.at
                if self.scope.renders == "template":
                    return [self.leave_with_output()]
                # What a block printed so far is kept; what a string did, nobody prints.
                so_far = self.python.constant("")
                if self.scope.renders == "block":
                    so_far = self.output_so_far()
                stopped = self.python.invoke("Stopped", so_far)
                return [self.python.place(ast.Raise(stopped, None))]
            case Text() | Reference():
                raise AssertionError("printed by output()")
            case _:
                assert_never(node)

    def set_directive(self, node: Set) -> list[ast.stmt]:
        self.python.at = node.at
        value = self.value(node.value)
        nullable = isinstance(node.value, Binary | Range)
        steps = node.target.steps
        self.python.at = node.at
        if nullable:
            bound = self.python.place(ast.NamedExpr(self.python.target("new"), value))
            given = self.python.test(bound, ast.IsNot(), self.python.constant(None))
            value = self.python.name("new")
        if not steps:
            assignment = self.python.assign(self.variable(node.target.root), value)
        else:
            holder = self.reference_value(
                Reference(node.target.root, steps[:-1], node.target.at), whole=True
            )
            last = steps[-1]
            self.python.at = node.at
            match last:
                case Property():
                    key = self.python.constant(last.name)
                    assignment = self.python.run(
                        self.python.invoke("set_member", holder, key, value)
                    )
                case Index():
                    key = self.value(last.argument)
                    assignment = self.python.run(
                        self.python.invoke("set_index", holder, key, value)
                    )
                case Call():
                    assignment = self.python.run(value)
                case _:
                    assert_never(last)
        return [self.python.when(given, [assignment])] if nullable else [assignment]

    def if_directive(self, node: If) -> list[ast.stmt]:
        compiled: list[tuple[ast.expr, list[ast.stmt]]] = []
        for condition, body in node.branches:
            self.python.at = node.at
            compiled.append((self.truth(condition), self.block(body)))
        otherwise = self.block(node.otherwise)
        self.python.at = node.at
        for test, then in reversed(compiled):
            otherwise = [self.python.when(test, then, otherwise)]
        return otherwise

    def foreach_directive(self, node: Foreach) -> list[ast.stmt]:
        self.python.at = node.at
        loop = self.fresh()
        limit = self.python.constant(self.limits.loop_iterations)
        iteration = self.python.invoke("iterate", self.source(node.source), limit)
        pair = ast.Tuple(
            [self.python.target(f"items{loop}"), self.python.target(f"length{loop}")], ast.Store()
        )
        start = self.python.place(ast.Assign([self.python.place(pair)], iteration))
        item = self.variable(node.variable)
        self.scope.loops.append(loop)
        self.scope.own_loops += 1
        body = self.block(node.body)
        self.scope.loops.pop()
        self.scope.own_loops -= 1
        self.python.at = node.at
        is_null = self.python.test(self.python.name(item), ast.Is(), self.python.constant(None))
        head = [
            self.python.when(is_null, [self.python.assign(item, self.python.constant(""))]),
            self.python.increase(f"count{loop}", 1),
        ]
        if self.counts_steps:
            head.append(self.python.increase("steps", 1 + weight(node.body)))
            exceeded = self.python.test(
                self.python.name("steps"), ast.Gt(), self.python.constant(self.limits.steps)
            )
            head.append(
                self.python.when(exceeded, [self.python.run(self.python.invoke("too_long"))])
            )
        before = [
            self.python.assign(f"before{loop}", self.python.name(item)),
            self.python.assign(f"count{loop}", self.python.constant(0)),
        ]
        after = [self.python.assign(item, self.python.name(f"before{loop}"))]
        if not self.static_loops:
            before, head, after = self.dynamic_loop(loop, before, head, after)
        iterating = ast.For(
            self.python.target(item), self.python.name(f"items{loop}"), [*head, *body], [], None
        )
        whole = [*before, self.python.place(iterating), *after]
        return [start, self.python.when(self.python.name(f"length{loop}"), whole)]

    def dynamic_loop(
        self, loop: int, before: list[ast.stmt], head: list[ast.stmt], after: list[ast.stmt]
    ) -> tuple[list[ast.stmt], list[ast.stmt], list[ast.stmt]]:
        """Keep `$foreach` as a value, and the counters of old as variables."""
        status = self.variable("foreach")
        made = self.python.invoke(
            "Loop", self.python.name(f"length{loop}"), self.python.name(status)
        )
        before = [
            *before,
            self.python.assign(f"outer{loop}", self.python.name(status)),
            self.python.assign(f"loop{loop}", made),
            self.python.assign(status, self.python.name(f"loop{loop}")),
        ]
        counter = self.python.place(
            ast.Attribute(self.python.name(f"loop{loop}"), "count", ast.Store())
        )
        head = [*head, self.python.place(ast.Assign([counter], self.python.name(f"count{loop}")))]
        after = [*after, self.python.assign(status, self.python.name(f"outer{loop}"))]
        return before, head, after

    def source(self, expression: Expression) -> ast.expr:
        """Make what a loop goes over; `.keySet()` needs no list of its own."""
        if isinstance(expression, Reference) and expression.steps:
            *before, last = expression.steps
            if isinstance(last, Call) and last.name == "keySet" and not last.arguments:
                holder = Reference(expression.root, tuple(before), expression.at)
                return self.python.invoke("keys", self.reference_value(holder, whole=True))
        return self.value(expression)

    # Expressions.

    def truth(self, expression: Expression) -> ast.expr:
        """Make a Python condition: literals but `true` are false, references but `false` true."""
        match expression:
            case Reference():
                value = self.reference_value(expression)
                if isinstance(value, ast.Constant):  # nothing, outside of its loop
                    return self.python.constant(True)
                return self.python.test(value, ast.IsNot(), self.python.constant(False))
            case Not():
                return self.python.place(ast.UnaryOp(ast.Not(), self.truth(expression.operand)))
            case Logical():
                joint = ast.And() if expression.operator == "&&" else ast.Or()
                operands = [self.truth(operand) for operand in expression.operands]
                return self.python.place(ast.BoolOp(joint, operands))
            case Binary(operator="==" | "!=" | "<" | ">" | "<=" | ">="):
                return self.value(expression)
            case _:
                return self.python.constant(
                    isinstance(expression, Literal) and expression.value is True
                )

    def value(self, expression: Expression) -> ast.expr:
        """Make a Python expression; only arithmetic and a bad range give None, Java's null."""
        match expression:
            case Reference():
                return self.reference_value(expression)
            case Literal():
                return self.python.constant(expression.value)
            case Interpolated():
                return self.interpolated(expression)
            case ListLiteral():
                items = self.python.place(ast.List(self.arguments(expression.items), ast.Load()))
                return self.python.invoke("JavaList", items)
            case MapLiteral():
                keys = [self.argument(key) for key, _ in expression.entries]
                return self.python.place(
                    ast.Dict(
                        [self.python.invoke("map_key", key) for key in keys],
                        [self.argument(value) for _, value in expression.entries],
                    )
                )
            case Range():
                bounds = self.value(expression.first), self.value(expression.last)
                self.python.at = expression.at
                return self.python.invoke("range_list", *bounds)
            case Not() | Logical():
                return self.truth(expression)
            case Binary():
                return self.binary(expression)
            case _:
                assert_never(expression)

    def argument(self, expression: Expression) -> ast.expr:
        """Make a value that is never null."""
        value = self.value(expression)
        if not isinstance(expression, Range):
            return value
        return self.python.place(ast.BoolOp(ast.Or(), [value, self.python.constant("")]))

    def arguments(self, expressions: Iterable[Expression]) -> list[ast.expr]:
        return [self.argument(expression) for expression in expressions]

    def binary(self, expression: Binary) -> ast.expr:
        left, right = self.value(expression.left), self.value(expression.right)
        self.python.at = expression.at
        match expression.operator:
            case "==":
                return self.python.invoke("equal", left, right)
            case "!=":
                return self.python.place(
                    ast.UnaryOp(ast.Not(), self.python.invoke("equal", left, right))
                )
            case "+":
                return self.python.invoke("add", left, right)
            case "-" | "*" | "/" | "%":
                return self.python.invoke(
                    "arithmetic", self.python.constant(expression.operator), left, right
                )
            case _:
                return self.python.invoke(
                    "compare", self.python.constant(expression.operator), left, right
                )

    def interpolated(self, expression: Interpolated) -> ast.expr:
        self.python.at = expression.at
        if all(map(is_direct, expression.body)) and len(expression.body) <= _PIECES_MAX:
            joined = self.joined(expression.body)
            self.python.at = expression.at
            return self.python.invoke("bounded", joined)
        name = self.function(expression.body, renders="string", loops=list(self.scope.loops))
        return self.python.invoke("bounded", self.python.invoke(name))

    # References.

    def printed(self, reference: Reference) -> ast.expr:
        """Make the text of a reference."""
        self.python.at = reference.at
        if self.known_text(reference):
            return self.reference_value(reference)
        is_text = self.python.is_kind("found", self.reference_value(reference), "str")
        self.python.at = reference.at
        return self.python.either(
            is_text,
            self.python.name("found"),
            self.python.invoke("text", self.python.name("found")),
        )

    def known_text(self, reference: Reference) -> bool:
        """Tell whether a reference gives a string whatever happens."""
        if reference.root not in self.direct:
            return False
        match reference.root, reference.steps:
            case "util", (Call(name=name, arguments=(_,)),):
                return name in _UTILITIES and name != "parseJson"
            case "input", (Property(name="body"),):
                return True
            case "input", (Call(name="json" | "params", arguments=(_,)),):
                return True
            case "stageVariables", (_,):
                return bool(literal_key(reference.steps)) and (
                    not self.survey.dynamic_stage_variables
                )
        return False

    def reference_value(self, reference: Reference, *, whole: bool = False) -> ast.expr:
        """Make the value of a reference; `whole` is for one that something is done to."""
        self.python.at = reference.at
        root, steps = reference.root, reference.steps
        if root == "foreach" and self.static_loops:
            member = loop_member(reference, len(self.scope.loops))
            return self.python.constant("") if member is None else self.loop_member(*member)
        if root in LOOP_COUNTERS and self.static_loops:
            found = self.python.constant("")
            if self.scope.loops:
                found = self.loop_member(0, LOOP_COUNTERS[root])
            return self.follow(found, steps)
        if root in LOOP_COUNTERS and root not in self.survey.assigned:
            status = self.python.name(self.variable("foreach"))
            found = self.python.invoke("member", status, self.python.constant(LOOP_COUNTERS[root]))
            return self.follow(found, steps)
        if root in self.direct:
            return self.built_in(root, steps, whole=whole)
        return self.follow(self.python.name(self.variable(root)), steps)

    def loop_member(self, up: int, member: str) -> ast.expr:
        loop = self.scope.loops[-1 - up]
        count, length = self.python.name(f"count{loop}"), self.python.name(f"length{loop}")
        match member:
            case "count":
                return count
            case "index":
                return self.python.place(ast.BinOp(count, ast.Sub(), self.python.constant(1)))
            case "hasNext":
                return self.python.test(count, ast.Lt(), length)
            case "first":
                return self.python.test(count, ast.Eq(), self.python.constant(1))
            case _:
                return self.python.test(count, ast.Eq(), length)

    def built_in(
        self, root: str, steps: tuple[Property | Call | Index, ...], *, whole: bool
    ) -> ast.expr:
        match root:
            case "util":
                return self.utility(steps)
            case "input":
                return self.input(steps)
            case "context":
                return self.context(steps, whole=whole)
            case _:
                self.used.add("stage")
                key = literal_key(steps)
                if self.survey.dynamic_stage_variables or not key:
                    return self.follow(self.python.name("stage"), steps)
                found = self.python.invoke_method(
                    self.python.name("stage"),
                    "get",
                    self.python.constant(key),
                    self.python.constant(""),
                )
                return self.follow(found, steps[1:])

    def utility(self, steps: tuple[Property | Call | Index, ...]) -> ast.expr:
        match steps:
            case [Call(name=name, arguments=(argument,)), *rest] if name in _UTILITIES:
                value = self.argument(argument)
                self.python.at = steps[0].at
                return self.follow(self.python.invoke(_UTILITIES[name], value), rest)
        return self.follow(self.python.name("utility"), steps)

    def input(self, steps: tuple[Property | Call | Index, ...]) -> ast.expr:
        self.used.add("request")
        request = self.python.name("request")
        match steps:
            case [Property(name="body"), *rest]:
                found: ast.expr = self.python.place(ast.Attribute(request, "body", ast.Load()))
            case [Call(name="json" | "path" as name, arguments=(Literal(value=str(path)),)), *rest]:
                self.python.at = steps[0].at
                method = "select_json" if name == "json" else "select_value"
                found = self.python.invoke_method(request, method, self.path_constant(path))
            case [Call(name="json" | "path" as name, arguments=(argument,)), *rest]:
                value = self.argument(argument)
                self.python.at = steps[0].at
                function = "input_json" if name == "json" else "input_value"
                found = self.python.invoke(function, request, self.python.name("paths"), value)
            case [Call(name="params", arguments=(Literal(value=str(name)),)), *rest]:
                found = self.python.invoke_method(request, "parameter", self.python.constant(name))
            case [Call(name="params", arguments=(argument,)), *rest]:
                found = self.python.invoke("input_parameter", request, self.argument(argument))
            case [Call(name="params", arguments=()), *rest]:
                found = self.python.invoke_method(request, "params")
            case _:
                return self.follow(request, steps)
        return self.follow(found, rest)

    def path_constant(self, path: str) -> ast.expr:
        """Compile a literal JSONPath; a bad one fails when it is used, as on AWS."""
        name = f"path{self.fresh()}"
        try:
            self.constants[name] = compile_json_path(path)
        except TemplateError as error:
            self.constants[name] = _failing(error)
        return self.python.name(name)

    def context(self, steps: tuple[Property | Call | Index, ...], *, whole: bool) -> ast.expr:
        """Read up to two literal names straight from the values; the library does the rest."""
        keys = [literal_key([step]) for step in steps[:2]]
        if whole or not keys or not keys[0]:
            self.used.add("context")
            return self.follow(self.python.name("context"), steps)
        self.used.add("context_values")
        first = self.python.invoke_method(
            self.python.name("context_values"), "get", self.python.constant(keys[0])
        )
        at = self.python.at
        if len(steps) == 1 or not keys[1]:
            is_text = self.python.is_kind("found", first, "str")
            slow = self.follow(self.python.name("context"), steps[:1])
            self.python.at = at
            return self.follow(
                self.python.either(is_text, self.python.name("found"), slow), steps[1:]
            )
        second = self.python.invoke_method(
            self.python.name("inner"), "get", self.python.constant(keys[1])
        )
        test = self.python.both(
            self.python.is_kind("inner", first, "dict"), self.python.is_kind("found", second, "str")
        )
        slow = self.follow(self.python.name("context"), steps[:2])
        self.python.at = at
        return self.follow(self.python.either(test, self.python.name("found"), slow), steps[2:])

    def follow(self, value: ast.expr, steps: Sequence[Property | Call | Index]) -> ast.expr:
        """Apply properties, calls and indexes to a value, through the library."""
        for step in steps:
            match step:
                case Property():
                    self.python.at = step.at
                    value = self.python.invoke("member", value, self.python.constant(step.name))
                case Index():
                    argument = self.argument(step.argument)
                    self.python.at = step.at
                    value = self.python.invoke("index", value, argument)
                case Call():
                    arguments = self.arguments(step.arguments)
                    self.python.at = step.at
                    if step.name == "get" and len(arguments) == 1:
                        value = self.python.invoke("get", value, arguments[0])
                        continue
                    name = self.python.constant(step.name)
                    value = self.python.invoke("call", value, name, self.python.tuple_of(arguments))
                case _:
                    assert_never(step)
        return value


def _by_lines(nodes: Sequence[Node]) -> Iterable[Node]:
    """The same nodes, with a node of its own for each line of a text."""
    for node in nodes:
        if isinstance(node, Text):
            for number, text in enumerate(_LINES.findall(node.text)):
                yield Text(text, node.line + number)
        else:
            yield node


def _failing(error: TemplateError) -> JsonPath:
    def fail(root: Any) -> NoReturn:
        raise copy.copy(error)

    return fail
