"""The watch on a service's files: each way of saving is told once, and nothing else is."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lamington.cli.watch import Watch

TOLD_WITHIN_S = 5.0
SILENT_FOR_S = 0.3


@pytest.fixture
async def watch(tmp_path: Path) -> AsyncIterator[Watch]:
    (tmp_path / "functions" / "hello").mkdir(parents=True)
    (tmp_path / ".lamington" / "state").mkdir(parents=True)
    (tmp_path / "functions" / "hello" / "handler.py").write_text("first")
    watch = Watch(tmp_path)
    yield watch
    watch.close()


async def told(watch: Watch) -> set[str]:
    async with asyncio.timeout(TOLD_WITHIN_S):
        async for changes in watch.changes():
            return {str(path) for path in changes}
    raise AssertionError("the watch has ended")


async def test_written_file_is_told(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "functions" / "hello" / "handler.py").write_text("second")
    assert await told(watch) == {"functions/hello/handler.py"}


async def test_file_that_is_replaced_by_another_is_told(watch: Watch, tmp_path: Path) -> None:
    temporary = tmp_path / "functions" / "hello" / ".handler.py.tmp"
    temporary.write_text("second")
    temporary.rename(tmp_path / "functions" / "hello" / "handler.py")
    assert await told(watch) == {"functions/hello/handler.py"}


async def test_changes_at_once_are_told_at_once(watch: Watch, tmp_path: Path) -> None:
    for name in ("one.py", "two.py", "three.py"):
        (tmp_path / "functions" / "hello" / name).write_text(name)
    expected = {f"functions/hello/{name}.py" for name in ("one", "two", "three")}
    assert await told(watch) == expected


async def test_new_directory_is_followed(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "functions" / "new" / "deep").mkdir(parents=True)
    (tmp_path / "functions" / "new" / "deep" / "handler.py").write_text("first")
    assert "functions/new/deep/handler.py" in await told(watch)
    (tmp_path / "functions" / "new" / "deep" / "handler.py").write_text("second")
    assert await told(watch) == {"functions/new/deep/handler.py"}


async def test_deleted_file_is_told(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "functions" / "hello" / "handler.py").unlink()
    assert await told(watch) == {"functions/hello/handler.py"}


@pytest.mark.parametrize(
    "name", [".lamington/state/engine.db", "functions/hello/handler.py~", "api.yaml.swp", ".env"]
)
async def test_what_is_not_the_services_is_passed_over(
    watch: Watch, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("not a part of the service")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(told(watch), SILENT_FOR_S)
