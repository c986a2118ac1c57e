"""Events that were accepted are run although the engine is killed: none is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

EVENTS = 10_000

ENGINE = """
import asyncio, os, sys
from pathlib import Path
from event_world import Answer, Event
from fakes_aws import FakeAws
from lamington.core.clock import Ids, SystemClock
from lamington.core.store import Store
from lamington.functions.queue import EventQueue, EventSettings

directory, accepting = Path(sys.argv[1]), int(sys.argv[2])
append = os.O_WRONLY | os.O_APPEND | os.O_CREAT
delivered = os.open(directory / "delivered", append)
accepted = os.open(directory / "accepted", append)


class Configuration:
    def settings_of(self, function_arn):
        return EventSettings()


async def main():
    gate = asyncio.Event()

    async def attempt(event):
        await gate.wait()
        assert event.payload == b'{"id": "%s"}' % event.request_id.encode()
        os.write(delivered, event.request_id.encode() + b"\\n")
        return Answer()

    queue = EventQueue(
        store=Store(directory / "state"),
        clock=SystemClock(),
        ids=Ids(),
        attempt=attempt,
        configuration=Configuration(),
        caller=FakeAws(),
        notice=lambda *told: None,
    )
    await queue.start()
    for number in range(accepting):
        id = f"event-{number}"
        queue.put(Event(request_id=id, payload=b'{"id": "%s"}' % id.encode()))
        os.write(accepted, id.encode() + b"\\n")
        if number % 100 == 0:
            await asyncio.sleep(0)
    print(len(queue), flush=True)
    gate.set()
    while len(queue):
        await asyncio.sleep(0.01)
    await queue.close()
    print("drained", flush=True)


asyncio.run(main())
"""


def _engine(directory: Path, accepting: int) -> subprocess.Popen[str]:
    tests = str(Path(__file__).parents[1])
    source = str(Path(__file__).parents[2] / "src")
    return subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(directory), str(accepting)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{source}:{tests}"},
    )


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _kill_once(engine: subprocess.Popen[str], path: Path, count: int) -> None:
    """Kill the engine when the file has so many lines."""
    for _ in range(10_000):
        if len(_lines(path)) >= count:
            break
        assert engine.poll() is None
        time.sleep(0.001)
    engine.send_signal(signal.SIGKILL)
    engine.communicate()


def test_every_accepted_event_is_run_although_the_engine_is_killed_again_and_again(
    tmp_path: Path,
) -> None:
    accepted, delivered = tmp_path / "accepted", tmp_path / "delivered"
    engine = _engine(tmp_path, EVENTS)
    assert engine.stdout is not None
    assert engine.stdout.readline() == f"{EVENTS}\n"
    _kill_once(engine, delivered, 1000)
    for share in (4000, 7000):
        _kill_once(_engine(tmp_path, 0), delivered, share)
    last = _engine(tmp_path, 0)
    output, _ = last.communicate(timeout=20)
    assert output.endswith("drained\n")
    runs = _lines(delivered)
    assert set(runs) == set(_lines(accepted))
    assert len(set(runs)) == EVENTS
    assert len(runs) < EVENTS + 3 * 200, "what was finished is not run again"


def test_an_event_is_on_disk_before_it_is_accepted(tmp_path: Path) -> None:
    accepted, delivered = tmp_path / "accepted", tmp_path / "delivered"
    engine = _engine(tmp_path, EVENTS)
    _kill_once(engine, accepted, 500)
    answered = _lines(accepted)
    assert 500 <= len(answered) <= EVENTS
    output, _ = _engine(tmp_path, 0).communicate(timeout=20)
    assert output.endswith("drained\n")
    assert set(answered) <= set(_lines(delivered))
