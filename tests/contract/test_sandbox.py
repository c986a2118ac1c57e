"""Real processes in real sandboxes: what they see, what they cannot do, how they end."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lamington.functions.cgroups import Cgroups
from lamington.functions.sandbox import Sandbox
from sandbox_world import Process, SandboxWorld, function_variables

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["namespace", "process"])
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[SandboxWorld]:
    wanted = "auto" if request.param == "namespace" else "process"
    async with SandboxWorld(tmp_path, wanted) as made:
        made.open()
        if made.launcher.isolation.level != request.param:
            pytest.skip(made.launcher.isolation.reason)
        yield made


@pytest.fixture
def walled(world: SandboxWorld) -> SandboxWorld:
    if world.launcher.isolation.level != "namespace":
        pytest.skip("without namespaces the machine's files are seen")
    return world


async def until(claim: str, holds: object, limit_s: float = 5.0) -> None:
    """Wait for what another process brings about."""
    assert callable(holds)
    ends = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < ends, claim
        await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def started_by(pid: int) -> set[int]:
    """A process and all that it, and what it has started, have started."""
    children: dict[int, list[int]] = {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(each.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(each.parent.name))
    found, left = {pid}, [pid]
    while left:
        of_it = children.get(left.pop(), [])
        found.update(of_it)
        left += of_it
    return found


# What a process sees


async def test_code_is_read_only(world: SandboxWorld) -> None:
    if os.geteuid() == 0 and not world.launcher.isolation.own_users:
        pytest.skip("the superuser writes wherever it likes")
    if world.launcher.isolation.level == "process" and os.geteuid() != 0:
        pytest.skip("the code is the user's own")
    process = await world.process()
    code = """
try:
    open(os.environ['LAMBDA_TASK_ROOT'] + '/new', 'w')
except OSError as error:
    answer = error.errno
"""
    assert await process.run(code) in (1, 13, 30)


FILES = "[each.name for each in os.scandir(os.environ['TMPDIR']) if each.is_file()]"
"""What is in /tmp, but for directories: a checkout of this project there is seen, read-only."""


async def test_tmp_is_private(world: SandboxWorld) -> None:
    first, second = await world.process(), await world.process()
    await first.run("open(os.environ['TMPDIR'] + '/mine', 'w').close()")
    assert await first.run(f"answer = {FILES}") == ["mine"]
    assert await second.run(f"answer = {FILES}") == []


async def test_tmp_is_full_at_its_size_and_not_before(walled: SandboxWorld) -> None:
    filler = await walled.process(walled.open(memory_mb=128, storage_mb=300))
    other = await walled.process()
    code = """
import errno
written = 0
try:
    with open('/tmp/file', 'wb', 0) as file:
        while True:
            written += file.write(bytes(1 << 20))
except OSError as error:
    answer = [written >> 20, errno.errorcode[error.errno]]
"""
    assert await filler.run(code) == [300, "ENOSPC"]
    assert filler.sandbox.out_of_memory is False
    assert await other.run("answer = open('/tmp/x', 'wb', 0).write(bytes(1000))") == 1000


async def test_tmp_survives_a_reset_and_globals_do_not(world: SandboxWorld) -> None:
    first = await world.process()
    await first.run("kept.append(1); open(os.environ['TMPDIR'] + '/left', 'w').close()")
    first.process.kill()
    assert await first.ended() == "signal: killed"
    second = await world.process(first.sandbox)
    code = f"answer = [{FILES}, kept]"
    assert await second.run(code) == [["left"], []]


async def test_only_awss_places_and_programs_are_seen(walled: SandboxWorld) -> None:
    (walled.data / "secret").write_text("of the engine")
    process = await walled.process()
    seen = await process.run(
        f"answer = [os.path.exists(p) for p in ({str(walled.data / 'secret')!r}, '/boot', '/sys',"
        " '/srv', '/hidden', '/sandbox')]"
    )
    assert seen == [False] * 6
    places = ["lang", "runtime", "task", "tmp"]
    assert await process.run("answer = sorted(os.listdir('/var'))") == places
    assert await process.run("answer = os.listdir('/var/task')") == ["app.py"]
    home = "answer = os.listdir('/root') if os.path.exists('/root') else []"
    assert set(await process.run(home)) <= {".pyenv", ".local"}


async def test_root_and_its_places_are_read_only(walled: SandboxWorld) -> None:
    process = await walled.process()
    code = """
