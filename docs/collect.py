"""Writes the pages that the code itself can say: differences, settings, operations, resource types,
errors, and the flags of each command within `cli.md`.

Run `python docs/collect.py` after changing what they tell; a test fails while one is behind.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

import botocore.session
import click

import lamington
from lamington.cli.main import ALIASES, commands
from lamington.core.errors import AwsError
from lamington.core.settings import Settings
from lamington.engine.engine import Engine
from lamington.functions.operations.refusals import REFUSED
from lamington.gateway.v2.operations.refusals import REFUSED as REFUSED_V2

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "lamington"

COLLECTED = "Collected from the code: `python docs/collect.py` writes this page.\n"
PARTS = {
    "functions": "Lambda and CloudWatch Logs",
    "gateway": "API Gateway",
    "stack": "CloudFormation",
    "wire": "Protocols, IAM and STS",
    "engine": "The engine",
    "service": "Building and deploying",
    "core": "Foundations",
}
FUNCTION_GROUPS = {
    "Lambda: runtimes and packages": "runtime* interpreters java launch packages bootstraps/*",
    "Lambda: invocation": "invoke queue event_* destinations recursion tracing payloads url_*"
    " function_urls operations/invocations operations/function_urls operations/event_*"
    " operations/recursion",
    "CloudWatch Logs": "log_* telemetry insights query_* operations/log* operations/live_tail"
    " operations/filter_pattern",
    "CloudWatch and the bill": "metrics minutes usage bill distribution operations/metric*",
    "Lambda: the control plane": "operations/*",
    "Lambda: execution environments": "*",
}
"""Which modules of `functions` a group of differences is of; the first that fits has a module."""

SERVICES = {
    "lambda": "Lambda",
    "apigateway": "API Gateway: REST APIs",
    "apigatewayv2": "API Gateway: HTTP and WebSocket APIs",
    "apigatewaymanagementapi": "API Gateway: connections of WebSocket APIs",
    "cloudformation": "CloudFormation",
    "logs": "CloudWatch Logs",
    "monitoring": "CloudWatch",
    "iam": "IAM",
    "sts": "STS",
}
CONNECTIONS = "apigatewaymanagementapi"
"""The service of `@connections`: a data plane answers it, so that the engine's table lacks it."""

VERDICTS = {
    "close": "Close: the behaviour is AWS's, as far as is known; a text or a corner is not proved",
    "open": "Open: AWS does something else",
}


def documented(path: Path) -> Iterator[tuple[str, str]]:
    """Each docstring of a module with the name of what it describes, `Class.method` for methods.

    A string below a constant describes it, too.
    """
    tree = ast.parse(path.read_text())
    yield "", ast.get_docstring(tree) or ""
    yield from _documented(tree, "")


