"""The functions of a service: which directory is one, its runtime, handler and properties.

Left to others: what goes into a package (`package`) and what AWS is told (`template`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lamington.core.documents import Document
from lamington.core.errors import Position
from lamington.service.problems import Problems
from lamington.service.sources import Module, Sources, closest

PYTHON_RUNTIME = "python3.13"
NODEJS_RUNTIME = "nodejs22.x"

FUNCTION_NAME = re.compile(r"[a-zA-Z0-9-_]{1,64}")
SETTINGS_NAMES = ("function.yaml", "function.yml", "function.json")
ENTRY_STEMS = ("handler", "index", "app", "lambda_function", "main")
HANDLER_NAMES = ("handler", "lambda_handler", "main")
PYTHON_SUFFIXES = (".py",)
NODE_SUFFIXES = (".js", ".mjs", ".cjs")

FUNCTION_PROPERTIES = frozenset(
    {
        *("Architectures", "CodeSigningConfigArn", "DeadLetterConfig", "Description"),
        *("Environment", "EphemeralStorage", "FileSystemConfigs", "FunctionName", "Handler"),
        *("KmsKeyArn", "Layers", "LoggingConfig", "MemorySize", "RecursiveLoop"),
        *("ReservedConcurrentExecutions", "Role", "Runtime", "RuntimeManagementConfig"),
        *("SnapStart", "Tags", "Timeout", "TracingConfig", "VpcConfig"),
    }
)
"""Properties of AWS::Lambda::Function that a user may give (registry schema, 2026-11)."""

REFUSED_PROPERTIES: Mapping[str, str] = {
    "Code": "the package is built from the function's directory: leave `Code` out",
    "PackageType": "functions are zip packages here; container images are not built",
    "ImageConfig": "functions are zip packages here; container images are not built",
    "Events": "events other than the API's are not wired yet: declare the resource and its"
    " permission in `stack.yaml`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionDefaults:
    """What lamington.toml says for every function; the runtimes are those that are inferred."""

    properties: Mapping[str, Any] = field(default_factory=dict)
    python: str = PYTHON_RUNTIME
    nodejs: str = NODEJS_RUNTIME
    where: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function on disk.

    `root` is its directory, or its one file. `properties` are those of AWS::Lambda::Function
    with runtime and handler; `policies` are as SAM has them. `settings` is function.yaml.
    """

    name: str
    root: Path
    runtime: str
    handler: str
    where: Position
    properties: Mapping[str, Any]
    policies: tuple[Any, ...] = ()
    settings: Document | None = None
    requirements: Path | None = None

    @property
    def logical_id(self) -> str:
        """Such as `PriceQuoteFunction` for `price-quote`: stable, readable, alphanumeric."""
        words = re.split(r"[^a-zA-Z0-9]+", self.name)
        return "".join(word[:1].upper() + word[1:] for word in words) + "Function"


def load_functions(
    root: Path,
    *,
    defaults: FunctionDefaults,
    sources: Sources,
    problems: Problems,
) -> tuple[Function, ...]:
    """Every directory under functions/, and every source file that stands there by itself."""
    home = root / "functions"
    if not home.is_dir():
        return ()
    _check_properties(defaults.properties, lambda key: defaults.where, problems)
    functions: list[Function] = []
    by_logical_id: dict[str, Function] = {}
    for path in sorted(home.iterdir()):
        if path.name.startswith((".", "_")) or path.suffix in (".md", ".txt", ".json"):
            continue
        with problems.gathered():
            function = _Loader(path, root, defaults, sources, problems).load()
            if function is None:
                continue
            other = by_logical_id.setdefault(function.logical_id, function)
            if other is not function:
                problems.error(
                    f"`{function.name}` and `{other.name}` are too much alike: both would be"
                    f" `{function.logical_id}` in the stack",
                    where=function.where,
                    hint="rename one of them",
                )
                continue
            functions.append(function)
    return tuple(functions)


