"""The Telemetry API and its older form, the Logs API, for the extensions of one environment.

Events are rendered when published, gathered for each subscriber and delivered to its port on
this machine, by HTTP or TCP. A subscriber that is slow loses events and is told how many. Left
to others: which events there are (`environment`), and who may subscribe (`extensions`).
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from lamington.functions.log_entries import RECORD_BREAK, render_time

RESERVED_PORT = 9001
SANDBOX_HOSTS = ("sandbox.localdomain", "sandbox")
KINDS = ("platform", "function", "extension")
BACKLOG_EVENTS_MAX = 1000
ATTEMPTS_MAX = 10
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0
CONNECT_LIMIT_S = 2.0
ANSWER_LIMIT_S = 930.0
"""Longer than any invocation: a frozen subscriber reads its batch when it is thawed, and sending
it again would make two of it."""

ANSWER_BYTES_MAX = 65_536
FALLEN_BEHIND = "Consumer seems to have fallen behind as it has not acknowledged receipt of logs."


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryForm:
    """What differs between the Telemetry API and the Logs API."""

    name: str
    error_prefix: str
    schema_versions: tuple[str, ...]
    timeout_ms_min: int
    subscribed_event: str


TELEMETRY: Final = TelemetryForm(
    name="Telemetry",
    error_prefix="",
    schema_versions=("2022-07-01", "2022-12-13", "2025-01-29"),
    timeout_ms_min=25,
    subscribed_event="platform.telemetrySubscription",
)
LOGS: Final = TelemetryForm(
    name="Logs",
    error_prefix="Logs.",
    schema_versions=("2020-08-15", "2021-03-18"),
    timeout_ms_min=100,
    subscribed_event="platform.logsSubscription",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What one extension has asked for."""

    kinds: tuple[str, ...]
    protocol: str
    port: int
    path: str = "/"
    host: str = SANDBOX_HOSTS[0]
    method: str = "POST"
    items_max: int = 10_000
    bytes_max: int = 262_144
    timeout_ms: int = 1000


def parse_subscription(body: bytes, form: TelemetryForm) -> Subscription | str:
    """A subscription, or what is wrong with it: AWS's texts, joined by semicolons.

    AWS: Telemetry API reference, Subscribe.
    Differs: only the texts on a missing port and on empty types are AWS's own.
    """
    try:
        asked = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        return f"Invalid JSON: {error}"
    if not isinstance(asked, dict):
        return "the subscription should be a JSON object"
    problems: list[str] = []
    version = asked.get("schemaVersion")
    if version not in form.schema_versions and (version is not None or form is TELEMETRY):
        problems.append(f"schemaVersion should be one of {', '.join(form.schema_versions)}")
    destination = _parse_destination(asked.get("destination"), problems)
    kinds = asked.get("types")
    if not isinstance(kinds, list) or not kinds:
        problems.append("types should not be empty")
    elif any(each not in KINDS for each in kinds):
        problems.append(f"types should be among {', '.join(KINDS)}")
    buffering = _parse_buffering(asked.get("buffering"), form, problems)
    if problems:
        return "; ".join(problems)
    return Subscription(kinds=tuple(dict.fromkeys(kinds or ())), **destination, **buffering)


def _parse_destination(given: object, problems: list[str]) -> dict[str, Any]:
    if not isinstance(given, dict):
        problems.append("destination is not provided")
        return {}
    protocol = given.get("protocol")
    method = given.get("method") or "POST"
    if protocol not in ("HTTP", "TCP"):
        problems.append("destination protocol should be HTTP or TCP")
    if method not in ("POST", "PUT"):
        problems.append("destination method should be POST or PUT")
    try:
        address = urlsplit(str(given.get("URI") or ""))
        port = address.port
    except ValueError:
        problems.append("URI is not valid")
        return {}
    if protocol == "TCP" and isinstance(given.get("port"), int):
        # The Logs API names a TCP destination by its port alone.
        port = given["port"]
    elif address.hostname not in SANDBOX_HOSTS:
        problems.append(f"URI host should be {SANDBOX_HOSTS[0]}")
    elif protocol == "HTTP" and address.scheme != "http":
        problems.append("URI scheme should be http")
    if port is None:
        problems.append("URI port is not provided")
    elif not 0 < port < 65_536 or port == RESERVED_PORT:
        problems.append(f"port {port} is reserved or out of range")
    path = address.path or "/"
    return {
        "protocol": protocol,
        "port": port,
        "path": f"{path}?{address.query}" if address.query else path,
        "host": address.hostname or SANDBOX_HOSTS[0],
        "method": method,
    }


