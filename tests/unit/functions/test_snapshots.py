"""Snapshots: when they are made, who has them, and when they go; there are no processes here."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

from lamington.functions.environment import Environment, Released, State
from lamington.functions.link import InitFailure
from lamington.functions.pool import Pool
from lamington.functions.snapshots import Snapshots, VersionSnapshot

FAILURE = InitFailure(error_type="Runtime.ExitError", message="", status="error")


@dataclass
class FakeSandbox:
    is_shared: bool = False
    on_vacant: Any = None


@dataclass
class FakeProcesses:
    hindrance: str = ""
    sandbox: FakeSandbox = field(default_factory=FakeSandbox)


@dataclass(eq=False)
class FakeEnvironment:
    """Is prepared at once, or fails."""

    released: Released
    processes: Any
    failure: InitFailure | None = None
    state: State = State.RESET
    limit_s: float = 0.0

    async def prepare(self, limit_s: float) -> InitFailure | None:
        self.limit_s = limit_s
        await asyncio.sleep(0)
        if self.failure is None:
            self.state = State.PREPARED
        return self.failure

    def belong_to(self, released: Released) -> None:
        self.released = released

    async def end(self) -> None:
        self.state = State.ENDED


class World:
    """A snapshot, and the environments that were launched for it."""

    def __init__(self, hindrance: str = "", timeout_s: float = 3) -> None:
        self.launched: list[FakeEnvironment] = []
        self.hindrance = hindrance
        self.failure: InitFailure | None = None
        self.snapshots = Snapshots(limit=2)
        self.timeout_s = timeout_s
        self.snapshot = self.another()

    def another(self) -> VersionSnapshot:
        made = VersionSnapshot("f:1", self.launch, self.timeout_s, 10.0, self.snapshots.made)
        self.snapshots.add(cast(Pool, object()), made)
        return made

    def launch(self, released: Released) -> Environment:
        processes = FakeProcesses(hindrance=self.hindrance)
        self.launched.append(FakeEnvironment(released, processes, self.failure))
        return cast(Environment, self.launched[-1])


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_waits_together_waits_for_one_init() -> None:
    world = World()
    assert (
        await asyncio.gather(*(world.snapshot.template() for _ in range(3)))
        == [world.launched[0].processes] * 3
    )
    assert len(world.launched) == 1


async def test_init_has_the_longer_of_its_time_and_the_timeout() -> None:
    for timeout_s, limit_s in ((3, 130), (900, 900)):
        world = World(timeout_s=timeout_s)
        await world.snapshot.ready()
        assert world.launched[0].limit_s == limit_s


async def test_failed_init_is_told_and_tried_again_at_the_next_need() -> None:
    world = World()
    world.failure = FAILURE
    assert await world.snapshot.ready() == FAILURE
    assert world.launched[0].state is State.ENDED
    world.failure = None
    assert await world.snapshot.ready() is None


async def test_template_that_others_live_by_ends_when_they_have_gone() -> None:
    world = World()
    await world.snapshot.ready()
    environment: Any = world.launched[0]
    environment.processes.sandbox.is_shared = True
    world.snapshot.retire()
    await settle()
    assert environment.state == State.PREPARED
    environment.processes.sandbox.is_shared = False
    environment.processes.sandbox.on_vacant()
    await settle()
    assert [each.state for each in world.launched] == [State.ENDED]
    assert world.snapshot.is_over


async def test_dead_template_is_made_anew() -> None:
    world = World()
    await world.snapshot.ready()
    world.launched[0].released(cast(Environment, world.launched[0]))
    assert not world.snapshot.is_ready
    assert await world.snapshot.template() == world.launched[1].processes


async def test_what_cannot_be_copied_is_given_away_and_the_next_is_begun() -> None:
    world = World(hindrance="it has 2 threads")
    await world.snapshot.ready()
    assert await world.snapshot.template() is None
    taken = world.snapshot.take(lambda _: None)
    assert taken is cast(Environment, world.launched[0])
    await settle()
    assert world.snapshot.is_ready
    assert len(world.launched) == 2


async def test_copied_one_is_given_to_nobody() -> None:
    world = World()
    await world.snapshot.ready()
    assert world.snapshot.take(lambda _: None) is None


async def test_snapshot_unused_for_longest_makes_room() -> None:
    world = World()
    snapshots = [world.snapshot, world.another(), world.another()]
    for each in snapshots[:2]:
        await each.ready()
    snapshots[0].used_at, snapshots[1].used_at = 2.0, 1.0
    await snapshots[2].ready()
    assert [each.is_ready for each in snapshots] == [True, False, True]
    await world.snapshots.close()
    assert {each.state for each in world.launched} == {State.ENDED}