class _Loader:
    """Reads one entry of functions/."""

    def __init__(
        self,
        path: Path,
        root: Path,
        defaults: FunctionDefaults,
        sources: Sources,
        problems: Problems,
    ) -> None:
        self._path = path
        self._defaults = defaults
        self._sources = sources
        self._problems = problems
        self._where = Position(file=sources.name(path))

    def load(self) -> Function | None:
        path, problems = self._path, self._problems
        if not path.is_dir() and path.suffix not in (*PYTHON_SUFFIXES, *NODE_SUFFIXES):
            problems.notice(f"`{path.name}` is no function: it is not used", where=self._where)
            return None
        name = path.name if path.is_dir() else path.stem
        if not FUNCTION_NAME.fullmatch(name):
            problems.error(
                f"`{name}` cannot be a function's name",
                where=self._where,
                hint="letters, digits, hyphens and underscores, 64 at most",
            )
            return None
        settings = self._settings()
        given = self._given(settings)
        properties = _merged(self._defaults.properties, given)
        runtime_handler = self._runtime_and_handler(given)
        if runtime_handler is None:
            return None
        runtime, handler = runtime_handler
        properties |= {"Runtime": runtime, "Handler": handler}
        requirements = path / "requirements.txt"
        return Function(
            name=name,
            root=path,
            runtime=runtime,
            handler=handler,
            where=settings.position(("Handler",))
            if "Handler" in given and settings
            else self._where,
            properties=properties,
            policies=self._policies(settings),
            settings=settings,
            requirements=requirements
            if requirements.is_file() and runtime.startswith("python")
            else None,
        )

    def _settings(self) -> Document | None:
        if not self._path.is_dir():
            return None
        paths = [self._path / name for name in SETTINGS_NAMES if (self._path / name).is_file()]
        return self._sources.document(paths[0]) if paths else None

    def _given(self, settings: Document | None) -> dict[str, Any]:
        if settings is None or settings.value is None:
            return {}
        if not isinstance(settings.value, dict):
            self._problems.error(
                "a function's settings are a map of properties of AWS::Lambda::Function",
                where=settings.position(()),
            )
            return {}
        given = {key: value for key, value in settings.value.items() if key != "Policies"}
        _check_properties(given, lambda key: settings.position((key,)), self._problems)
        return given

    def _policies(self, settings: Document | None) -> tuple[Any, ...]:
        if settings is None or not isinstance(settings.value, dict):
            return ()
        policies = settings.value.get("Policies", [])
        return tuple(policies) if isinstance(policies, list) else (policies,)

    def _runtime_and_handler(self, given: Mapping[str, Any]) -> tuple[str, str] | None:
        handler = given.get("Handler")
        runtime = given.get("Runtime")
        if runtime is None and not isinstance(handler, str):
            return self._inferred(None)
        if isinstance(runtime, str) and not isinstance(handler, str):
            if runtime.startswith("provided"):
                return runtime, "bootstrap"
            if runtime.startswith(("python", "nodejs")):
                return self._inferred(runtime)
            self._problems.error(
                f"the runtime `{runtime}` needs a `Handler`",
                where=self._where,
                hint="give `Handler` in function.yaml",
            )
            return None
        if runtime is None:
            assert isinstance(handler, str)
            return self._runtime_of(handler), handler
        return str(runtime), str(handler)

    def _runtime_of(self, handler: str) -> str:
        """The runtime by the kind of the file that a given handler is in."""
        module = self._path / handler.rpartition(".")[0].replace(".", "/")
        if module.with_suffix(".py").is_file() or (module / "__init__.py").is_file():
            return self._defaults.python
        kinds = {each.suffix for each in self._path.iterdir()} if self._path.is_dir() else set()
        return self._defaults.python if ".py" in kinds else self._defaults.nodejs

    def _inferred(self, runtime: str | None) -> tuple[str, str] | None:
        suffixes: tuple[str, ...] = (*PYTHON_SUFFIXES, *NODE_SUFFIXES)
        if runtime is not None:
            suffixes = PYTHON_SUFFIXES if runtime.startswith("python") else NODE_SUFFIXES
        entries = self._entries(suffixes)
        if len(entries) != 1:
            self._report_entries(entries)
            return None
        entry = entries[0]
        if entry.suffix in PYTHON_SUFFIXES:
            module = self._sources.python_module(entry)
            names: tuple[str, ...] = HANDLER_NAMES
            default = self._defaults.python
        else:
            module = Module(open_ended=True)
            names = HANDLER_NAMES[:1]
            default = self._defaults.nodejs
        name = next((each for each in names if each in module.names), names[0])
        return runtime or default, f"{entry.stem}.{name}"

    def _entries(self, suffixes: Sequence[str]) -> list[Path]:
        if not self._path.is_dir():
            return [self._path]
        files = [
            each
            for each in sorted(self._path.iterdir())
            if each.suffix in suffixes and each.is_file()
        ]
        named = [each for each in files if each.stem in ENTRY_STEMS]
        if named:
            best = min(ENTRY_STEMS.index(each.stem) for each in named)
            return [each for each in named if ENTRY_STEMS.index(each.stem) == best]
        return files

    def _report_entries(self, entries: Sequence[Path]) -> None:
        if entries:
            which = " and ".join(f"`{each.name}`" for each in entries[:2])
            message = f"which file is the handler in: {which}?"
        else:
            message = "no handler found in this directory"
        self._problems.error(
            message,
            where=self._where,
            hint="name the file `handler.py` or `index.js`, or give `Handler` in function.yaml;"
            " a name that begins with `_` is no function",
        )