answer = []
for place in ('/', '/var/task', '/opt', '/var/runtime', '/usr', '/etc', '/dev', '/var/tmp', '/run'):
    try:
        open(place + '/new', 'w').close()
        answer.append(place)
    except OSError:
        pass
"""
    assert await process.run(code) == []


async def test_user_is_awss_and_has_no_privileges(walled: SandboxWorld) -> None:
    process = await walled.process()
    assert (await process.run("import pwd; answer = pwd.getpwuid(os.getuid()).pw_name")).startswith(
        "sbx_user1"
    )
    status = await process.run("answer = open('/proc/self/status').read()")
    for name in ("CapPrm", "CapEff", "CapAmb", "CapInh"):
        assert f"{name}:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


async def test_other_processes_are_not_seen(walled: SandboxWorld) -> None:
    await walled.process()
    process = await walled.process()
    code = "answer = sorted(int(n) for n in os.listdir('/proc') if n.isdigit())"
    assert await process.run(code) == [1, 2]
    code = """
answer = []
for what in ('environ', 'root', 'cwd', 'fd', 'maps', 'mem'):
    try:
        os.listdir('/proc/1/' + what) if what in ('root', 'cwd', 'fd') else open('/proc/1/' + what)
        answer.append(what)
    except OSError:
        pass
"""
    assert await process.run(code) == []


async def test_variables_are_those_given_and_no_others(world: SandboxWorld) -> None:
    os.environ["OF_THE_HOST"] = "leaks"
    process = await world.process(GREETING="hello")
    given = {*function_variables(process.sandbox), "GREETING"}
    assert set(await process.run("answer = dict(os.environ)")) == given
    code = "import subprocess; answer = subprocess.check_output('env', text=True)"
    shown = (await process.run(code)).splitlines()
    assert {each.partition("=")[0] for each in shown} - {"LC_CTYPE"} == given


async def test_process_holds_only_what_is_its_own(world: SandboxWorld) -> None:
    process = await world.process()
    code = "answer = sorted(int(n) for n in os.listdir('/proc/self/fd'))[:-1]"
    assert await process.run(code) == [0, 1, 2, 3]


async def test_limits_are_awss(world: SandboxWorld) -> None:
    process = await world.process()
    code = """
import resource
answer = [resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE)]
"""
    assert await process.run(code) == [[1024, 1024], [0, 0]]


async def test_modules_come_in_awss_order(world: SandboxWorld, tmp_path: Path) -> None:
    layer = world.data / "layers"
    (layer / "python").mkdir(parents=True)
    (layer / "python" / "of_a_layer.py").write_text("name = 'layer'")
    (world.code / "six.py").write_text("__name__ = 'own'")
    process = await world.process(world.open(layers=layer))
    code = "import six, of_a_layer, jmespath; answer = [six.__name__, of_a_layer.name]"
    assert await process.run(code) == ["own", "layer"]
    code = "import jmespath; answer = jmespath.__file__"
    assert await process.run(code) == f"{process.sandbox.runtime_root}/jmespath/__init__.py"
    path = await process.run("answer = sys.path")
    version = f"python3.{sys.version_info.minor}"
    opt = process.sandbox.layers_root
    expected = [process.sandbox.task_root, f"{opt}/python/lib/{version}/site-packages"]
    assert path[:3] == [*expected, f"{opt}/python"]
    assert path[-1] == process.sandbox.runtime_root


async def test_network_names_certificates_and_time_zones_are_there(world: SandboxWorld) -> None:
    process = await world.process()
    code = """
import socket, ssl, zoneinfo
with socket.create_server(('127.0.0.1', 0)) as server:
    socket.create_connection(server.getsockname()).close()
answer = [socket.gethostbyname('localhost'), os.path.exists('/etc/resolv.conf'),
          zoneinfo.ZoneInfo('Europe/Rome').key, bool(ssl.create_default_context())]
