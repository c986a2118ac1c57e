from datetime import date

import pytest

from lamington.functions.runtime_facts import BLOCKED, RUNTIMES, runtime_facts


@pytest.mark.parametrize(
    ("identifier", "language", "release"),
    [
        ("python3.14", "python", (3, 14)),
        ("python2.7", "python", (2, 7)),
        ("nodejs", "nodejs", (0, 0)),
        ("nodejs4.3-edge", "nodejs", (4, 3)),
        ("nodejs8.10", "nodejs", (8, 10)),
        ("nodejs24.x", "nodejs", (24, 0)),
        ("java8.al2", "java", (8, 0)),
        ("java17.al2023", "java", (17, 0)),
        ("provided", "provided", (0, 0)),
        ("dotnetcore3.1", "dotnet", (3, 1)),
        ("go1.x", "go", (1, 0)),
        ("python3.27", "python", (3, 27)),
        ("nodejs30.x", "nodejs", (30, 0)),
    ],
)
def test_identifier_tells_its_release(
    identifier: str, language: str, release: tuple[int, int]
) -> None:
    facts = runtime_facts(identifier)
    assert facts is not None
    assert (facts.language, facts.release) == (language, release)


@pytest.mark.parametrize("text", ["python3.x", "Python3.12", "nodejs20", "java", "python3.12 ", ""])
def test_text_of_another_form_is_no_identifier(text: str) -> None:
    assert runtime_facts(text) is None


def test_dates_are_awss() -> None:
    facts = RUNTIMES["nodejs14.x"]
    assert facts.deprecated == date(2023, 12, 4)
    assert facts.create_blocked == BLOCKED
    assert facts.update_blocked == date(2027, 3, 3)
    assert RUNTIMES["python3.15"].deprecated is None
