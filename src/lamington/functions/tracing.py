"""X-Amzn-Trace-Id: read, made and carried on, with the lineage that shows recursive loops.

Left to others: what a long lineage means (`recursion`). Segments are sent nowhere: functions get
a header that any X-Ray library takes, and the same root goes through a chain of invocations.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal, Self
from urllib.parse import unquote
from zlib import crc32

from lamington.core.clock import Clock, Ids

TRACE_HEADER = "X-Amzn-Trace-Id"

TracingMode = Literal["PassThrough", "Active"]

SAMPLED_PERCENT = 5
LINEAGE_FUNCTIONS_MAX = 32
"""Functions that a lineage remembers; AWS states no number."""
FUNCTIONS_REMEMBERED_MAX = 10_000

_REGULAR = re.compile(
    r"(Root=1-[0-9a-fA-F]{8}-[0-9a-fA-F]{24})(;Parent=[0-9a-fA-F]{16})?(;Sampled=[01])?"
)
_ROOT = re.compile(r"1-[0-9a-fA-F]{8}-[0-9a-fA-F]{24}")
_PARENT = re.compile(r"[0-9a-fA-F]{16}")
_LINEAGE = re.compile(r"(?:\d+:)?([0-9a-f]{8}):(\d{1,9})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A trace header in its parts; "" and None are what it does not say.

    `lineage` counts, for each function of the chain, the invocations after its first.
    """

    root: str = ""
    parent: str = ""
    sampled: Literal["0", "1"] | None = None
    lineage: tuple[tuple[str, int], ...] = ()

    @classmethod
    def parse(cls, header: str) -> Self:
        """Read a header in any order of its fields; what is not well formed is left out.

        AWS: botocore sends `_X_AMZN_TRACE_ID` percent-encoded, the `|` of a lineage included.
        """
        if "%" in header:
            header = unquote(header)
        fields = dict(
            (name.strip().lower(), value.strip())
            for name, sign, value in (each.partition("=") for each in header.split(";"))
            if sign
        )
        root, parent, sampled = (fields.get(name, "") for name in ("root", "parent", "sampled"))
        pairs = map(_LINEAGE.fullmatch, fields.get("lineage", "").split("|"))
        return cls(
            root=root if _ROOT.fullmatch(root) else "",
            parent=parent if _PARENT.fullmatch(parent) else "",
            sampled="1" if sampled == "1" else "0" if sampled == "0" else None,
            lineage=tuple((each[1], int(each[2])) for each in pairs if each),
        )

    def __str__(self) -> str:
        text = f"Root={self.root}" if self.root else ""
        if self.parent:
            text += f";Parent={self.parent}"
        if self.sampled is not None:
            text += f";Sampled={self.sampled}"
        if self.lineage:
            text += ";Lineage=" + "|".join(f"1:{each}:{count}" for each, count in self.lineage)
        return text.lstrip(";")

    def visited(self, function_arn: str) -> Self:
        """The trace after one more invocation of this function."""
        mark = _mark(function_arn)
        counts = dict(self.lineage)
        counts[mark] = counts[mark] + 1 if mark in counts else 0
        kept = list(counts.items())[-LINEAGE_FUNCTIONS_MAX:]
        if mark not in dict(kept):
            kept = [*kept[1:], (mark, counts[mark])]
        return replace(self, lineage=tuple(kept))


def invocations_in(header: str, function_arn: str) -> int:
    """How often the chain that leads here has invoked the function already."""
    if "ineage=" not in header:
        return 0
    mark = _mark(function_arn)
    return next((count + 1 for each, count in Trace.parse(header).lineage if each == mark), 0)


class Tracer:
    """Makes the headers of requests and of invocations."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids
        self._sampled_at: dict[str, int] = {}
        self._lineages: dict[str, str] = {}
        self._second = ""
        self._second_ends = 0.0

    def new_header(self) -> str:
        """The header of a request that came without one: a new root, and no word of sampling."""
        return self._root(self._ids.request_id())

    def trace_for_invocation(
        self, header: str, function_arn: str, mode: TracingMode = "PassThrough"
    ) -> str:
        """The header that the function sees: of the request where it has one, else a new one.

        With `Active` the parent is a segment id of the invocation's own, and a request whose
        header leaves sampling open is sampled: the first of each second, and 5 % of the others.

        AWS: Lambda developer guide, X-Ray; the lineage counts a function's invocations in a chain.
        Differs: no segment is sent to X-Ray.
        """
        if header:
            regular = _REGULAR.fullmatch(header)
            if regular is None:
                return self._trace_of_irregular(header, function_arn, mode)
            root, parent, sampled = regular.groups()
            if mode == "PassThrough" and parent and sampled:
                return header + self._lineage(function_arn)
        else:
            digits = self._ids.request_id()
            root, sampled = self._root(digits), None
            parent = f";Parent={digits[19:23]}{digits[24:]}"
        if mode == "Active":
            parent = f";Parent={self._segment()}"
            sampled = sampled or (";Sampled=1" if self._samples(function_arn) else ";Sampled=0")
        parent = parent or f";Parent={self._segment()}"
        return f"{root}{parent}{sampled or ';Sampled=0'}{self._lineage(function_arn)}"

    def _trace_of_irregular(self, header: str, function_arn: str, mode: TracingMode) -> str:
        """The same for a header with a lineage, or with anything else that is rare."""
        given = Trace.parse(header)
        parent, sampled = given.parent, given.sampled
        if mode == "Active":
            parent = self._segment()
            sampled = sampled or ("1" if self._samples(function_arn) else "0")
        return str(
            replace(
                given.visited(function_arn),
                root=given.root or self.new_header().removeprefix("Root="),
                parent=parent or self._segment(),
                sampled=sampled or "0",
            )
        )

    def _root(self, digits: str) -> str:
        """A root whose random part is a UUID's: making one from nothing costs three times more."""
        moment = self._clock.monotonic()
        if moment >= self._second_ends:
            self._second_ends = moment + 1
            self._second = f"Root=1-{int(self._clock.now().timestamp()):08x}-"
        return f"{self._second}{digits[:8]}{digits[9:13]}{digits[24:]}"

    def _segment(self) -> str:
        digits = self._ids.request_id()
        return digits[19:23] + digits[24:]

    def _lineage(self, function_arn: str) -> str:
        """The lineage of a chain that begins with this function."""
        found = self._lineages.get(function_arn)
        if found is None:
            if len(self._lineages) > FUNCTIONS_REMEMBERED_MAX:
                self._lineages.clear()
                self._sampled_at.clear()
            found = self._lineages[function_arn] = f";Lineage=1:{_mark(function_arn)}:0"
        return found

    def _samples(self, function_arn: str) -> bool:
        """AWS: one request in a second, and five of a hundred beyond it."""
        second = int(self._clock.monotonic())
        if self._sampled_at.get(function_arn) != second:
            self._sampled_at[function_arn] = second
            return True
        return int(self._ids.hexadecimal(8), 16) % 100 < SAMPLED_PERCENT


def _mark(function_arn: str) -> str:
    """Eight hexadecimal digits that stand for a function, whatever its qualifier."""
    if function_arn.count(":") > 6:
        function_arn = function_arn[: function_arn.rindex(":")]
    return f"{crc32(function_arn.encode()):08x}"
