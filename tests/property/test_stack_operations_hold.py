"""Whatever the graph, whatever fails, whenever the engine is killed: nothing is left half there."""

import asyncio
import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fakes_stack import SCOPE, THING, StackWorld
from lamington.core.errors import AwsError

TERMINAL = {
    "CREATE_COMPLETE",
    "ROLLBACK_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "DELETE_COMPLETE",
}
Resources = dict[str, dict[str, Any]]


@st.composite
def resources(draw: st.DrawFn, *, fails: bool = True) -> Resources:
    """Up to seven resources that mention each other without a cycle, in any order."""
    names = draw(st.permutations([f"R{n}" for n in range(7)]))[: draw(st.integers(1, 7))]
    made: Resources = {}
    for place, name in enumerate(names):
        earlier = st.sampled_from(names[:place]) if place else st.nothing()
        links = draw(st.lists(earlier, max_size=3)) if place else []
        properties: dict[str, Any] = {
            "Size": draw(st.integers(1, 3)),
            "Links": [
                draw(
                    st.sampled_from(
                        [{"Ref": link}, {"Fn::GetAtt": [link, "Size"]}, {"Fn::Sub": f"${{{link}}}"}]
                    )
                )
                for link in links
            ],
        }
        if draw(st.booleans()):
            properties["Fixed"] = draw(st.integers(1, 2))
        if place and draw(st.booleans()):
            properties["Fixed"] = {"Ref": draw(earlier)}
        if fails and draw(st.integers(0, 9)) == 0:
            properties["Fail"] = draw(st.sampled_from(["create", "update"]))
        made[name] = {"Type": THING, "Properties": properties}
        if place and draw(st.integers(0, 3)) == 0:
            made[name]["DependsOn"] = [draw(earlier)]
    return dict(sorted(made.items()))


def dependencies(made: Resources) -> dict[str, set[str]]:
    """What each resource mentions, read from its text alone."""
    return {
        name: {other for other in made if other != name and f'{other}"' in json.dumps(each)}
        | {other for other in made if f"${{{other}}}" in json.dumps(each)}
        for name, each in made.items()
    }


def body(made: Resources) -> str:
    return json.dumps({"Resources": made})


async def require_whole(world: StackWorld) -> None:
    """What the rows tell is what exists, and each resource holds its resolved properties."""
    ids = set((await world.physical_ids()).values())
    existing = {} if (await world.stack())["StackStatus"] == "ROLLBACK_COMPLETE" else ids
    assert set(world.world.resources) == set(existing)


def in_world(directory: str) -> StackWorld:
    return StackWorld(Path(directory))


@settings(max_examples=60, deadline=None)
@given(resources())
def test_creates_follow_the_graph_and_failures_leave_nothing(made: Resources) -> None:
    async def run(world: StackWorld) -> None:
        status = await world.create(body(made))
        assert status in ("CREATE_COMPLETE", "ROLLBACK_COMPLETE")
        created = [name for verb, name in world.world.calls if verb == "create"]
        for name, needed in dependencies(made).items():
            if name in created:
                assert all(created.index(each) < created.index(name) for each in needed)
        await require_whole(world)
        await world.delete()
        deleted = [name for verb, name in world.world.calls if verb == "delete"]
        for name, needed in dependencies(made).items():
            for each in needed & set(deleted):
                assert name not in deleted or deleted.index(name) < deleted.index(each)
        assert world.world.resources == {}

    _run(run)


@settings(max_examples=60, deadline=None)
@given(resources(fails=False), resources(fails=False))
def test_the_plan_of_a_finished_plan_is_empty(first: Resources, second: Resources) -> None:
    async def run(world: StackWorld) -> None:
        assert await world.create(body(first)) == "CREATE_COMPLETE"
        for made in (first, second, second):
            with contextlib.suppress(AwsError):
                assert await world.update(body(made)) == "UPDATE_COMPLETE"
                assert made is second
        with pytest.raises(AwsError, match="No updates are to be performed"):
            await world.update(body(second))
        await require_whole(world)

    _run(run)


@settings(max_examples=80, deadline=None)
@given(resources(fails=False), resources())
def test_a_failed_update_gives_back_what_was(first: Resources, second: Resources) -> None:
    async def run(world: StackWorld) -> None:
        await world.create(body(first))
        before = {name: dict(each) for name, each in world.world.resources.items()}
        try:
            status = await world.update(body(second))
        except AwsError:
            return
        await require_whole(world)
        if status == "UPDATE_ROLLBACK_COMPLETE":
            assert world.world.resources == before
        else:
            assert status == "UPDATE_COMPLETE"

    _run(run)


def thing(**attributes: Any) -> dict[str, Any]:
    return {"Type": THING, "Properties": {"Size": 1}, **attributes}


@settings(max_examples=120, deadline=None)
@given(resources(fails=False), resources(), st.integers(0, 40), st.integers(0, 10))
@example(
    # A sibling of the failed create is made, and that is not yet written, at the second kill.
    {"R3": thing()},
    {
        "R0": thing(),
        "R1": thing(DependsOn=["R0"]),
        "R2": {"Type": THING, "Properties": {"Fail": "create"}, "DependsOn": ["R0"]},
    },
    1,
    6,
)
def test_a_kill_at_any_moment_leaves_nothing_half_there(
    first: Resources, second: Resources, moment: int, again: int
) -> None:
    async def run(world: StackWorld) -> None:
        await _killed(world, moment, "CreateStack", TemplateBody=body(first))
        world = await _recovered(world, again)
        await require_whole(world)
        if (await world.stack())["StackStatus"] != "CREATE_COMPLETE":
            return
        await _killed(world, moment, "UpdateStack", TemplateBody=body(second))
        world = await _recovered(world, again)
        await require_whole(world)
        stack_id = (await world.stack())["StackId"]
        await _killed(world, moment, "DeleteStack")
        world = await _recovered(world, again, stack_id)
        assert world.world.resources == {}

    _run(run)


async def _killed(world: StackWorld, moment: int, operation: str, **params: Any) -> None:
    """Begin an operation and let it come to the moment, or to its end."""
    world.world.started.clear()
    world.world.killed_at = world.world.moments + moment
    try:
        await world.call(operation, StackName="cake", **params)
    except AwsError:  # nothing to update
        return
    stack_id = (await world.stack())["StackId"]
    await _first_of(world.world.started.wait(), world.operations.wait(stack_id, SCOPE))


async def _recovered(world: StackWorld, again: int, name: str = "cake") -> StackWorld:
    """Start anew, be killed in the recovery too, and start again."""
    world = await world.restart()
    world.world.started.clear()
    world.world.killed_at = world.world.moments + again
    await _first_of(world.world.started.wait(), world.operations.recover())
    world = await world.restart()
    await world.operations.recover()
    assert (await world.stack(name))["StackStatus"] in TERMINAL
    return world


async def _first_of(*works: Any) -> None:
    tasks = [asyncio.ensure_future(work) for work in works]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _run(run: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(in_world(directory)))