def _parse_buffering(given: object, form: TelemetryForm, problems: list[str]) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        problems.append("buffering should be an object")
        return {}
    ranges = (
        ("maxItems", "items_max", 1000, 10_000),
        ("maxBytes", "bytes_max", 262_144, 1_048_576),
        ("timeoutMs", "timeout_ms", form.timeout_ms_min, 30_000),
    )
    limits = {}
    for name, member, lowest, highest in ranges:
        value = given.get(name)
        if value is None:
            continue
        if type(value) is not int or not lowest <= value <= highest:
            problems.append(f"{name} should be between {lowest} and {highest}")
        else:
            limits[member] = value
    return limits


def render_event(kind: str, record: object, at_ms: int) -> bytes:
    """One event as subscribers get it."""
    return msgspec.json.encode({"time": render_time(at_ms), "type": kind, "record": record})


class Subscriber:
    """Gathers events for one extension, and sends them when there are enough or in time."""

    def __init__(
        self, name: str, subscription: Subscription, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.name = name
        self.subscription = subscription
        self._loop = loop
        self._events: list[bytes] = []
        self._bytes = 0
        self._dropped = 0
        self._dropped_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    def take(self, event: bytes) -> None:
        """Keep an event until it is sent, or count it as lost where too many wait already."""
        asked = self.subscription
        if self._bytes >= 2 * asked.bytes_max or len(self._events) >= 2 * asked.items_max:
            self._dropped += 1
            self._dropped_bytes += len(event)
            return
        self._events.append(event)
        self._bytes += len(event)
        if self._bytes >= asked.bytes_max or len(self._events) >= asked.items_max:
            self.flush()
        elif self._timer is None and self._sending is None:
            self._timer = self._loop.call_later(asked.timeout_ms / 1000, self.flush)

    def flush(self) -> None:
        """Send what there is, now, or after what is being sent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sending is None and self._events:
            self._sending = self._loop.create_task(self._send_all())

    async def drain(self, limit_s: float) -> None:
        """Send what there is, and wait until it has arrived or the time is over."""
        self.flush()
        if self._sending is not None:
            await asyncio.wait([self._sending], timeout=limit_s)

    def close(self) -> asyncio.Task[None] | None:
        """Send no more; returns what has yet to let go of its connection."""
        if self._timer is not None:
            self._timer.cancel()
        if self._writer is not None:
            self._writer.close()
        sending = self._sending
        if sending is not None:
            sending.cancel()
        return sending

    async def _send_all(self) -> None:
        try:
            while self._events or self._dropped:
                batch = self._next_batch()
                if not await self._send(batch):
                    self._dropped += len(batch)
                    self._dropped_bytes += sum(map(len, batch))
                    break
        finally:
            self._sending = None
        if self._events and self._timer is None:
            self._timer = self._loop.call_later(self.subscription.timeout_ms / 1000, self.flush)

    def _next_batch(self) -> list[bytes]:
        count = self.subscription.items_max
        batch, self._events = self._events[:count], self._events[count:]
        self._bytes = sum(map(len, self._events)) if self._events else 0
        if self._dropped:
            record = {
                "droppedRecords": self._dropped,
                "droppedBytes": self._dropped_bytes,
                "reason": FALLEN_BEHIND,
            }
            self._dropped = self._dropped_bytes = 0
            batch.append(render_event("platform.logsDropped", record, int(time.time() * 1000)))
        return batch

    async def _send(self, batch: list[bytes]) -> bool:
        """Whether the batch has arrived, after some attempts.

        AWS: attempts are repeated, with growing pauses, while nobody listens or takes it.
        """
        pause_s = BACKOFF_FIRST_S
        for attempt in range(ATTEMPTS_MAX):
            if attempt:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, BACKOFF_MAX_S)
            with contextlib.suppress(OSError, TimeoutError, ValueError, EOFError):
                if self.subscription.protocol == "TCP":
                    return await self._write_lines(batch)
                if await self._post(batch):
                    return True
        return False

    async def _write_lines(self, batch: list[bytes]) -> bool:
        if self._writer is None:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                _, self._writer = await asyncio.open_connection("127.0.0.1", self.subscription.port)
        try:
            self._writer.write(b"\n".join([*batch, b""]))
            async with asyncio.timeout(ANSWER_LIMIT_S):
                await self._writer.drain()
        except (OSError, TimeoutError):
            self._writer.close()
            self._writer = None
            raise
        return True

    async def _post(self, batch: list[bytes]) -> bool:
        asked = self.subscription
        async with asyncio.timeout(CONNECT_LIMIT_S):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", asked.port, limit=ANSWER_BYTES_MAX
            )
        try:
            body = b"[" + b",".join(batch) + b"]"
            writer.write(
                f"{asked.method} {asked.path} HTTP/1.1\r\nHost: {asked.host}:{asked.port}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n".encode()
                + body
            )
            async with asyncio.timeout(ANSWER_LIMIT_S):
                await writer.drain()
                status = (await reader.readline()).split(b" ")
            # Closing on a server that still writes would be an error there.
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await reader.read(ANSWER_BYTES_MAX)
        finally:
            writer.close()
        return len(status) > 1 and status[1].startswith(b"2")


class Telemetry:
    """The subscribers of one environment, and the events of its init for those to come."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        note: Callable[[str, Mapping[str, object]], None],
        *,
        json_records: bool = False,
    ) -> None:
        """`note` is told of each subscription; `json_records` gives lines that are JSON objects
        as objects, as AWS does for functions whose log format is JSON."""
        self._loop = loop
        self._note = note
        self._json_records = json_records
        self._subscribers: dict[str, tuple[TelemetryForm, Subscriber]] = {}
        self._backlog: list[tuple[str, bytes]] | None = None

    @property
    def subscribed(self) -> bool:
        """Whether somebody takes events, or may yet ask for those of this init."""
        return bool(self._subscribers) or self._backlog is not None

    def begin(self, *, expecting: bool) -> None:
        """Forget the subscribers; they subscribe anew in each init."""
        self.forget()
        self._backlog = [] if expecting else None

    def end_registration(self) -> None:
        self._backlog = None

    def subscribe(self, name: str, body: bytes, form: TelemetryForm) -> str:
        """Subscribe an extension; says what is wrong, or nothing.

        AWS: an extension that subscribes again has one subscription still.
        """
        asked = parse_subscription(body, form)
        if isinstance(asked, str):
            return asked
        held = self._subscribers.get(name)
        if held is not None:
            if held[0] is not form:
                return f"the extension has subscribed to the {held[0].name} API"
            held[1].close()
        subscriber = Subscriber(name, asked, self._loop)
        self._subscribers[name] = (form, subscriber)
        for kind, event in self._backlog or ():
            if kind in asked.kinds:
                subscriber.take(event)
        record = {"name": name, "state": "Subscribed", "types": list(asked.kinds)}
        self.publish(form.subscribed_event, record)
        self._note(form.subscribed_event, record)
        return ""

    def publish(self, kind: str, record: Mapping[str, object]) -> None:
        """Give a platform event to all who take them."""
        if self.subscribed:
            self._give("platform", render_event(kind, record, int(time.time() * 1000)))

    def publish_output(self, kind: str, text: bytes) -> None:
        """Give what a function or an extension has written: one event a line."""
        if not self.subscribed:
            return
        at_ms = int(time.time() * 1000)
        for line in text.split(b"\n"):
            if line:
                self._give(kind, render_event(kind, self._record(line), at_ms))

    def _record(self, line: bytes) -> object:
        if self._json_records and line.startswith(b"{"):
            with contextlib.suppress(msgspec.DecodeError):
                msgspec.json.decode(line)
                return msgspec.Raw(line)
        return line.decode("utf-8", "replace").replace(RECORD_BREAK, "\n")

    def _give(self, kind: str, event: bytes) -> None:
        if self._backlog is not None and len(self._backlog) < BACKLOG_EVENTS_MAX:
            self._backlog.append((kind, event))
        for _, subscriber in self._subscribers.values():
            if kind in subscriber.subscription.kinds:
                subscriber.take(event)

    def flush(self) -> None:
        for _, subscriber in self._subscribers.values():
            subscriber.flush()

    async def drain(self, limit_s: float) -> None:
        """Deliver what has gathered, within the limit."""
        if self._subscribers:
            await asyncio.gather(*[each.drain(limit_s) for _, each in self._subscribers.values()])

    def forget(self) -> list[asyncio.Task[None]]:
        """Forget the subscribers; returns what has yet to let go of its connection."""
        ending = [each.close() for _, each in self._subscribers.values()]
        self._subscribers.clear()
        self._backlog = None
        return [task for task in ending if task is not None]

    async def close(self) -> None:
        ending = self.forget()
        if ending:
            await asyncio.wait(ending)
