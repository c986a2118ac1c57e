import io
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamington.core.store import Store
from lamington.functions.entities import (
    CODE_UNZIPPED_MAX_BYTES,
    InvalidParameterValueException,
    LayerRef,
    RequestEntityTooLargeException,
)
from lamington.functions.packages import Packages


@pytest.fixture
def packages(tmp_path: Path) -> Iterator[Packages]:
    store = Store(tmp_path)
    yield Packages(store)
    store.close()


def archive(*entries: tuple[str, bytes, int]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content, mode in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            opened.writestr(entry, content)
    return buffer.getvalue()


def test_code_is_unpacked_once_and_read_only(packages: Packages) -> None:
    code = packages.store_archive(archive(("pkg/app.py", b"x = 1", 0o100644)))
    root = packages.task_root(code)
    assert (root / "pkg/app.py").read_bytes() == b"x = 1"
    assert stat.S_IMODE((root / "pkg/app.py").stat().st_mode) == 0o444
    assert packages.task_root(code) == root


def test_executables_stay_executable(packages: Packages) -> None:
    root = packages.task_root(packages.store_archive(archive(("run", b"", 0o100755))))
    assert stat.S_IMODE((root / "run").stat().st_mode) == 0o555


def test_hash_is_that_of_the_archive(packages: Packages) -> None:
    content = archive(("app.py", b"", 0))
    code = packages.store_archive(content)
    assert (code.size_bytes, len(code.sha256_base64)) == (len(content), 44)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut short"])
def test_what_is_no_archive_is_refused_in_awss_words(packages: Packages, content: bytes) -> None:
    with pytest.raises(InvalidParameterValueException) as refused:
        packages.store_archive(content)
    assert refused.value.message == (
        "Could not unzip uploaded file. Please check your file, then try to upload again."
    )


def test_empty_archive_is_refused(packages: Packages) -> None:
    with pytest.raises(InvalidParameterValueException):
        packages.store_archive(archive())


@pytest.mark.parametrize("name", ["../out.py", "a/../../out.py", "/etc/out.py"])
def test_entry_outside_of_the_package_is_refused(packages: Packages, name: str) -> None:
    with pytest.raises(InvalidParameterValueException):
        packages.store_archive(archive((name, b"", 0)))


def test_link_inside_of_the_package_is_kept(packages: Packages) -> None:
    code = packages.store_archive(
        archive(("lib/a.py", b"1", 0o100644), ("b.py", b"lib/a.py", 0o120777))
    )
    assert (packages.task_root(code) / "b.py").read_bytes() == b"1"


@pytest.mark.parametrize("destination", [b"/etc/passwd", b"../../x", b".."])
def test_link_outside_of_the_package_is_refused(packages: Packages, destination: bytes) -> None:
    code = packages.store_archive(archive(("lib", destination, 0o120777)))
    with pytest.raises(InvalidParameterValueException):
        packages.task_root(code)


def test_link_is_no_way_for_other_entries(packages: Packages) -> None:
    code = packages.store_archive(archive(("lib", b".", 0o120777), ("lib/up", b"..", 0o120777)))
    with pytest.raises(InvalidParameterValueException):
        packages.task_root(code)


def test_refused_code_leaves_nothing_behind(packages: Packages, tmp_path: Path) -> None:
    code = packages.store_archive(archive(("lib", b"/etc", 0o120777)))
    with pytest.raises(InvalidParameterValueException):
        packages.task_root(code)
    assert list((tmp_path / "tasks").iterdir()) == []


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (52_428_801, "Zipped size must be smaller than 52428800 bytes"),
        (
            52_700_000,
            "Request must be smaller than 70167211 bytes for the UpdateFunctionCode operation",
        ),
    ],
)
def test_upload_over_the_limit_is_refused(packages: Packages, size: int, message: str) -> None:
    with pytest.raises(RequestEntityTooLargeException) as refused:
        packages.store_upload(bytes(size), "UpdateFunctionCode")
    assert refused.value.message == message


