"""The members of an operation's input, read into the fields of a row: given, changed, merged.

Left to others: which members there are and what they mean (each module of operations).
"""

from collections.abc import Mapping
from typing import Any

from lamington.core.aws import Params


def given(params: Params, members: Mapping[str, str]) -> dict[str, Any]:
    """The fields that the input sets, by the names of the row; lists become tuples."""
    found = {}
    for member, name in members.items():
        value = params.get(member)
        if value is not None:
            found[name] = tuple(value) if isinstance(value, (list, tuple)) else value
    return found


def merged(before: Mapping[str, str], changes: Mapping[str, str] | None) -> dict[str, str]:
    """A map as an update leaves it: what is not named stays, an empty text takes a key away.

    AWS: this is how clients remove a mapping or a stage variable (Terraform's provider does).
    """
    return {name: value for name, value in {**before, **(changes or {})}.items() if value != ""}


def requirements(params: Params, member: str) -> dict[str, bool]:
    """A map of parameter constraints, as names and whether each is required."""
    return {
        name: bool((constraints or {}).get("Required"))
        for name, constraints in (params.get(member) or {}).items()
    }


def shown_requirements(parameters: Mapping[str, bool]) -> dict[str, Any]:
    return {name: {"Required": required} for name, required in parameters.items()}
