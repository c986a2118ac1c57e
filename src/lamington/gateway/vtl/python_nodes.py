"""Nodes of Python's `ast`, each given the place in the template that it stands for."""

import ast
from collections.abc import Iterable
from typing import TypeVar

from lamington.gateway.vtl.tree import Place

Placed = TypeVar("Placed", bound=ast.expr | ast.stmt | ast.excepthandler)


class PythonNodes:
    """Makes nodes; `at` is the place in the template that they are given."""

    def __init__(self) -> None:
        self.at = Place(1, 1)

    def place(self, node: Placed) -> Placed:
        node.lineno = node.end_lineno = self.at.line
        node.col_offset = self.at.column - 1
        node.end_col_offset = self.at.column
        return node

    def name(self, name: str) -> ast.Name:
        return self.place(ast.Name(name, ast.Load()))

    def target(self, name: str) -> ast.Name:
        return self.place(ast.Name(name, ast.Store()))

    def constant(self, value: str | int | float | bool | None) -> ast.expr:
        return self.place(ast.Constant(value))

    def tuple_of(self, items: Iterable[ast.expr]) -> ast.expr:
        return self.place(ast.Tuple(list(items), ast.Load()))

    def invoke(self, function: str, *arguments: ast.expr) -> ast.expr:
        return self.place(ast.Call(self.name(function), list(arguments), []))

    def invoke_method(self, value: ast.expr, name: str, *arguments: ast.expr) -> ast.expr:
        attribute = self.place(ast.Attribute(value, name, ast.Load()))
        return self.place(ast.Call(attribute, list(arguments), []))

    def test(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> ast.expr:
        return self.place(ast.Compare(left, [operator], [right]))

    def either(self, test: ast.expr, then: ast.expr, otherwise: ast.expr) -> ast.expr:
        return self.place(ast.IfExp(test, then, otherwise))

    def both(self, left: ast.expr, right: ast.expr) -> ast.expr:
        return self.place(ast.BoolOp(ast.And(), [left, right]))

    def is_kind(self, local: str, value: ast.expr, kind: str) -> ast.expr:
        """`type(local := value) is kind`"""
        bound = self.place(ast.NamedExpr(self.target(local), value))
        return self.test(self.invoke("type", bound), ast.Is(), self.name(kind))

    def assign(self, local: str, value: ast.expr) -> ast.stmt:
        return self.place(ast.Assign([self.target(local)], value))

    def run(self, value: ast.expr) -> ast.stmt:
        return self.place(ast.Expr(value))

    def when(
        self, test: ast.expr, then: list[ast.stmt], otherwise: list[ast.stmt] | None = None
    ) -> ast.stmt:
        then = then or [self.place(ast.Pass())]
        return self.place(ast.If(test, then, otherwise or []))

    def increase(self, local: str, amount: int) -> ast.stmt:
        return self.place(ast.AugAssign(self.target(local), ast.Add(), self.constant(amount)))

    def leave(self, value: ast.expr) -> ast.stmt:
        return self.place(ast.Return(value))


def parameters(*names: str) -> ast.arguments:
    return ast.arguments(
        posonlyargs=[ast.arg(name, None, lineno=1, col_offset=0) for name in names],
        args=[],
        kwonlyargs=[],
        kw_defaults=[],
        defaults=[],
    )