def test_unzipped_size_over_the_limit_is_refused(packages: Packages) -> None:
    with pytest.raises(InvalidParameterValueException) as refused:
        packages.store_archive(archive(("big", bytes(CODE_UNZIPPED_MAX_BYTES + 1), 0)))
    assert refused.value.message == "Unzipped size must be smaller than 262144000 bytes"


def layer(packages: Packages, *entries: tuple[str, bytes, int]) -> LayerRef:
    code = packages.store_archive(archive(*entries))
    arn = f"arn:aws:lambda:us-east-1:111111111111:layer:l{code.blob[:8]}:1"
    return LayerRef(arn=arn, code_size=code.size_bytes, blob=code.blob)


def test_no_layers_have_no_directory(packages: Packages) -> None:
    assert packages.layers_root(()) is None


def test_later_layers_overwrite_earlier_ones(packages: Packages) -> None:
    first = layer(packages, ("python/a.py", b"1", 0o100644), ("bin/run", b"1", 0o100755))
    second = layer(packages, ("python/a.py", b"2", 0o100644), ("python/b.py", b"2", 0o100644))
    root, reversed_root = (
        packages.layers_root((first, second)),
        packages.layers_root((second, first)),
    )
    assert root is not None
    assert reversed_root is not None
    assert (root / "python/a.py").read_bytes() == b"2"
    assert (root / "python/b.py").read_bytes() == b"2"
    assert stat.S_IMODE((root / "bin/run").stat().st_mode) == 0o555
    assert (reversed_root / "python/a.py").read_bytes() == b"1"
    assert packages.layers_root((first, second)) == root


def test_a_layer_may_turn_a_file_into_a_directory_and_back(packages: Packages) -> None:
    as_file = layer(packages, ("thing", b"1", 0o100644))
    as_directory = layer(packages, ("thing/inner", b"2", 0o100644))
    as_link = layer(packages, ("other", b"3", 0o100644), ("thing", b"other", 0o120777))
    for last, path, content in (
        (as_file, "thing", b"1"),
        (as_directory, "thing/inner", b"2"),
        (as_link, "thing", b"3"),
    ):
        others = [each for each in (as_file, as_directory, as_link) if each is not last]
        root = packages.layers_root((*others, last))
        assert root is not None
        assert (root / path).read_bytes() == content


def test_links_of_two_layers_do_not_lead_out_together(packages: Packages) -> None:
    first = layer(packages, ("a", b"d/../x", 0o120777))
    second = layer(packages, ("d", b".", 0o120777))
    assert packages.layers_root((first,)) is not None
    with pytest.raises(InvalidParameterValueException):
        packages.layers_root((first, second))


def test_layers_together_have_the_limit_of_one_package(packages: Packages) -> None:
    size = CODE_UNZIPPED_MAX_BYTES // 2 + 1
    layers = [layer(packages, (f"big{number}", bytes(size), 0)) for number in range(2)]
    with pytest.raises(InvalidParameterValueException, match=r"^Unzipped size must be smaller"):
        packages.layers_root(layers)


def test_unused_layers_are_removed(packages: Packages) -> None:
    used, unused = (layer(packages, ("a.py", text, 0)) for text in (b"1", b"2"))
    kept, gone = packages.layers_root((used,)), packages.layers_root((unused,))
    assert kept is not None
    assert gone is not None
    packages.remove_unused(frozenset({used.blob}), [(used,)])
    assert (kept.exists(), gone.exists()) == (True, False)


def test_unused_code_is_removed(packages: Packages) -> None:
    used = packages.store_archive(archive(("a.py", b"1", 0)))
    unused = packages.store_archive(archive(("a.py", b"2", 0)))
    kept, gone = packages.task_root(used), packages.task_root(unused)
    packages.remove_unused(frozenset({used.blob}))
    assert (kept.exists(), gone.exists()) == (True, False)
