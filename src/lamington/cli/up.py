"""`lamington up`: an engine, a service raised on it, and a watch on the service's files.

Raising is `service.local`'s, running is the engine's: this joins them and tells the user.
"""

import asyncio
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lamington.cli.output import Output
from lamington.cli.watch import Watch
from lamington.core.errors import LamingtonError, UsageError
from lamington.core.settings import Settings
from lamington.engine.engine import Engine
from lamington.functions.isolation import Isolation
from lamington.functions.log_entries import Entry, render_entry
from lamington.functions.telemetry import EnvironmentLog
from lamington.service.definition import BuiltService
from lamington.service.local import RaisedStack, raise_stack
from lamington.service.package import Builder
from lamington.service.problems import ServiceInvalid

FAILURES_TOLD_PER_S = 10
LOG_ENTRIES_SHOWN_PER_S = 20

# What is true of every service on this machine; docs/differences.md has the reasons.
ALWAYS_DIFFERENT = (
    "functions use this machine's network and processors, and its programs and libraries in /usr",
    "unknown access keys are believed and policies of identities are not asked, save by"
    " `--auth enforce`",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    root: Path
    stage: str
    parameters: Mapping[str, str]
    watch: bool
    show_logs: bool


class EngineState(msgspec.Struct, frozen=True, kw_only=True):
    """What a running `up` tells the other commands, in `.lamington/engine.json`."""

    process_id: int
    aws_endpoint: str
    url: str
    stack_name: str
    region: str
    account_id: str


class Up:
    """One run of `lamington up`, from the first build to the last process ended."""

    def __init__(self, options: UpOptions, settings: Settings, output: Output) -> None:
        self._options = options
        self._settings = settings
        self._output = output
        self._engine = Engine(settings)
        self._stack_name = ""
        self._failures = Failures(output)
        self._told: set[str] = set()
        self._is_raised = asyncio.Event()
        self._builder = Builder(options.root, options.root / ".lamington" / "build")

    async def run(self) -> None:
        """Raise the service, serve it and follow its files until a signal or `lamington down`."""
        stopped = asyncio.Event()
        _stop_on_signals(stopped)
        started = time.perf_counter()
        # The watch begins before the first build: nothing saved from here on is missed.
        watch = Watch(self._options.root) if self._options.watch else None
        following = asyncio.create_task(self._follow(watch)) if watch else None
        try:
            built = self._builder.build(self._options.stage)
            self._stack_name = built.stack_name
            self._engine.gateway.rest.report = self._failures.report
            if self._options.show_logs:
                self._engine.telemetry.follower = FunctionLogs(self._output).show
            await self._engine.start(on_stop=stopped.set)
            raised = await self._raise(built)
            url = await self._serve(raised)
            isolation = await self._engine.isolation()
            self._announce(built, raised, url, time.perf_counter() - started, isolation)
            self._is_raised.set()
            await stopped.wait()
        finally:
            if following is not None:
                following.cancel()
            if watch is not None:
                watch.close()
            await self._engine.stop()
            # Last, since `down` takes its absence for a sign that the directory is free.
            state_path(self._options.root).unlink(missing_ok=True)

    async def _raise(self, built: BuiltService) -> RaisedStack:
        self._warn(built.warnings)
        parameters = {**built.stage.parameters, **self._options.parameters}
        return await raise_stack(built, self._stack_name, self._engine, parameters)

    async def _serve(self, raised: RaisedStack) -> str:
        api_id = raised.outputs.get("ApiId", "")
        stage = raised.outputs.get("ApiStage", "")
        if not api_id:
            return ""
        port = await self._engine.serve(api_id, stage)
        return f"http://{_shown_host(self._settings.host)}:{port}"

    def _announce(
        self,
        built: BuiltService,
        raised: RaisedStack,
        url: str,
        seconds: float,
        isolation: Isolation,
    ) -> None:
        state = EngineState(
            process_id=self._engine.process_id,
            aws_endpoint=self._engine.aws_endpoint,
            url=url,
            stack_name=self._stack_name,
            region=self._settings.region,
            account_id=self._settings.account_id,
        )
        state_path(self._options.root).write_bytes(msgspec.json.encode(state))
        found = self._differences(raised)
        self._told.update(found)
        differences = [*found, *isolation.differences(), *ALWAYS_DIFFERENT]
        if self._output.as_json:
            self._output.write_json(
                {
                    "url": url,
                    "aws_endpoint": self._engine.aws_endpoint,
                    "stack_name": self._stack_name,
                    "routes": list(built.routes),
                    "isolation": {"level": isolation.level, "memory": isolation.memory},
                    "not_emulated": differences,
                }
            )
            return
        self._output.say(
            f"{self._output.paint(built.name, 'bold')} is up in {seconds:.2f} s"
            + (f": {self._output.paint(url, 'green')}" if url else "")
        )
        self._output.say(f"AWS endpoint: {self._engine.aws_endpoint}")
        self._output.say(f"isolation: {isolation.summary}\n")
        self._show_routes(built)
        _say_differences(differences, self._output)

    def _differences(self, raised: RaisedStack) -> list[str]:
        api_id, stage = raised.outputs.get("ApiId", ""), raised.outputs.get("ApiStage", "")
        return self._engine.differences(self._engine.scope, api_id, stage)

    def _warn(self, warnings: Iterable[str]) -> None:
        """Tell what has not been told in this run."""
        for warning in warnings:
            if warning not in self._told:
                self._told.add(warning)
                self._output.warn(warning)

    def _show_routes(self, built: BuiltService) -> None:
        self._output.table(
            ("Method", "Path", "Function", "Integration", "Authorizer"),
            [
                (route.method, route.path, route.function, route.integration, route.authorizer)
                for route in built.routes
            ],
        )

    async def _follow(self, watch: Watch) -> None:
        """Follow the files: what builds is raised, what does not leaves the last good one."""
        async for changes in watch.changes():
            await self._is_raised.wait()
            started = time.perf_counter()
            names = _names(changes)
            try:
                built = await asyncio.to_thread(self._builder.build, self._options.stage)
                raised = await self._raise(built)
                await self._serve(raised)
            except ServiceInvalid as error:
                for problem in error.problems:
                    self._output.error(problem)
                self._output.say(f"{names}: not taken; the last good version goes on serving")
            except LamingtonError as error:
                self._output.error(error)
                self._output.say(f"{names}: not taken; the last good version goes on serving")
            else:
                self._warn(self._differences(raised))
                if raised.changed:
                    milliseconds = (time.perf_counter() - started) * 1000
                    self._output.say(f"{names}: updated in {milliseconds:.0f} ms")


class FunctionLogs:
    """Prints what functions log as it is written, and of a flood only the beginning."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._second = 0
        self._shown = 0

    def show(self, log: EnvironmentLog, entries: Sequence[Entry]) -> None:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._shown = second, 0
        for entry in entries[: LOG_ENTRIES_SHOWN_PER_S - self._shown]:
            for _, text in render_entry(entry, log.header):
                self._output.say(self._output.paint(text.rstrip("\n"), "dim"))
        if self._shown < LOG_ENTRIES_SHOWN_PER_S < self._shown + len(entries):
            self._output.say("more was logged in this second: `lamington logs` has the rest")
        self._shown = min(self._shown + len(entries), LOG_ENTRIES_SHOWN_PER_S)


class Failures:
    """Tells why requests end in a 5xx of the gateway's own, without drowning the terminal in it."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._second = 0
        self._told = 0

    def report(self, method: str, path: str, reason: str) -> None:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._told = second, 0
        self._told += 1
        if self._told < FAILURES_TOLD_PER_S:
            self._output.say(f"{self._output.paint('failed:', 'red')} {method} {path}: {reason}")
        elif self._told == FAILURES_TOLD_PER_S:
            self._output.say("more requests failed in this second: `lamington logs` has the rest")


def _names(paths: Iterable[Path]) -> str:
    names = sorted(str(path) for path in paths)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def run_engine(settings: Settings, output: Output) -> None:
    """Run the AWS endpoint alone until a signal."""
    stopped = asyncio.Event()
    _stop_on_signals(stopped)
    engine = Engine(settings)
    try:
        await engine.start(on_stop=stopped.set)
        output.say(f"AWS endpoint: {output.paint(engine.aws_endpoint, 'green')}")
        output.say(f"state: {settings.data.resolve()}")
        isolation = await engine.isolation()
        output.say(f"isolation: {isolation.summary}")
        _say_differences([*isolation.differences(), *ALWAYS_DIFFERENT], output)
        await stopped.wait()
    finally:
        await engine.stop()


def _stop_on_signals(stopped: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)


def _say_differences(differences: Iterable[str], output: Output) -> None:
    output.say("\nDifferent from AWS:")
    for difference in differences:
        output.say(f"  - {difference}")
    output.say("\nPress Ctrl-C to stop.")


def state_path(root: Path) -> Path:
    """Where a running `up` keeps its notes; it removes them when it has let go of everything."""
    return root / ".lamington" / "engine.json"


def is_up(root: Path) -> bool:
    """Whether an engine serves this directory; one that was killed leaves its notes behind."""
    try:
        state = load_engine_state(root)
    except UsageError:
        return False
    return Path(f"/proc/{state.process_id}").exists()


def load_engine_state(root: Path) -> EngineState:
    """The engine that serves this directory; raises UsageError where none does."""
    try:
        return msgspec.json.decode(state_path(root).read_bytes(), type=EngineState)
    except FileNotFoundError:
        raise UsageError(
            f"`{root}` is not up", hint="run `lamington up` there, or give `--endpoint-url`"
        ) from None
