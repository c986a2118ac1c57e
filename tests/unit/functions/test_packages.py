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


def test_upload_over_the_limit_is_refused(packages: Packages) -> None:
    with pytest.raises(RequestEntityTooLargeException):
        packages.store_archive(archive(("app.py", b"x", 0)), bytes_max=10)


def test_unzipped_size_over_the_limit_is_refused(packages: Packages) -> None:
    with pytest.raises(InvalidParameterValueException) as refused:
        packages.store_archive(archive(("big", bytes(CODE_UNZIPPED_MAX_BYTES + 1), 0)))
    assert refused.value.message == "Unzipped size must be smaller than 262144000 bytes"


def test_unused_code_is_removed(packages: Packages) -> None:
    used = packages.store_archive(archive(("a.py", b"1", 0)))
    unused = packages.store_archive(archive(("a.py", b"2", 0)))
    kept, gone = packages.task_root(used), packages.task_root(unused)
    packages.remove_unused(frozenset({used.blob}))
    assert (kept.exists(), gone.exists()) == (True, False)
