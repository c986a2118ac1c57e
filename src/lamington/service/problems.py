"""All that is wrong with a service, gathered so that one run tells it all.

Left to others: finding what is wrong, and showing it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lamington.core.errors import Position, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that does not stand in the way, but that the user should know."""

    message: str
    where: Position | None = None
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class ServiceInvalid(UsageError):
    """A service that cannot be built; `problems` has each reason with its own place and hint."""

    def __init__(self, problems: Sequence[UsageError]) -> None:
        first = problems[0]
        more = len(problems) - 1
        rest = f" (and {more} more problem{'s' if more > 1 else ''})" if more else ""
        super().__init__(f"{first.message}{rest}", where=first.where, hint=first.hint)
        self.problems = tuple(problems)


class Problems:
    """Gathers errors and notices of one run; `close` raises when there was an error."""

    def __init__(self) -> None:
        self.errors: list[UsageError] = []
        self.notices: list[Notice] = []

    def error(self, message: str, *, where: Position | None = None, hint: str = "") -> None:
        self.errors.append(UsageError(message, where=where, hint=hint))

    def notice(self, message: str, *, where: Position | None = None, hint: str = "") -> None:
        self.notices.append(Notice(message=message, where=where, hint=hint))

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Keep a UsageError that is raised inside, and go on after the block."""
        try:
            yield
        except ServiceInvalid as error:
            self.errors.extend(error.problems)
        except UsageError as error:
            self.errors.append(error)

    def close(self) -> None:
        """Raises ServiceInvalid with every error, in the order of their files and lines."""
        if self.errors:
            raise ServiceInvalid(sorted(self.errors, key=_place))


def _place(error: UsageError) -> tuple[str, int, int]:
    where = error.where
    return (where.file, where.line, where.column) if where else ("", 0, 0)