"""
    assert await process.run(code) == ["127.0.0.1", True, "Europe/Rome", True]


async def test_process_is_executed_where_a_fork_would_not_do(world: SandboxWorld) -> None:
    process = await world.process(PYTHONHASHSEED="7")
    command = (await process.run("answer = open('/proc/self/cmdline').read()")).split("\0")
    assert command[-2].endswith("start.py")
    assert await process.run("answer = os.getcwd()") == process.sandbox.task_root


async def test_any_program_gets_its_channel_as_descriptor_3(world: SandboxWorld) -> None:
    sandbox = world.open()
    ended = asyncio.get_running_loop().create_future()
    process = sandbox.spawn(
        ["/bin/sh", "-c", "echo said; echo heard >&3; exit 7"],
        {"PATH": "/bin"},
        lambda: ended.set_result(None),
    )
    async with asyncio.timeout(10):
        assert await asyncio.get_running_loop().sock_recv(process.channel, 99) == b"heard\n"
        await ended
    process.channel.close()
    assert process.read_output() == b"said\n"
    process.close_output()
    assert process.exit_text == "exit status 7"


async def test_programs_outside_of_usr_are_shown_at_their_place(world: SandboxWorld) -> None:
    tool = world.data.parent / "programs" / "tool"
    (tool / "bin").mkdir(parents=True)
    (tool / "bin" / "greet").write_text("#!/bin/sh\necho hello\n")
    (tool / "bin" / "greet").chmod(0o755)
    running = await world.process()
    process = await world.process(world.open(programs=(str(tool),)))
    code = f"import subprocess; answer = subprocess.check_output('{tool}/bin/greet', text=True)"
    assert await process.run(code) == "hello\n"
    assert await running.run("answer = 1") == 1


async def test_code_outside_of_the_data_directory_is_found(walled: SandboxWorld) -> None:
    code = walled.data.parent / "elsewhere"
    code.mkdir()
    (code / "app.py").write_text("def handler(event, context):\n    return __file__\n")
    walled.code = code
    process = await walled.process()
    assert await process.run("") == "/var/task/app.py"
    assert not process.sandbox.failure


async def test_sandbox_that_cannot_be_made_says_why(walled: SandboxWorld) -> None:
    walled.code = walled.data / "no" / "such"
    ended = asyncio.get_running_loop().create_future()
    process = walled.open().spawn(["/bin/true"], {}, lambda: ended.set_result(None))
    async with asyncio.timeout(10):
        await ended
    process.channel.close()
    assert (
        b"The sandbox could not be made: [Errno 2] mount /sandbox/var/task" in process.read_output()
    )
    process.close_output()
    assert process.exit_text == "signal: killed"


async def test_missing_program_ends_with_127(world: SandboxWorld) -> None:
    ended = asyncio.get_running_loop().create_future()
    process = world.open().spawn(["/no/such"], {}, lambda: ended.set_result(None))
    async with asyncio.timeout(10):
        await ended
    process.channel.close()
    assert process.exit_text == "exit status 127"
    assert process.read_output() == b"/no/such: No such file or directory\n"


async def test_clean_exit_runs_what_was_registered_and_has_no_text(world: SandboxWorld) -> None:
    process = await world.process()
    await process.send("import atexit; atexit.register(print, 'bye'); sys.exit(0)")
    assert await process.ended() == ""
    assert process.process.read_output() == b"bye\n"


# What a process cannot do


async def test_memory_in_one_piece_ends_the_process_and_nobody_else(world: SandboxWorld) -> None:
    other = await world.process()
    hog = await world.process()
    await hog.send("held = bytearray(900 << 20); time.sleep(5)")
    assert await hog.ended() == "signal: killed"
    assert hog.sandbox.out_of_memory
    assert hog.sandbox.memory_kb() == 128 * 1024
    assert await other.run("answer = 1") == 1
    again = await world.process(hog.sandbox)
    assert await again.run("answer = 2") == 2
    assert not hog.sandbox.out_of_memory


async def test_memory_by_and_by_ends_the_process_within_its_size(world: SandboxWorld) -> None:
    other = await world.process()
    hog = await world.process()
    hog.sandbox.thaw()
    await hog.send("while True: kept.append(bytearray(b'x') * (1 << 20)); time.sleep(0.002)")
    began = time.monotonic()
    assert await hog.ended() == "signal: killed"
    assert time.monotonic() - began < 3
    assert hog.sandbox.out_of_memory
    assert await other.run("answer = 1") == 1


async def test_memory_of_children_counts(world: SandboxWorld) -> None:
    hog = await world.process()
    await hog.send(
        "import subprocess;"
        " subprocess.run([sys.executable, '-S', '-c', 'b = bytearray(700 << 20); input()'],"
        " stdin=subprocess.PIPE) if False else os.fork() or (kept.append(bytearray(700 << 20)),"
        " time.sleep(9)); time.sleep(9)"
    )
    assert await hog.ended() == "signal: killed"
    assert hog.sandbox.out_of_memory


async def test_fork_bomb_stays_in_its_sandbox_and_goes_with_it(world: SandboxWorld) -> None:
    other = await world.process()
    bomb = await world.process(world.open(memory_mb=10_240))
    code = """
