"""The pages tell what the code does: what is collected is current, and nothing is left out."""

import importlib.util
import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

from documentation import DOCS, PAGES, ROOT, blocks_of, write_documented_service
from lamington.cli.main import ALIASES, commands
from lamington.core.settings import Settings
from lamington.engine.engine import Engine
from lamington.service import api
from lamington.service.definition import build_definition
from lamington.service.project import load_project

OUTSIDE = re.compile(r"(?<![\w./-])(?:/(?:home|root|work|tmp/\w+|Users|mnt)/|~/|[A-Z]:\\)")


@pytest.fixture(scope="module")
def pages() -> dict[Path, str]:
    specification = importlib.util.spec_from_file_location("collect", DOCS / "collect.py")
    assert specification is not None
    assert specification.loader is not None
    collect = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(collect)
    rendered: dict[Path, str] = collect.render_pages()
    return rendered


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(Settings(data=tmp_path))


@pytest.mark.parametrize(
    "name", ["differences.md", "settings.md", "operations.md", "resource-types.md", "cli.md"]
)
def test_collected_page_is_current(pages: dict[Path, str], name: str) -> None:
    page = DOCS / name
    assert page.read_text() == pages[page], "run `python docs/collect.py`"


def test_every_command_and_alias_is_documented() -> None:
    page = (DOCS / "cli.md").read_text()
    for name in commands.commands:
        assert f"\n## `{name}`" in page, f"docs/cli.md has no section on `{name}`"
        assert f"<!-- flags of {name}, written by docs/collect.py -->" in page
    for alias in ALIASES:
        assert f"`{alias}`" in page


def test_every_flag_says_what_it_does() -> None:
    for name, command in commands.commands.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"`lamington {name}`: {parameter.name} has no help"


def test_every_command_is_named_in_the_readme() -> None:
    listed = (ROOT / "README.md").read_text().partition("\n## Commands\n")[2]
    for name in commands.commands:
        assert f"`{name}`" in listed, f"README.md does not name `{name}`"


def test_every_setting_is_documented() -> None:
    page = (DOCS / "settings.md").read_text()
    for setting in fields(Settings):
        assert f"`LAMINGTON_{setting.name.upper()}`" in page


def test_every_operation_is_documented(engine: Engine) -> None:
    page = (DOCS / "operations.md").read_text()
    for operation in engine.operations:
        assert f"- `{operation.partition(':')[2]}`\n" in page, operation


def test_every_resource_type_is_documented(engine: Engine) -> None:
    page = (DOCS / "resource-types.md").read_text()
    for resource_type in engine.providers:
        assert f"## {resource_type}\n" in page


def test_every_key_of_ours_is_documented() -> None:
    page = (DOCS / "service.md").read_text()
    for key in api._KNOWN_KEYS:
        assert f"| `{api.OWN_KEYS}{key}` |" in page
    for key in re.findall(rf"{api.OWN_KEYS}[a-z]+", page):
        assert key.removeprefix(api.OWN_KEYS) in api._KNOWN_KEYS, f"there is no `{key}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in target and not target.startswith(("#", "mailto:")):
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_a_place_of_one_machine(page: Path) -> None:
    assert OUTSIDE.findall(page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_pages_and_directories_exist(page: Path) -> None:
    for name in re.findall(r"`((?:docs|examples|benchmarks|tests)/[\w./-]*)`", page.read_text()):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


def test_modules_that_the_architecture_names_exist() -> None:
    page = DOCS / "architecture.md"
    for name in re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", page.read_text()):
        if not name.startswith(("docs/", "tests/", ".lamington/")):
            assert (ROOT / "src" / "lamington" / name).exists(), name


def test_documented_service_builds_in_every_stage(tmp_path: Path) -> None:
    project = load_project(write_documented_service(tmp_path), check_javascript=False)
    built = build_definition(project)
    assert [(route.method, route.path, route.function) for route in built.routes] == [
        ("GET", "/books", "find"),
        ("POST", "/books/{id}/loan", "lend"),
        ("ANY", "/files/{path+}", "files"),
        ("GET", "/titles", "find"),
        ("OPTIONS", "/books", ""),
    ]
    assert built.warnings == ()
    assert [stage.stack_name for stage in project.stages] == ["library", "library-of-tests"]
    assert build_definition(project, "test").stage.parameters == {"Shelves": "2"}


def test_what_the_page_says_is_generated_is_generated(tmp_path: Path) -> None:
    project = load_project(write_documented_service(tmp_path), check_javascript=False)
    resources = set(build_definition(project, "test").template["Resources"])
    deployments = {name for name in resources if re.fullmatch("ApiDeployment[0-9a-f]+", name)}
    assert len(deployments) == 1
    functions = {
        f"{name}Function{part}"
        for name in ("Find", "Lend", "Files")
        for part in ("", "Role", "LogGroup", "Permission")
    }
    stage = {"Api", "ApiStage", "ApiAccount", "ApiAccountRole"}
    assert resources - deployments == functions | stage | {"Loans"}


def test_every_named_block_is_part_of_the_service() -> None:
    named = {block.file for block in blocks_of(DOCS / "service.md") if block.language != "sh"}
    assert "" not in named, "each block of docs/service.md says which file it is of"