def _documented(tree: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, ast.get_docstring(node) or ""
            if isinstance(node, ast.ClassDef):
                yield from _documented(node, f"{node.name}.")
    for node, below in pairwise(tree.body):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        match below:
            case ast.Expr(value=ast.Constant(value=str(text))) if isinstance(target, ast.Name):
                yield prefix + target.id, inspect.cleandoc(text)


def lines_of(docstring: str, label: str) -> list[str]:
    """What stands after `AWS:` or `Differs:` in a docstring."""
    pattern = rf"(?:^|(?<=[.;] )){label}: (.+?)(?=^\S+: |^$|\Z)"
    found = re.findall(pattern, docstring, re.MULTILINE | re.DOTALL)
    return [" ".join(text.split()) for text in found]


def render_differences() -> str:
    lines = [
        "# What differs from AWS\n",
        COLLECTED,
        "What a service of yours uses and is not emulated, `lamington up` lists when it starts."
        " Operations and\nresource types that are not in [operations.md](operations.md) and"
        " [resource-types.md](resource-types.md) are refused.\n",
    ]
    groups: dict[str, list[str]] = {}
    for part, title in PARTS.items():
        for path in sorted((SOURCE / part).rglob("*.py")):
            for name, docstring in documented(path):
                for text in lines_of(docstring, "Differs"):
                    group = _function_group(path) if part == "functions" else title
                    line = f"- {_place(path, name)}: {text.rstrip('.')}"
                    groups.setdefault(group, []).append(line)
    for title in (*FUNCTION_GROUPS, *PARTS.values()):
        if title in groups:
            lines += [f"## {title}\n", *groups[title], ""]
    lines += [
        "## Rows of `tests/fidelity` that are not exact\n",
        "Each row is a case with what AWS answers and how that is known.\n",
    ]
    for verdict, meaning in VERDICTS.items():
        lines += [f"### {meaning}\n", *_rows_of(verdict), ""]
    return "\n".join(lines).rstrip() + "\n"


def _function_group(path: Path) -> str:
    module = path.relative_to(SOURCE / "functions").with_suffix("").as_posix()
    fitting = (
        title
        for title, patterns in FUNCTION_GROUPS.items()
        if any(fnmatch(module, pattern) for pattern in patterns.split())
    )
    return next(fitting)


def _rows_of(verdict: str) -> Iterator[str]:
    for path in sorted((ROOT / "tests" / "fidelity").glob("*.toml")):
        for case in tomllib.loads(path.read_text())["case"]:
            if case.get("verdict", "exact") == verdict:
                words = case["id"].replace("-", " ")
                why = case.get("remark") or case.get("why") or case.get("source", "")
                yield f"- {words}: {why} (`{path.name}`)"


def _place(path: Path, name: str) -> str:
    module = path.relative_to(SOURCE).with_suffix("").as_posix()
    return f"`{name}` ({module})" if name else module


def render_settings() -> str:
    lines = [
        "# Settings\n",
        COLLECTED,
        "A flag beats a variable, a variable beats the default. What concerns one service stands in"
        " its\n`lamington.toml`: see [service.md](service.md).\n",
    ]
    rows = []
    for each in fields(Settings):
        flag = f"--{each.name.replace('_', '-')}"
        having = [
            f"`{name}`"
            for name, command in sorted(commands.commands.items())
            if any(isinstance(p, click.Option) and flag in p.opts for p in command.params)
            and (name in ("up", "engine"))
        ]
        of = f"`{flag}` of {' and '.join(having)}" if having else "none"
        variable = f"`LAMINGTON_{each.name.upper()}`"
        rows.append((variable, of, f"`{each.default}`", each.metadata["help"]))
    lines += _table(("Variable", "Flag", "Default", "What it is"), rows)
    lines += [
        "",
        "`lamington up` always keeps its state in `.lamington/` of the service's directory.",
        "`NO_COLOR`, whatever its value, turns colours off.",
    ]
    return "\n".join(lines) + "\n"


def render_operations(operations: Iterable[str]) -> str:
    by_service: dict[str, list[str]] = {}
    answered_by_planes = (f"{CONNECTIONS}:{name}" for name in _client_operations(CONNECTIONS))
    for operation in (*operations, *answered_by_planes):
        service, _, name = operation.partition(":")
        by_service.setdefault(service, []).append(name)
    lines = [
        "# Operations\n",
        COLLECTED,
        "What the AWS endpoint (port 4566) answers. An operation that is not here is refused with"
        " status 501 and\nthe code `NotImplemented`; parameters that AWS knows and Lamington does"
        " not act on are in\n[differences.md](differences.md).\n",
    ]
    for service in sorted(by_service, key=list(SERVICES).index):
        refused = {"lambda": REFUSED, "apigatewayv2": REFUSED_V2}.get(service, {})
        names = sorted(name for name in by_service[service] if name not in refused)
        lines += [f"## {SERVICES[service]}\n", f"{len(names)} operations of `{service}`.\n"]
        lines += [f"- `{name}`" for name in names]
        lines += ["", *_refusals(refused)] if refused else [""]
    lines += [
        "## Errors\n",
        "Every code that an operation may be refused with, and its HTTP status.\n",
        *_table(("Code", "Status", "Of"), sorted(_error_rows())),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _client_operations(service: str) -> list[str]:
    """All operations that AWS's own description of a service has."""
    return list(botocore.session.get_session().get_service_model(service).operation_names)


def _refusals(refused: Mapping[str, tuple[type[AwsError], str]]) -> list[str]:
    """Operations that answer with a modelled error always, by the reason."""
    reasons: dict[str, list[str]] = {}
    for name, (_, reason) in refused.items():
        reasons.setdefault(reason, []).append(name)
    lines = [f"{len(refused)} more are refused always, and the reason:\n"]
    for reason, names in reasons.items():
        lines += [f"{reason}\n", *(f"- `{name}`" for name in sorted(names)), ""]
    return lines


def _error_rows() -> set[tuple[str, str, str]]:
    # Some modules are imported when they are first needed only; their errors count as well.
    for module in pkgutil.walk_packages(lamington.__path__, "lamington."):
        if "bootstraps" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return {
        (f"`{error('').code}`", str(error.status), PARTS[error.__module__.split(".")[1]])
        for error in _subclasses(AwsError)
        if error.__module__.startswith("lamington.") and not error.__subclasses__()
    }


def _subclasses(error: type[AwsError]) -> Iterator[type[AwsError]]:
    for each in error.__subclasses__():
        yield each
        yield from _subclasses(each)


def render_resource_types(engine: Engine) -> str:
    lines = [
        "# Resource types\n",
        COLLECTED,
        "What a stack on this machine may hold. A template with any other type is refused before"
        " anything is\ncreated; `lamington deploy` sends it to AWS all the same, since AWS has"
        " them all. `Ref` gives what\nCloudFormation documents for the type.\n",
    ]
    for name in engine.providers:
        facts = engine.providers[name].facts
        lines += [f"## {name}\n"]
        for title, values in (
            ("Must be given", facts.required),
            ("Replaced when one of these changes", facts.create_only),
            ("`Fn::GetAtt`", facts.attributes),
        ):
            if values:
                lines.append(f"- {title}: {', '.join(f'`{each}`' for each in sorted(values))}")
        if facts.custom_name:
            lines.append(f"- Named by: `{facts.custom_name}`")
        if facts.capability:
            lines.append(f"- Needs the capability: `{facts.capability}`")
        if lines[-1].startswith("## "):
            lines.append("Nothing must be given, nothing forces a replacement.")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def render_cli(page: str) -> str:
    """The page with the tables of flags made anew; the rest of it is written by hand."""
    return re.sub(
        r"(<!-- flags of (\S+), written by docs/collect.py -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}{_flags(commands.commands[found[2]])}\n{found[3]}",
        page,
        flags=re.DOTALL,
    )


def _flags(command: click.Command) -> str:
    context = click.Context(command)
    usage = " ".join(command.collect_usage_pieces(context))
    names = [
        command.name or "",
        *(alias for alias, name in ALIASES.items() if name == command.name),
    ]
    also = f"\n\nAlso: {', '.join(f'`{name}`' for name in names[1:])}." if names[1:] else ""
    rows = []
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            record = parameter.get_help_record(context)
            assert record is not None
            rows.append((f"`{record[0]}`", " ".join(record[1].split())))
    text = f"`lamington {command.name} {usage}`{also}\n"
    return text + ("\n" + "\n".join(_table(("Flag", "What it does"), rows)) + "\n" if rows else "")


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return lines + ["| " + " | ".join(row) + " |" for row in escaped]


def render_pages() -> dict[Path, str]:
    """Every page that is collected, as it should be."""
    with tempfile.TemporaryDirectory() as data:
        engine = Engine(Settings(data=Path(data)))
        cli = DOCS / "cli.md"
        renderers: Mapping[str, Callable[[], str]] = {
            "differences.md": render_differences,
            "settings.md": render_settings,
            "operations.md": lambda: render_operations(engine.operations),
            "resource-types.md": lambda: render_resource_types(engine),
            "cli.md": lambda: render_cli(cli.read_text()),
        }
        return {DOCS / name: render() for name, render in renderers.items()}


if __name__ == "__main__":
    for page, text in render_pages().items():
        if page.read_text() != text if page.exists() else True:
            page.write_text(text)
            print(f"wrote {page.relative_to(ROOT)}", file=sys.stderr)