os.nice(19)
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.01)
"""
    await bomb.send(code)
    await asyncio.sleep(0.7)
    assert 100 < len(started_by(bomb.sandbox.pid)) <= 1030
    if world.launcher.isolation.own_users or world.launcher.isolation.level == "namespace":
        # Else all functions are one user's, and the limit of processes is that user's.
        assert await other.run("answer = os.fork() or os._exit(0) or 0") != 0
    assert await other.run("answer = 1") == 1
    began = time.monotonic()
    bomb.process.kill()
    assert await bomb.ended() == "signal: killed"
    assert time.monotonic() - began < 10
    assert started_by(bomb.sandbox.pid) == {bomb.sandbox.pid}
    again = await world.process(bomb.sandbox)
    assert await again.run("answer = 1") == 1


async def test_process_that_ignores_signals_is_ended(world: SandboxWorld) -> None:
    process = await world.process()
    await process.send(
        "for n in range(1, 32):\n"
        "    if n not in (9, 19): signal.signal(n, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\nwhile True: pass"
    )
    await until("it is busy", process.process.has_output)
    process.process.kill()
    assert await process.ended() == "signal: killed"


async def escape(process: Process) -> None:
    """Start something that has left the session, its parent and all signals behind."""
    code = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for n in (1, 2, 15, 17):
            signal.signal(n, signal.SIG_IGN)
        os.execv('/bin/sleep', ['escaped-sleep', '3600'])
    os._exit(0)
os.wait()
"""
    await process.run(code)
    await until("it has escaped", lambda: escaped(process.sandbox))


def escaped(sandbox: Sandbox) -> list[int]:
    """Those that have escaped, of this sandbox: they are in its first process's tree."""
    found = []
    for pid in started_by(sandbox.pid) - {sandbox.pid}:
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"escaped-sleep"):
                found.append(pid)
        except OSError:
            continue
    return found


async def test_escaped_child_is_ended_with_the_process(world: SandboxWorld) -> None:
    process = await world.process()
    await escape(process)
    process.process.kill()
    await process.ended()
    await until("nothing is left", lambda: not escaped(process.sandbox))


async def test_escaped_child_is_ended_when_the_process_exits(world: SandboxWorld) -> None:
    process = await world.process()
    await escape(process)
    await process.send("os._exit(3)")
    assert await process.ended() == "exit status 3"
    await until("nothing is left", lambda: not escaped(process.sandbox))


async def test_one_of_two_processes_ends_alone(world: SandboxWorld) -> None:
    sandbox = world.open()
    ended = asyncio.get_running_loop().create_future()
    extension = sandbox.spawn(
        ["/bin/sleep", "600"], {}, lambda: ended.set_result(None), channel=False
    )
    process = await world.process(sandbox)
    await escape(process)
    process.process.kill()
    await process.ended()
    assert extension.running
    extension.kill()
    async with asyncio.timeout(5):
        await ended
    await until("nothing is left", lambda: not escaped(sandbox))


async def test_frozen_process_stands_still_until_it_is_thawed(world: SandboxWorld) -> None:
    process = await world.process()
    await process.send("for n in range(200): print(n, flush=True); time.sleep(0.005)")
    await until("it runs", process.process.has_output)
    process.sandbox.freeze()
    await asyncio.sleep(0.05)
    process.process.read_output()
    await asyncio.sleep(0.1)
    assert not process.process.has_output()
    process.sandbox.thaw()
    await until("it goes on", process.process.has_output)


# How all of it ends


async def test_closed_sandbox_leaves_nothing(world: SandboxWorld) -> None:
    process = await world.process()
    await escape(process)
    directory = world.data / "environments" / "2"
    await process.sandbox.close()
    assert process.process.exit_text == "signal: killed"
    assert not escaped(process.sandbox)
    assert not directory.exists()


async def test_killed_zygote_is_replaced_and_what_runs_lives_on(world: SandboxWorld) -> None:
    first = await world.process()
    zygote = next(iter(world.launcher._zygotes.values()))
    zygote.process.kill()
    second = await world.process()
    assert await first.run("answer = 1") == 1
    assert await second.run("answer = 2") == 2
    third = await world.process()
    assert await third.run("answer = 3") == 3


async def test_sandbox_whose_zygote_died_before_it_began_is_made_anew(world: SandboxWorld) -> None:
    zygote = next(iter(world.launcher._zygotes.values()))
    await until("a spare one is there", lambda: zygote.spare is not None)
    os.kill(zygote.process.pid, signal.SIGSTOP)
    world.open()
    process = world.prepare()
    beginning = asyncio.ensure_future(process.begin())
    await asyncio.sleep(0.05)
    zygote.process.kill()
    await beginning
    assert await process.run("answer = 1") == 1


