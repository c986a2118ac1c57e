"""Every runtime identifier that AWS has had, as data: its family and its end of support.

Left to others: what runs an identifier on this machine (`runtimes`), and what the API does about
the dates (`operations`).

Source: AWS Lambda developer guide, `lambda-runtimes` and `runtime-support-policy`; runtime
lifecycle data of cfn-lint 1.58. As of 2026-11.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

Language = Literal["python", "nodejs", "java", "provided", "dotnet", "ruby", "go"]

BLOCKED: Final = date.min
"""Instead of a date: blocked for so long that no date is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeFacts:
    """What AWS says of one identifier; a date that is None was never announced."""

    identifier: str
    language: Language
    release: tuple[int, int]
    deprecated: date | None = None
    create_blocked: date | None = None
    update_blocked: date | None = None


_TABLE: Final = """
python3.15        -           -           -
python3.14        2029-06-30  2029-07-31  2029-08-31
python3.13        2029-06-30  2029-07-31  2029-08-31
python3.12        2028-10-31  2028-11-30  2029-01-10
python3.11        2027-06-30  2027-07-31  2027-08-31
python3.10        2026-10-31  2027-02-01  2027-03-03
python3.9         2025-12-15  2027-02-01  2027-03-03
python3.8         2024-10-14  2027-02-01  2027-03-03
python3.7         2023-12-04  blocked     2027-03-03
python3.6         2022-07-18  blocked     blocked
python2.7         2021-07-15  blocked     blocked
nodejs26.x        -           -           -
nodejs24.x        2028-04-30  2028-06-01  2028-07-01
nodejs22.x        2027-04-30  2027-06-01  2027-07-01
nodejs20.x        2026-04-30  2027-02-01  2027-03-03
nodejs18.x        2025-09-01  2027-02-01  2027-03-03
nodejs16.x        2024-06-12  2027-02-01  2027-03-03
nodejs14.x        2023-12-04  blocked     2027-03-03
nodejs12.x        2023-03-31  blocked     blocked
nodejs10.x        2021-07-30  blocked     blocked
nodejs8.10        2020-03-06  blocked     blocked
nodejs6.10        2019-08-12  blocked     blocked
nodejs4.3-edge    2020-03-05  blocked     blocked
nodejs4.3         2020-03-05  blocked     blocked
nodejs            2016-08-30  blocked     blocked
java25            2029-06-30  2029-07-31  2029-08-31
java21            2029-06-30  2029-07-31  2029-08-31
java17.al2023     -           -           -
java17            2027-06-30  2027-07-31  2027-08-31
java11.al2023     -           -           -
java11            2027-06-30  2027-07-31  2027-08-31
java8.al2023      -           -           -
java8.al2         2027-06-30  2027-07-31  2027-08-31
java8             2024-01-08  blocked     2027-03-03
provided.al2023   2029-06-30  2029-07-31  2029-08-31
provided.al2      2026-07-31  2027-02-01  2027-03-03
provided          2024-01-08  blocked     2027-03-03
go1.x             2024-01-08  blocked     2027-03-03
dotnet10          2028-11-14  2028-12-14  2029-01-15
dotnet8           2026-11-10  2027-02-01  2027-03-03
dotnet6           2024-12-20  2027-02-01  2027-03-03
dotnetcore3.1     -           blocked     blocked
dotnetcore2.1     -           blocked     blocked
dotnetcore2.0     -           blocked     blocked
dotnetcore1.0     -           blocked     blocked
ruby4.0           2029-03-31  2029-04-30  2029-05-31
ruby3.4           2028-03-31  2028-04-30  2028-05-31
ruby3.3           2027-03-31  2027-04-30  2027-05-31
ruby3.2           2026-03-31  2027-02-01  2027-03-03
ruby2.7           -           blocked     blocked
ruby2.5           -           blocked     blocked
"""

_FORMS: Final[tuple[tuple[Language, str], ...]] = (
    ("python", r"python(\d+)\.(\d+)"),
    ("nodejs", r"nodejs(?:(\d+)\.(?:x|(\d+)(?:-edge)?))?"),
    ("java", r"java(\d+)(?:\.al\d+)?"),
    ("provided", r"provided(?:\.al\d+)?"),
    ("dotnet", r"dotnet(?:core)?(\d+)(?:\.(\d+))?"),
    ("ruby", r"ruby(\d+)\.(\d+)"),
    ("go", r"go(\d+)\.x"),
)


def _parse_identifier(identifier: str) -> tuple[Language, tuple[int, int]] | None:
    for language, form in _FORMS:
        found = re.fullmatch(form, identifier)
        if found:
            numbers = [int(each or 0) for each in found.groups()]
            return language, (numbers[0] if numbers else 0, numbers[1] if len(numbers) > 1 else 0)
    return None


def _parse_date(text: str) -> date | None:
    if text == "-":
        return None
    return BLOCKED if text == "blocked" else date.fromisoformat(text)


def _parse_table() -> dict[str, RuntimeFacts]:
    rows = {}
    for line in _TABLE.split("\n"):
        if not line:
            continue
        identifier, *dates = line.split()
        parsed = _parse_identifier(identifier)
        assert parsed is not None, identifier
        deprecated, create_blocked, update_blocked = map(_parse_date, dates)
        rows[identifier] = RuntimeFacts(
            identifier=identifier,
            language=parsed[0],
            release=parsed[1],
            deprecated=deprecated,
            create_blocked=create_blocked,
            update_blocked=update_blocked,
        )
    return rows


RUNTIMES: Final = _parse_table()


def runtime_facts(identifier: str) -> RuntimeFacts | None:
    """What is known of an identifier; None where it cannot be one.

    One that is newer than the table is read by the form of its name, so that a release of AWS's
    needs no release of ours.
    """
    known = RUNTIMES.get(identifier)
    if known is not None:
        return known
    parsed = _parse_identifier(identifier)
    if parsed is None:
        return None
    return RuntimeFacts(identifier=identifier, language=parsed[0], release=parsed[1])
