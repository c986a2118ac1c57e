"""What a command says: data to stdout, words to stderr, JSON for scripts, errors with hints."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from lamington.core.errors import AwsError, LamingtonError, UsageError
from lamington.core.settings import colour_allowed

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


class Output:
    """Where a command's words and data go; colour only where a person is looking."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._colour = colour_allowed() and sys.stderr.isatty()

    def say(self, words: str = "") -> None:
        """Words for a person: progress, results that are no data."""
        print(words, file=sys.stderr, flush=True)

    def warn(self, words: str) -> None:
        self.say(f"{self.paint('warning:', 'yellow')} {words}")

    def write(self, text: str) -> None:
        """Data for a program or a person."""
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()

    def write_json(self, value: Any) -> None:
        self.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table as wide as what it holds: lines are cut by the terminal, never by us."""
        cells = [list(columns), *(list(row) for row in rows)]
        widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
        for number, row in enumerate(cells):
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.write(
                "  " + (self.paint_data(line.rstrip(), "bold") if not number else line.rstrip())
            )

    def error(self, error: LamingtonError) -> None:
        where = f"{error.where}: " if isinstance(error, UsageError) and error.where else ""
        code = f"{error.code}: " if isinstance(error, AwsError) else ""
        self.say(f"{self.paint('error:', 'red')} {where}{code}{error.message}")
        if error.hint:
            self.say(f"  {self.paint('hint:', 'cyan')} {error.hint}")

    def paint(self, text: str, *styles: str) -> str:
        return _paint(text, styles) if self._colour else text

    def paint_data(self, text: str, *styles: str) -> str:
        """Colour for stdout, which may be a pipe where stderr is not."""
        return _paint(text, styles) if self._colour and sys.stdout.isatty() else text


def _paint(text: str, styles: Sequence[str]) -> str:
    codes = ";".join(_CODES[style] for style in styles)
    return f"\x1b[{codes}m{text}\x1b[0m"


def describe_parameters(pairs: Sequence[str]) -> Mapping[str, str]:
    """Read `--parameter KEY=VALUE` flags; raises UsageError for one without `=`."""
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"`{pair}` is not KEY=VALUE")
        values[key] = value
    return values