async def test_sandbox_whose_first_process_was_killed_is_made_anew(world: SandboxWorld) -> None:
    process = await world.process()
    os.kill(process.sandbox.pid, signal.SIGKILL)
    assert await process.ended() == "signal: killed"
    again = await world.process(process.sandbox)
    assert await again.run("answer = kept") == []


async def test_isolation_is_told_when_it_was_tried(tmp_path: Path) -> None:
    async with SandboxWorld(tmp_path, "auto") as world:
        assert (await world.launcher.settled()).level in ("namespace", "process")
    async with SandboxWorld(tmp_path / "2", "process") as world:
        assert (await world.launcher.settled()).reason == "the setting `isolation` says so"


async def test_sandboxes_come_in_a_burst(world: SandboxWorld) -> None:
    processes = await asyncio.gather(*(world.process() for _ in range(30)))
    answers = await asyncio.gather(*(each.run("answer = os.getpid()") for each in processes))
    assert len(answers) == 30
    if world.launcher.isolation.level == "namespace":
        assert set(answers) == {2}


ENGINE = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = [{tests!r}, {source!r}]
from sandbox_world import SandboxWorld
async def main():
    world = SandboxWorld(Path({directory!r}), {isolation!r})
    await world.launcher.start()
    busy = await world.process()
    await busy.send("signal.signal(15, signal.SIG_IGN)\\nwhile True: pass")
    stray = await world.process()
    await stray.run('''if os.fork() == 0:
    os.setsid()
    os.fork() or os.execv('/bin/sleep', ['escaped-sleep', '3600'])
    os._exit(0)
os.wait()''')
    print(busy.process.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.parametrize("isolation", ["auto", "process"])
async def test_killed_engine_leaves_nothing(tmp_path: Path, isolation: str) -> None:
    script = ENGINE.format(
        tests=str(ROOT / "tests"),
        source=str(ROOT / "src"),
        directory=str(tmp_path),
        isolation=isolation,
    )
    engine = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)  # noqa: ASYNC220
    assert engine.stdout is not None
    busy = int(engine.stdout.readline())
    started = started_by(engine.pid)
    assert busy in started
    assert len(started) >= 7
    engine.kill()
    engine.wait()
    engine.stdout.close()
    await until("all are gone", lambda: not any(alive(each) for each in started))
    groups = Cgroups((tmp_path / "data").resolve())
    groups.end_leftovers()
    assert groups.names() == []


NOBODY = 65_534
UNPRIVILEGED = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = {path!r}
from sandbox_world import SandboxWorld
async def main():
    async with SandboxWorld(Path({directory!r}), {isolation!r}) as world:
        process = await world.process()
        print(world.launcher.isolation.level, await process.run("answer = os.getuid()"))
        print(await process.run("answer = os.path.isdir({directory!r})"))
        await process.send("kept.append(b'x' * (400 << 20)); time.sleep(9)")
        print(await process.ended(), process.sandbox.out_of_memory)
        print(await (await world.process(process.sandbox)).run("answer = len(kept)"))
asyncio.run(main())
"""


@pytest.mark.parametrize("isolation", ["auto", "process"])
def test_engine_needs_no_privileges(tmp_path: Path, isolation: str) -> None:
    system = Path("/usr/bin/python3")
    if os.geteuid() != 0 or not system.exists():
        pytest.skip("the whole suite ran without privileges, or cannot lose them")
    directory = Path(tempfile.mkdtemp(prefix="lamington-"))
    os.chown(directory, NOBODY, NOBODY)
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    packages = [each for each in sys.path if each.endswith("site-packages")]
    script = UNPRIVILEGED.format(
        path=[str(ROOT / "tests"), str(ROOT / "src"), *packages],
        directory=str(directory),
        isolation=isolation,
    )
    command = [str(system), "-c", script]
    version = subprocess.check_output([system, "-c", "import sys; print(*sys.version_info[:2])"])
    if version.decode().split() != own.split("."):
        pytest.skip("the system's Python is another one than ours")
    try:
        ended = subprocess.run(
            command,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        shutil.rmtree(directory)
    assert ended.stderr == ""
    said = ended.stdout.splitlines()
    if said[0] == "namespace 1051":
        assert said[1] == "False"
    else:
        assert said[:2] == [f"process {NOBODY}", "True"]
    assert said[2:] == ["signal: killed True", "0"]
