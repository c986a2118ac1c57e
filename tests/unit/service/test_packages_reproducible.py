"""The same files give the same package; only what changed is packed again."""

import io
import os
import zipfile
from pathlib import Path

import pytest

from lamington.functions.entities import CODE_UNZIPPED_MAX_BYTES
from lamington.service.package import Builder, Packager, build, build_archive
from lamington.service.problems import ServiceInvalid
from lamington.service.project import load_project
from lamington.service.starter import create_service
from service_world import PYTHON_HANDLER, load_service, swagger, texts, write_service

FILES = {
    "functions/f/handler.py": PYTHON_HANDLER,
    "functions/f/deep/module.py": "x = 1\n",
    "functions/f/function.yaml": "Timeout: 3",
    "functions/f/__pycache__/handler.pyc": "",
    "functions/f/.git/config": "",
    "functions/f/node_modules/m/index.js": "",
    "common/shared.py": "y = 2\n",
    "common/handler.py": "overridden by the function's own",
}


def test_same_files_give_the_same_bytes_whenever_and_wherever(tmp_path: Path) -> None:
    first = load_service(tmp_path / "a", FILES)
    second = load_service(tmp_path / "b", dict(reversed(FILES.items())))
    for path in (tmp_path / "b").rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700 if path.is_dir() else 0o600)
    assert build_archive(first, first.functions[0]) == build_archive(second, second.functions[0])


def test_package_has_the_functions_files_and_the_shared_ones(tmp_path: Path) -> None:
    project = load_service(tmp_path, FILES)
    archive = zipfile.ZipFile(io.BytesIO(build_archive(project, project.functions[0])))
    assert archive.namelist() == [
        "deep/module.py",
        "handler.py",
        "node_modules/m/index.js",
        "shared.py",
    ]
    assert archive.read("handler.py").decode() == PYTHON_HANDLER
    assert {entry.external_attr >> 16 & 0o777 for entry in archive.infolist()} == {0o644}


def test_executable_file_stays_executable(tmp_path: Path) -> None:
    project = load_service(
        tmp_path, {"functions/f/handler.py": PYTHON_HANDLER, "functions/f/go": ""}
    )
    (tmp_path / "functions/f/go").chmod(0o744)
    archive = zipfile.ZipFile(io.BytesIO(build_archive(project, project.functions[0])))
    assert archive.getinfo("go").external_attr >> 16 & 0o777 == 0o755


def test_only_a_changed_function_is_packed_again(tmp_path: Path) -> None:
    files = {"functions/a.py": PYTHON_HANDLER, "functions/b.py": PYTHON_HANDLER}
    project = load_service(tmp_path, files)
    out = tmp_path / ".lamington" / "build"
    first = build(project, out)
    before = {name: (out / f"{name}.zip").stat().st_mtime_ns for name in ("a", "b")}
    (tmp_path / "functions/a.py").write_text(PYTHON_HANDLER + "# changed\n")
    second = build(project, out, packager=Packager(project.root, out))
    assert (out / "b.zip").stat().st_mtime_ns == before["b"]
    assert (out / "a.zip").stat().st_mtime_ns != before["a"]
    assert first.artifacts["b"] == second.artifacts["b"]
    assert first.artifacts["a"].key != second.artifacts["a"].key


def test_template_names_packages_by_their_content(tmp_path: Path) -> None:
    project = load_service(tmp_path, {"functions/a.py": PYTHON_HANDLER})
    built = build(project, tmp_path / "out")
    assert built.template["Resources"]["AFunction"]["Properties"]["Code"] == {
        "S3Bucket": {"Ref": "ArtifactsBucket"},
        "S3Key": f"bakery/a-{built.artifacts['a'].sha256}.zip",
    }
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.zip",
        "fingerprints.json",
        "template.json",
    ]


def test_package_over_the_limit_is_refused_with_its_largest_files(tmp_path: Path) -> None:
    project = load_service(tmp_path, {"functions/f/handler.py": PYTHON_HANDLER})
    with (tmp_path / "functions/f/model.bin").open("wb") as file:
        file.truncate(CODE_UNZIPPED_MAX_BYTES + 1)
    with pytest.raises(ServiceInvalid) as raised:
        build(project, tmp_path / "out")
    assert texts(raised.value) == [
        "functions/f: the package is too large: 262,144,047 bytes unzipped, 262,144,000 are allowed"
    ]
    assert "`model.bin`" in raised.value.hint


def test_failed_build_leaves_the_last_good_one(tmp_path: Path) -> None:
    project = load_service(tmp_path, {})
    build(project, tmp_path / "out")
    good = (tmp_path / "out/template.json").read_bytes()
    write_service(tmp_path, {"stack.yaml": "Outputs: {A: {Value: {Ref: Nope}}}"})
    with pytest.raises(ServiceInvalid):
        build(load_project(tmp_path, check_javascript=False), tmp_path / "out")
    assert (tmp_path / "out/template.json").read_bytes() == good


@pytest.mark.parametrize("runtime", ["python", "node"])
def test_new_service_builds_without_a_warning(tmp_path: Path, runtime: str) -> None:
    create_service(tmp_path / "my_service", runtime)
    project = load_project(tmp_path / "my_service", check_javascript=False)
    built = build(project, tmp_path / "out")
    assert built.name == "my-service"
    assert built.warnings == ()
    assert [(route.path, route.function) for route in built.routes] == [("/hello", "hello")]


def test_everything_wrong_is_told_in_one_build(tmp_path: Path) -> None:
    write_service(
        tmp_path,
        {
            "functions/f/handler.py": "def",
            "api.yaml": swagger("  /a:", "    get: {operationId: g}"),
            "stack.yaml": "Outputs: {A: {Value: {Ref: Nope}}}",
        },
    )
    with pytest.raises(ServiceInvalid) as raised:
        Builder(tmp_path, tmp_path / "out").build()
    files = [problem.where.file for problem in raised.value.problems if problem.where]
    assert files == ["api.yaml", "functions/f/handler.py", "stack.yaml"]


def test_builder_sees_each_change(tmp_path: Path) -> None:
    write_service(tmp_path, {"functions/f.py": PYTHON_HANDLER})
    builder = Builder(tmp_path, tmp_path / "out")
    first = builder.build()
    assert builder.build().artifacts == first.artifacts
    write_service(tmp_path, {"functions/f.py": PYTHON_HANDLER + "x = 1\n", "functions/g.py": "def"})
    with pytest.raises(ServiceInvalid):
        builder.build()
    write_service(tmp_path, {"functions/g.py": PYTHON_HANDLER})
    assert builder.build().artifacts["f"] != first.artifacts["f"]


def test_builder_makes_the_same_as_a_first_build(tmp_path: Path) -> None:
    files = {
        "functions/f.py": PYTHON_HANDLER,
        "api.yaml": swagger("  /a:", "    get: {operationId: f}"),
    }
    write_service(tmp_path, files)
    builder = Builder(tmp_path, tmp_path / "out")
    for name, text in [
        ("functions/f.py", PYTHON_HANDLER + "# changed\n"),
        ("api.yaml", files["api.yaml"] + "x-lamington-style: proxy\n"),
        ("functions/f.py", PYTHON_HANDLER),
        ("stack.yaml", "Outputs: {A: {Value: !Ref FFunction}}"),
    ]:
        builder.build()
        write_service(tmp_path, {name: text})
        again = builder.build()
        fresh = Builder(tmp_path, tmp_path / "fresh").build()
        assert again.template == fresh.template
        assert again.swagger == fresh.swagger