def _merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The function's own properties over the service's; environment variables one by one."""
    properties = {**defaults, **given}
    both = [each.get("Environment") for each in (defaults, given)]
    variables = [
        each.get("Variables")
        for each in both
        if isinstance(each, dict) and isinstance(each.get("Variables"), dict)
    ]
    if variables:
        joined = {key: value for each in variables if each for key, value in each.items()}
        texts = {key: _environment_text(value) for key, value in joined.items()}
        properties["Environment"] = {"Variables": texts}
    return properties


def _environment_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _check_properties(properties: Mapping[str, Any], where: Any, problems: Problems) -> None:
    for key in properties:
        if key in FUNCTION_PROPERTIES:
            continue
        refused = REFUSED_PROPERTIES.get(key)
        problems.error(
            f"`{key}` cannot be given here"
            if refused
            else f"`{key}` is not a property of AWS::Lambda::Function",
            where=where(key),
            hint=refused or closest(key, sorted({*FUNCTION_PROPERTIES, "Policies"})),
        )


def check_handlers(
    functions: Sequence[Function],
    root: Path,
    sources: Sources,
    problems: Problems,
    check_javascript: bool,
) -> None:
    """Report each handler that is not where its function says, or in a file with a syntax error."""
    javascript: list[tuple[Function, Path]] = []
    for function in functions:
        module_name, _, name = function.handler.rpartition(".")
        if function.runtime.startswith("python"):
            entry = _python_entry(function, root, module_name)
            if entry is None:
                _report_missing_file(function, problems)
            else:
                _check_name(function, name, sources.python_module(entry), entry, sources, problems)
        elif function.runtime.startswith("nodejs"):
            entry = _node_entry(function, root)
            if entry is None:
                _report_missing_file(function, problems)
            elif entry.suffix in NODE_SUFFIXES:
                javascript.append((function, entry))
    if not check_javascript:
        return
    modules = sources.node_modules([entry for _, entry in javascript])
    for function, entry in javascript:
        name = function.handler.rpartition("/")[2].split(".")[1]
        _check_name(function, name, modules[entry], entry, sources, problems)


def _places(function: Function, root: Path) -> list[Path]:
    """Where a package's top is on disk: the function's directory, then the common one."""
    own = function.root if function.root.is_dir() else function.root.parent
    return [own, root / "common"]


def _python_entry(function: Function, root: Path, module_name: str) -> Path | None:
    relative = module_name.replace(".", "/")
    for place in _places(function, root):
        for path in (place / f"{relative}.py", place / relative / "__init__.py"):
            if relative and path.is_file():
                return path
    return None


def _node_entry(function: Function, root: Path) -> Path | None:
    directory, _, last = function.handler.rpartition("/")
    stem, dot, _ = last.partition(".")
    if not dot:
        return None
    for place in _places(function, root):
        for suffix in (*NODE_SUFFIXES, ""):
            path = place / directory / f"{stem}{suffix}"
            if path.is_file():
                return path
    return None


def _report_missing_file(function: Function, problems: Problems) -> None:
    problems.error(
        f"the handler `{function.handler}` of `{function.name}` is in no file",
        where=function.where,
        hint="`Handler` is the file without its suffix, a dot, and the name: `src/app.handler`",
    )


def _check_name(
    function: Function,
    name: str,
    module: Module,
    entry: Path,
    sources: Sources,
    problems: Problems,
) -> None:
    if module.problem is not None:
        if module.problem not in problems.errors:
            problems.errors.append(module.problem)
        return
    if name in module.names or module.open_ended:
        return
    python = entry.suffix in PYTHON_SUFFIXES
    how = f"def {name}(event, context):" if python else f"exports.{name} = async (event) => …"
    problems.error(
        f"`{entry.name}` has no `{name}`, the handler of `{function.name}`",
        where=Position(file=sources.name(entry), line=1, column=1),
        hint=f"write `{how}`, or name another one as `Handler` in function.yaml",
    )
