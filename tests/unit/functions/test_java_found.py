import os
from pathlib import Path

import pytest

from lamington.functions.entities import InvalidRuntimeException
from lamington.functions.java import (
    JavaBootstrap,
    JavaInstallation,
    choose_installation,
    compiler_for,
    find_installations,
    heap_mb,
    release_of,
    write_jar,
)


def java(release: int, *, compiles: bool = True, home: str = "") -> JavaInstallation:
    return JavaInstallation(
        home=Path(home or f"/jvm/{release}"),
        release=release,
        version=f"{release}.0.1",
        compiles=compiles,
    )


def install(home: Path, version: str, *, compiles: bool = True) -> Path:
    (home / "bin").mkdir(parents=True)
    (home / "release").write_text(f'IMPLEMENTOR="us"\nJAVA_VERSION="{version}"\n')
    for name in ("java", "javac") if compiles else ("java",):
        (home / "bin" / name).write_text("#!/bin/sh\n")
        (home / "bin" / name).chmod(0o755)
    return home


@pytest.mark.parametrize(
    ("version", "release"), [("1.8.0_392", 8), ("17.0.15", 17), ("25", 25), ("21-ea", 21), ("", 0)]
)
def test_release_is_read_from_a_version(version: str, release: int) -> None:
    assert release_of(version) == release


def test_installations_are_found_once_each(tmp_path: Path) -> None:
    first = install(tmp_path / "jdk-17", "17.0.15")
    install(tmp_path / "jre-21", "21.0.1", compiles=False)
    install(tmp_path / "jdk-7", "1.7.0")
    (tmp_path / "link").symlink_to(first)
    found = find_installations(
        {"JAVA_HOME": str(first), "PATH": f"/nowhere{os.pathsep}{first}/bin"}, [f"{tmp_path}/*"]
    )
    assert [(each.home.name, each.release, each.compiles) for each in found] == [
        ("jdk-17", 17, True),
        ("jre-21", 21, False),
    ]


def test_home_of_the_user_is_searched(tmp_path: Path) -> None:
    install(tmp_path / ".jdks" / "a", "21")
    assert [
        each.release for each in find_installations({"HOME": str(tmp_path)}, ["~/.jdks/*"])
    ] == [21]


def test_nearest_release_upwards_runs_a_function() -> None:
    known = [java(25), java(17), java(21)]
    assert choose_installation("java17", 17, known) == (known[1], "")
    chosen, warning = choose_installation("java11", 11, known)
    assert chosen.release == 17
    assert warning == "`java11` is not installed here: its functions run on Java 17.0.1"


def test_highest_release_runs_a_function_for_a_later_one_with_a_warning() -> None:
    chosen, warning = choose_installation("java25", 25, [java(11), java(17)])
    assert chosen.release == 17
    assert warning.endswith("; classes compiled for a release after 17 are refused")


def test_jre_runs_what_a_jdk_compiles() -> None:
    known = [java(21, compiles=False), java(17)]
    chosen, _ = choose_installation("java21", 21, known)
    assert chosen.release == 21
    assert compiler_for(chosen, known).release == 17


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ([], "The runtime `java21` needs Java, and none was found on this machine"),
        (
            [java(21, compiles=False)],
            "The runtime `java21` needs a JDK: `/jvm/21` is a JRE, without `javac`",
        ),
    ],
)
def test_machine_without_a_jdk_is_told_so(known: list[JavaInstallation], message: str) -> None:
    with pytest.raises(InvalidRuntimeException) as refused:
        choose_installation("java21", 21, known)
    assert str(refused.value) == message
    assert "install a JDK" in refused.value.hint


def test_heap_is_a_share_of_the_memory() -> None:
    assert [heap_mb(each) for each in (128, 512, 10240)] == [110, 440, 8806]


def test_command_names_heap_collector_jar_and_attention(tmp_path: Path) -> None:
    bootstrap = JavaBootstrap(java(17), java(17), tmp_path)
    assert bootstrap.argv(128, 0.0002) == (
        "/jvm/17/bin/java",
        "-Xmx110m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:-UsePerfData",
        "-jar",
        str(bootstrap.jar),
        "0.0002",
        "/opt",
    )


def test_command_uses_the_archive_once_it_is_there(tmp_path: Path) -> None:
    bootstrap = JavaBootstrap(java(17), java(17), tmp_path)
    assert bootstrap.may_archive
    bootstrap.archive.touch()
    assert f"-XX:SharedArchiveFile={bootstrap.archive}" in bootstrap.argv(128, 0.0)
    assert not bootstrap.may_archive


def test_command_of_a_spare_and_of_a_private_temporary_directory(tmp_path: Path) -> None:
    argv = JavaBootstrap(java(17), java(17), tmp_path).argv(
        128, 0.0, temporary="/private", spare=True
    )
    assert argv[-1] == "--spare"
    assert "-Djava.io.tmpdir=/private" in argv
    assert "java.base/java.util=ALL-UNNAMED" in argv


def test_old_java_makes_no_archive(tmp_path: Path) -> None:
    assert not JavaBootstrap(java(11), java(11), tmp_path).may_archive


def test_files_of_two_javas_have_two_names(tmp_path: Path) -> None:
    one = JavaBootstrap(java(17), java(17), tmp_path)
    other = JavaBootstrap(java(17, home="/elsewhere"), java(17), tmp_path)
    assert one.jar == other.jar
    assert one.archive != other.archive


def test_jar_has_the_same_bytes_for_the_same_classes(tmp_path: Path) -> None:
    (tmp_path / "classes" / "a").mkdir(parents=True)
    (tmp_path / "classes" / "a" / "B.class").write_bytes(b"class")
    write_jar(tmp_path / "one.jar", tmp_path / "classes")
    os.utime(tmp_path / "classes" / "a" / "B.class", (1, 1))
    write_jar(tmp_path / "two.jar", tmp_path / "classes")
    assert (tmp_path / "one.jar").read_bytes() == (tmp_path / "two.jar").read_bytes()
