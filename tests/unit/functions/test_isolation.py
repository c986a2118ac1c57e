"""What is said of a machine's isolation, and of how a process has ended."""

import signal

import pytest

from lamington.functions.isolation import Isolation, exit_text


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, ""),
        (1 << 8, "exit status 1"),
        (127 << 8, "exit status 127"),
        (signal.SIGKILL, "signal: killed"),
        (signal.SIGSEGV | 0x80, "signal: segmentation fault"),
        (signal.SIGABRT, "signal: aborted"),
        (40, "signal: signal 40"),
    ],
)
def test_exit_is_told_in_awss_words(status: int, text: str) -> None:
    assert exit_text(status) == text


def test_machine_that_has_it_all_differs_in_nothing() -> None:
    assert Isolation(level="namespace", memory="cgroup", own_users=True).differences() == []


def test_machine_without_namespaces_says_why_and_what_is_missing() -> None:
    found = Isolation(level="process", memory="watched", reason="not permitted").differences()
    assert "namespaces cannot be used here (not permitted)" in found[0]
    assert found[1].startswith("Functions run as the user who runs the engine")
    assert found[2].startswith("Memory is watched, not limited")


def test_users_of_their_own_are_no_difference() -> None:
    found = Isolation(level="process", memory="cgroup", own_users=True).differences()
    assert len(found) == 1
