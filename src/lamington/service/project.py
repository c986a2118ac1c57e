"""A service on disk, checked, with positions: functions, an API definition, a stack.

Everything is inferred where it can be, and what is written by hand wins. Left to others: what
AWS is told of it (`definition`, `template`), and what goes into its packages (`package`).
"""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lamington.core.documents import Document
from lamington.core.errors import Position, UsageError
from lamington.service.functions import (
    Function,
    FunctionDefaults,
    check_handlers,
    load_functions,
)
from lamington.service.problems import Problems
from lamington.service.sources import Sources, closest

SETTINGS_FILE = "lamington.toml"
STAGE_DEFAULT = "live"
SERVICE_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")
STAGE_NAME = re.compile(r"[-_a-zA-Z0-9]{1,128}")
STACK_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")

API_FILES = tuple(
    f"{stem}.{suffix}"
    for stem in ("api", "swagger", "openapi")
    for suffix in ("yaml", "yml", "json")
)
STACK_FILES = ("stack.yaml", "stack.yml", "stack.json")
TEMPLATE_FILES = ("template.yaml", "template.yml", "template.json", "cf.json", "serverless.yml")

_SETTINGS = ("name", "region", "defaults", "runtimes", "stages")
_STAGE_SETTINGS = ("region", "stack", "variables", "parameters", "logging")
_LOGGING = ("OFF", "ERROR", "INFO")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStage:
    """One place where the service lives: its own stack, with its own parameters.

    `region` is "" where the settings name none. `variables` are the API's stage variables;
    `logging` is "", ERROR or INFO.
    """

    name: str
    stack_name: str
    region: str
    variables: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    logging: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A service on disk; everything else is derived from it. The first stage is the default.

    It is not `complete` where a file could not be read: then nothing can be said of what refers
    to it.
    """

    root: Path
    name: str
    functions: tuple[Function, ...]
    api: Document | None
    stack: Document | None
    common: Path | None
    stages: tuple[ServiceStage, ...]
    complete: bool = True

    def stage(self, name: str = "") -> ServiceStage:
        """Raises UsageError for a stage that the settings do not name."""
        if not name:
            return self.stages[0]
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise UsageError(
            f"`{name}` is not a stage of `{self.name}`",
            where=Position(file=SETTINGS_FILE),
            hint=f"add `[stages.{name}]`, or take one of: "
            + ", ".join(f"`{each.name}`" for each in self.stages),
        )

    def function(self, name: str) -> Function:
        """Raises UsageError for a name that no function has."""
        for function in self.functions:
            if function.name == name:
                return function
        names = [each.name for each in self.functions]
        raise UsageError(f"`{name}` is not a function of `{self.name}`", hint=closest(name, names))


def load_project(
    root: Path,
    *,
    sources: Sources | None = None,
    problems: Problems | None = None,
    check_javascript: bool = True,
) -> Project:
    """Read and check the service in a directory.

    Everything wrong is raised together as one ServiceInvalid; with `problems` given, it is
    gathered there instead and what could be read is returned. `check_javascript` runs
    `node --check` on each Node.js entry file that changed.
    """
    found = Problems() if problems is None else problems
    root = root.resolve()
    sources = Sources(root) if sources is None else sources
    settings = _load_settings(root, sources, found)
    stages = _read_stages(settings, found)
    defaults = _read_defaults(settings, found)
    functions = load_functions(root, defaults=defaults, sources=sources, problems=found)
    api = _load_one(root, API_FILES, "API definition", sources, found)
    stack = _load_one(root, STACK_FILES, "stack", sources, found)
    complete = not found.errors
    check_handlers(functions, root, sources, found, check_javascript)
    common = root / "common"
    project = Project(
        root=root,
        name=settings.name,
        functions=functions,
        api=api,
        stack=stack,
        common=common if common.is_dir() else None,
        stages=stages,
        complete=complete,
    )
    if not (functions or project.api or project.stack or found.errors):
        found.error(
            "there is nothing in this service: no functions, no API, no stack",
            where=Position(file=SETTINGS_FILE),
            hint="put a handler into `functions/hello/`, or begin with `lamington new`",
        )
    if problems is None:
        found.close()
    return project


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """lamington.toml as read: `text` serves to find positions."""

    name: str
    value: dict[str, Any]
    text: str

    def where(self, *path: str) -> Position:
        """The line that gives a key, as `key = …` or within a `[table]` header."""
        for length in range(len(path), 0, -1):
            dotted = r"\.".join(rf'"?{re.escape(part)}"?' for part in path[:length])
            last = rf'"?{re.escape(path[length - 1])}"?'
            for pattern in (rf"^\s*\[\s*{dotted}\s*[\].]", rf"^\s*{last}\s*[=.]"):
                found = re.search(pattern, self.text, re.MULTILINE)
                if found:
                    line = self.text.count("\n", 0, found.end()) + 1
                    return Position(file=SETTINGS_FILE, line=line, column=1)
        return Position(file=SETTINGS_FILE)


def _load_settings(root: Path, sources: Sources, problems: Problems) -> _Settings:
    """Raises UsageError where the directory is no service at all."""
    path = root / SETTINGS_FILE
    if not path.is_file():
        raise _no_service(root)
    text, value, readable = "", {}, False
    with problems.gathered():
        text = sources.text(path)
        value = _parse_toml(text)
        readable = True
    settings = _Settings(name=str(value.get("name") or root.name), value=value, text=text)
    for key in value:
        if key not in _SETTINGS:
            problems.error(
                f"`{key}` is not a setting",
                where=settings.where(key),
                hint=closest(key, _SETTINGS),
            )
    name = value.get("name")
    if readable and (not isinstance(name, str) or not SERVICE_NAME.fullmatch(name)):
        problems.error(
            "the service has no name" if name is None else f"`{name}` cannot be a service's name",
            where=settings.where("name"),
            hint='give it one, such as `name = "bakery"`: letters, digits and hyphens',
        )
        return _Settings(name="service", value=value, text=text)
    return settings


def _no_service(root: Path) -> UsageError:
    if not root.is_dir():
        return UsageError(f"`{root}` is not a directory")
    for name in TEMPLATE_FILES:
        if (root / name).is_file():
            return UsageError(
                f"`{name}` without `{SETTINGS_FILE}` is not run yet",
                where=Position(file=name),
                hint=f'write `{SETTINGS_FILE}` with `name = "…"` and move your own resources'
                " to `stack.yaml`",
            )
    return UsageError(
        f"`{root}` is not a service: it has no `{SETTINGS_FILE}`",
        hint="go to the service's directory, or make one by `lamington new NAME`",
    )


def _parse_toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at line (\d+), column (\d+)\)$", str(error))
        message = str(error)[: place.start()] if place else str(error)
        where = Position(
            file=SETTINGS_FILE,
            line=int(place[1]) if place else 0,
            column=int(place[2]) if place else 0,
        )
        raise UsageError(f"TOML not well-formed: {message}", where=where) from None


def _table(settings: _Settings, key: str, problems: Problems) -> dict[str, Any]:
    value = settings.value.get(key, {})
    if isinstance(value, dict):
        return value
    problems.error(
        f"`{key}` is a table", where=settings.where(key), hint=f"write `[{key}]` on its own line"
    )
    return {}


def _read_defaults(settings: _Settings, problems: Problems) -> FunctionDefaults:
    runtimes = _table(settings, "runtimes", problems)
    for key in runtimes:
        if key not in ("python", "nodejs"):
            problems.error(
                f"`{key}` is no language whose runtime is inferred",
                where=settings.where("runtimes", key),
                hint='give `python = "python3.13"` or `nodejs = "nodejs22.x"`',
            )
    return FunctionDefaults(
        properties=_table(settings, "defaults", problems),
        where=settings.where("defaults"),
        **{key: str(value) for key, value in runtimes.items() if key in ("python", "nodejs")},
    )


def _read_stages(settings: _Settings, problems: Problems) -> tuple[ServiceStage, ...]:
    region = str(settings.value.get("region", ""))
    tables = _table(settings, "stages", problems)
    if not tables:
        return (ServiceStage(name=STAGE_DEFAULT, stack_name=settings.name, region=region),)
    stages: list[ServiceStage] = []
    for name, table in tables.items():
        where = settings.where("stages", name)
        if not isinstance(table, dict) or not STAGE_NAME.fullmatch(name):
            problems.error(
                f"`{name}` cannot be a stage",
                where=where,
                hint="write `[stages.live]` and below it",
            )
            continue
        for key in table:
            if key not in _STAGE_SETTINGS:
                problems.error(
                    f"`{key}` is not a setting of a stage",
                    where=settings.where("stages", name, key),
                    hint=closest(key, _STAGE_SETTINGS),
                )
        default_name = settings.name if not stages else f"{settings.name}-{name.replace('_', '-')}"
        stack_name = str(table.get("stack", default_name))
        if not STACK_NAME.fullmatch(stack_name):
            problems.error(f"`{stack_name}` cannot be a stack's name", where=where)
        logging = str(table.get("logging", "")).upper()
        if logging and logging not in _LOGGING:
            problems.error(
                f"`{logging}` is not a level of logging", where=where, hint="ERROR, INFO or OFF"
            )
        stages.append(
            ServiceStage(
                name=name,
                stack_name=stack_name,
                region=str(table.get("region", region)),
                variables={
                    key: str(each) for key, each in dict(table.get("variables", {})).items()
                },
                parameters={
                    key: str(each) for key, each in dict(table.get("parameters", {})).items()
                },
                logging="" if logging == "OFF" else logging,
            )
        )
    return tuple(stages) or (
        ServiceStage(name=STAGE_DEFAULT, stack_name=settings.name, region=region),
    )


def _load_one(
    root: Path, names: tuple[str, ...], what: str, sources: Sources, problems: Problems
) -> Document | None:
    """The one file of these names; two of them are an error, for one would be ignored."""
    paths = [root / name for name in names if (root / name).is_file()]
    if not paths:
        return None
    if len(paths) > 1:
        both = " and ".join(f"`{path.name}`" for path in paths[:2])
        problems.error(
            f"there are {both}: which one is the {what}?",
            where=Position(file=paths[1].name),
            hint="keep one of them",
        )
        return None
    with problems.gathered():
        document = sources.document(paths[0])
        if not isinstance(document.value, dict):
            raise UsageError(f"the {what} is a map", where=Position(file=paths[0].name, line=1))
        return document
    return None
