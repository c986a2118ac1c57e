"""Processes that are started ahead of need: what a function sees of that is nothing."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from function_world import SCOPE, FunctionWorld, eventually, function_world
from lamington.functions.cgroups import Cgroups
from lamington.functions.entities import LayerRef
from lamington.functions.spares import SPARES_MAX
from processes import descendants
from runtime_programs import IDENTIFIERS, compiled, is_installed

NODE = """
const fs = require('fs');
const read = (path) => fs.readFileSync(path, 'utf8');
exports.handler = async () => ({
  variables: process.env,
  directory: fs.readlinkSync('/proc/self/cwd'),
  relative: read('data.txt'),
  above: fs.readdirSync('..').sort(),
  code: fs.readdirSync('/var/task').sort(),
  layers: fs.readdirSync('/opt').sort(),
  temporary: fs.readdirSync('/tmp').filter((name) => fs.statSync(`/tmp/${name}`).isFile()),
  mounts: read('/proc/self/mounts'),
  status: read('/proc/self/status'),
  limits: read('/proc/self/limits'),
  arguments: process.argv,
  command: read('/proc/self/cmdline'),
  heap: require('v8').getHeapStatistics().heap_size_limit,
  child: require('child_process').execSync('env; pwd').toString().split('\\n').sort(),
});
"""

JAVA = """
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
public class App {
    static String read(String path) throws IOException {
        InputStream in = new FileInputStream(path);
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (int b; (b = in.read()) >= 0; ) all.write(b);
        return new String(all.toByteArray(), StandardCharsets.UTF_8);
    }
    static List<String> list(String path) {
        List<String> names = new ArrayList<>(Arrays.asList(new File(path).list()));
        Collections.sort(names);
        return names;
    }
    public Map<String, Object> handler(Map<String, Object> event) throws Exception {
        Map<String, Object> seen = new HashMap<>();
        seen.put("variables", System.getenv());
        seen.put("directory", Files.readSymbolicLink(Paths.get("/proc/self/cwd")).toString());
        seen.put("relative", read("data.txt"));
        seen.put("absolute", new File("data.txt").getAbsolutePath());
        seen.put("path", Paths.get("data.txt").toAbsolutePath().toString());
        seen.put("above", list(".."));
        seen.put("code", list("/var/task"));
        seen.put("layers", list("/opt"));
        seen.put("temporary", list("/tmp"));
        seen.put("mounts", read("/proc/self/mounts"));
        seen.put("status", read("/proc/self/status"));
        seen.put("limits", read("/proc/self/limits"));
        seen.put("command", read("/proc/self/cmdline"));
        seen.put("heap", Runtime.getRuntime().maxMemory());
        seen.put("zone", TimeZone.getDefault().getID());
        seen.put("encoding", System.getProperty("file.encoding") + System.getProperty("user.dir"));
        ProcessBuilder builder = new ProcessBuilder("/bin/sh", "-c", "env; pwd");
        builder.environment(); // Whoever does not ask for it gets the variables of the start.
        Process child = builder.start();
        List<String> said = new ArrayList<>();
        BufferedReader lines = new BufferedReader(new InputStreamReader(child.getInputStream()));
        for (String line; (line = lines.readLine()) != null; ) said.add(line);
        Collections.sort(said);
        seen.put("child", said);
        return seen;
    }
}
"""

OWN = ("AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_LOG_STREAM_NAME", "_X_AMZN_TRACE_ID")
"""Variables that differ from one environment to the next."""

STATUS = (
    "CapEff:",
    "CapBnd:",
    "NoNewPrivs:",
    "Groups:",
    "Umask:",
    "SigIgn:",
    "SigBlk:",
    "Seccomp:",
)


EXTENSION = """#!/usr/bin/env node
const { AWS_LAMBDA_RUNTIME_API: host } = process.env;
const api = `http://${host}/2020-01-01/extension`;
(async () => {
  const registered = await fetch(`${api}/register`, {
    method: 'POST',
    headers: { 'Lambda-Extension-Name': 'watcher' },
    body: JSON.stringify({ events: ['INVOKE'] }),
  });
  const id = registered.headers.get('Lambda-Extension-Identifier');
  require('fs').writeFileSync('/tmp/watched', 'yes');
  for (;;) {
    const headers = { 'Lambda-Extension-Identifier': id };
    await (await fetch(`${api}/event/next`, { headers })).text();
  }
})();
"""


def packed(files: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            opened.writestr(entry, content)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def observers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """For each runtime the package of a function that tells what it sees."""
    made = {"node": packed({"app.js": NODE, "data.txt": "known"})}
    directory = tmp_path_factory.mktemp("java")
    (directory / "App.java").write_text(JAVA)
    subprocess.run(["javac", "App.java"], cwd=directory, check=True)
    classes: dict[str, str | bytes] = {
        each.name: each.read_bytes() for each in directory.glob("*.class")
    }
    return {**made, "java": packed({**classes, "data.txt": "known"})}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return {each: compiled(each, tmp_path_factory.mktemp(each)) for each in ("node", "java")}


@pytest.fixture(params=["node", "java"])
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    assert is_installed(name), f"{name} is not on this machine"
    return name


@asynccontextmanager
async def prepared(tmp_path: Path, **settings: Any) -> AsyncIterator[FunctionWorld]:
    async with function_world(tmp_path, **settings) as world:
        isolation = await world.invoker.launcher.settled()
        if isolation.level != "namespace":
            pytest.skip(isolation.reason)
        yield world


def deploy(world: FunctionWorld, content: bytes, runtime: str, name: str, **members: Any) -> str:
    given = {
        "runtime": IDENTIFIERS[runtime],
        "handler": "App::handler" if runtime == "java" else "app.handler",
        "memory_size_mb": 256,
        "timeout_s": 10,
        **members,
    }
    return world.deploy(content, name, **given)


async def spare(world: FunctionWorld, count: int = 1) -> None:
    await eventually(lambda: len(world.invoker.launcher.spares.ready) == count, 20)
    await eventually(lambda: len(spare_processes()) == count, 20)


async def expected(
    world: FunctionWorld, content: bytes, runtime: str, name: str = "f", **members: Any
) -> str:
    """A function that is deployed, and for which a process waits."""
    arn = deploy(world, content, runtime, name, **members)
    world.invoker.expect(name, SCOPE)
    await spare(world)
    return arn


def spare_processes() -> list[int]:
    """The processes that wait for a function, of this process's engines."""
    found = []
    for each in descendants(os.getpid()):
        try:
            words = Path(f"/proc/{each}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--spare" in words and b"python" not in words[0]:
            found.append(each)
    return found


def was_spare(seen: dict[str, Any]) -> bool:
    return "--spare" in seen["command"].split("\0")


async def test_function_sees_what_it_sees_of_a_cold_start(
    tmp_path: Path, observers: dict[str, bytes], runtime: str
) -> None:
    layer = packed({"lib/notes.txt": "x", "layered.txt": "y"})
    seen = {}
    for prestart in (False, True):
        async with prepared(tmp_path / str(prestart), prestart=prestart) as world:
            code = world.packages.store_archive(layer)
            arn = deploy(
                world,
                observers[runtime],
                runtime,
                "f",
                ephemeral_storage_mb=700,
                environment={"MINE": "own", "TZ": "Asia/Tokyo", "PATH": "/usr/bin:/bin:/mine"},
                layers=(LayerRef(arn="l", code_size=code.size_bytes, blob=code.blob),),
            )
            if prestart:
                world.invoker.expect("f", SCOPE)
                await spare(world)
            seen[prestart] = await world.answer(arn)
            # The two engines have two data directories, where Java's bootstrap lies.
            mounts = seen[prestart]["mounts"].replace(f"/{prestart}", "/engine")
            seen[prestart]["mounts"] = sorted(mount_of(line) for line in mounts.splitlines())
            assert was_spare(seen[prestart]) is prestart
    cold, taken = seen[False], seen[True]
    for each in (cold, taken):
        del each["command"]
        for name in OWN:
            each["variables"].pop(name, "")
        each["child"] = [line for line in each["child"] if not line.startswith(OWN)]
        lines = each["status"].splitlines()
        assert {line for line in lines if line.startswith("Uid:")} != {"Uid:\t0\t0\t0\t0"}
        each["status"] = [line for line in lines if line.startswith(STATUS)]
    assert cold["variables"]["MINE"] == "own"
    assert cold["directory"] == "/var/task"
    assert cold["layers"][-2:] == ["layered.txt", "lib"]
    assert any("/tmp tmpfs" in line and "size=716800k" in line for line in cold["mounts"])
    assert taken == cold


def mount_of(line: str) -> str:
    """Where a mount is, its type and its options."""
    return " ".join(line.split(" ")[1:4])


async def test_spare_process_becomes_one_function_and_another_follows(
    tmp_path: Path, observers: dict[str, bytes], runtime: str
) -> None:
    async with prepared(tmp_path) as world:
        arn = await expected(world, observers[runtime], runtime)
        before = spare_processes()
        assert was_spare(await world.answer(arn))
        assert world.invoker.launcher.spares.ready == []
        await spare_again(world, before)
        other = deploy(world, observers[runtime], runtime, "g")
        assert was_spare(await world.answer(other))


async def spare_again(world: FunctionWorld, before: list[int]) -> None:
    """Wait until others are there in the place of those."""
    ready = world.invoker.launcher.spares
    await eventually(
        lambda: len(ready.ready) == 1 and bool(set(spare_processes()) - set(before)), 20
    )


@pytest.mark.parametrize(
    "members",
    [
        {"memory_size_mb": 512},
        {"environment": {"NODE_OPTIONS": "--no-deprecation"}},
        {"environment": {"LD_LIBRARY_PATH": "/var/task"}},
        {"environment": {"LANG": "C"}},
        {"environment": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrapper"}},
    ],
    ids=["memory", "options", "libraries", "language", "wrapper"],
)
async def test_function_of_another_kind_starts_cold(
    tmp_path: Path, members: dict[str, Any]
) -> None:
    content = packed(
        {"app.js": NODE, "data.txt": "", "wrapper": '#!/bin/sh\nexec "$@"\n'},
    )
    async with prepared(tmp_path) as world:
        await expected(world, content, "node")
        other = deploy(world, content, "node", "g", **members)
        assert not was_spare(await world.answer(other))


async def test_libraries_of_the_code_are_found_because_it_starts_cold(tmp_path: Path) -> None:
    async with prepared(tmp_path) as world:
        await expected(world, packed({"app.js": NODE, "data.txt": ""}), "node")
        content = packed({"app.js": NODE, "data.txt": "", "lib/libown.so.1": "\x7fELF"})
        assert not was_spare(await world.answer(deploy(world, content, "node", "g")))


async def test_process_that_was_a_spare_fails_and_ends_as_any(
    tmp_path: Path, programs: dict[str, bytes], runtime: str
) -> None:
    async with prepared(tmp_path) as world:
        arn = await expected(world, programs[runtime], runtime, timeout_s=2)
        before = spare_processes()
        assert await world.answer(arn, {"do": "echo"}) == {"do": "echo"}
        assert before[0] in descendants(os.getpid())
        await world.invoke(arn, {"do": "print"})
        assert (await world.invoke(arn, {"do": "fail"})).function_error == "Unhandled"
        assert await world.answer(arn, {"do": "count"}) == 4
        await world.invoke(arn, {"do": "leave"})
        ended = await world.invoke(arn, {"do": "exit"})
        assert b"Runtime.ExitError" in ended.payload
        assert b"exit status 7" in ended.payload
        assert await world.answer(arn, {"do": "find"}) is True
        hung = await world.invoke(arn, {"do": "hang"})
        assert b"Task timed out after 2.00 seconds" in hung.payload
        assert await world.answer(arn, {"do": "count"}) == 1
        await eventually(lambda: before[0] not in descendants(os.getpid()))


async def test_extensions_go_with_a_process_that_was_a_spare(tmp_path: Path) -> None:
    content = packed({"app.js": NODE, "data.txt": ""})
    async with prepared(tmp_path) as world:
        code = world.packages.store_archive(packed({"extensions/watcher": EXTENSION}))
        layer = LayerRef(arn="l", code_size=code.size_bytes, blob=code.blob)
        seen = await world.answer(await expected(world, content, "node", layers=(layer,)))
        assert was_spare(seen)
        assert seen["temporary"] == ["watched"]
        assert was_spare(await world.answer(SCOPE.arn("lambda", "function:f")))


async def test_memory_of_a_process_that_was_a_spare_is_limited(
    tmp_path: Path, programs: dict[str, bytes]
) -> None:
    async with prepared(tmp_path) as world:
        arn = await expected(world, programs["node"], "node", timeout_s=20)
        taken = spare_processes()
        ended = await world.invoke(arn, {"do": "hog"})
        assert b"Runtime.ExitError" in ended.payload or b"OutOfMemory" in ended.payload
        await eventually(lambda: taken[0] not in descendants(os.getpid()))


async def test_java_starts_wherever_the_engine_has_its_data(programs: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        async with prepared(Path(directory) / "data") as world:
            cold = deploy(world, programs["java"], "java", "f")
            assert await world.answer(cold, {"do": "count"}) == 1
            taken = await expected(world, programs["java"], "java", "g")
            assert await world.answer(taken, {"do": "count"}) == 1


async def test_init_that_fails_in_a_spare_process_is_told(
    tmp_path: Path, programs: dict[str, bytes]
) -> None:
    async with prepared(tmp_path) as world:
        arn = await expected(world, programs["node"], "node", environment={"INIT": "fail"})
        failed = await world.invoke(arn, {"do": "echo"})
        assert json.loads(failed.payload)["errorMessage"] == "no init"


async def test_there_are_few_spare_processes_and_those_of_the_latest_need(
    tmp_path: Path, programs: dict[str, bytes]
) -> None:
    async with prepared(tmp_path) as world:
        for memory_mb in (128, 256, 512):
            name = f"f{memory_mb}"
            deploy(world, programs["node"], "node", name, memory_size_mb=memory_mb)
            world.invoker.expect(name, SCOPE)
        await spare(world, SPARES_MAX)
        await asyncio.sleep(0.7)
        kept = [command.argv[2] for command in world.invoker.launcher.spares.ready]
        assert sorted(kept) == ["--max-old-space-size=230", "--max-old-space-size=460"]
        assert len(spare_processes()) == SPARES_MAX


async def test_spare_process_that_nobody_needs_is_ended(
    tmp_path: Path, programs: dict[str, bytes]
) -> None:
    async with prepared(tmp_path, idle_s=2.0) as world:
        await expected(world, programs["node"], "node")
        await eventually(lambda: not spare_processes(), 6)
        assert world.invoker.launcher.spares.ready == []


async def test_spare_process_that_dies_is_replaced(
    tmp_path: Path, programs: dict[str, bytes]
) -> None:
    async with prepared(tmp_path) as world:
        arn = await expected(world, programs["node"], "node")
        dead = spare_processes()
        os.kill(dead[0], signal.SIGKILL)
        await spare_again(world, dead)
        assert await world.answer(arn, {"do": "count"}) == 1


async def test_function_is_served_when_its_spare_process_dies_unseen(
    tmp_path: Path, programs: dict[str, bytes]
) -> None:
    async with prepared(tmp_path) as world:
        arn = await expected(world, programs["node"], "node")
        os.kill(spare_processes()[0], signal.SIGKILL)
        assert await world.answer(arn, {"do": "count"}) == 1


async def test_engine_that_stops_ends_its_spare_processes(
    tmp_path: Path, programs: dict[str, bytes]
) -> None:
    async with prepared(tmp_path) as world:
        await expected(world, programs["node"], "node")
    assert spare_processes() == []
    assert Cgroups(tmp_path).names() == []


SCRIPT = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from function_world import SCOPE, function_world

async def main():
    async with function_world(Path(sys.argv[1])) as world:
        world.node("exports.handler = () => 1")
        world.invoker.expect("f", SCOPE)
        while not world.invoker.launcher.spares.ready:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        print("running", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_killed_engine_leaves_no_spare_process(tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[1])
    engine = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path), tests], stdout=subprocess.PIPE
    )
    assert engine.stdout is not None
    assert engine.stdout.readline() == b"running\n"
    started = descendants(engine.pid)
    assert len(started) >= 3
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    engine.stdout.close()
    asyncio.run(eventually(lambda: not any(is_alive(each) for each in started)))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("settings", [{"prestart": False}, {"isolation": "process"}])
async def test_nothing_is_started_ahead_where_it_is_not_to_be(
    tmp_path: Path, programs: dict[str, bytes], settings: dict[str, Any]
) -> None:
    async with function_world(tmp_path, **settings) as world:
        arn = deploy(world, programs["node"], "node", "f")
        world.invoker.expect("f", SCOPE)
        assert await world.answer(arn, {"do": "count"}) == 1
        await asyncio.sleep(0.8)
        assert spare_processes() == []
        assert world.invoker.launcher.spares.ready == []
