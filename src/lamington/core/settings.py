"""Every setting once: name, default, environment variable, help.

Only this module reads the environment. Flags, variables and the docs table come from the fields.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from lamington.core.aws import DEFAULT_ACCOUNT_ID, DEFAULT_REGION
from lamington.core.errors import UsageError

PORT_MAX = 65_535
ISOLATIONS = frozenset({"auto", "process"})
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


def _setting(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a user may set; each field is the flag `--name` and the variable `LAMINGTON_NAME`."""

    data: Path = field(
        default=Path(".lamington"), metadata={"help": "directory of the engine's state"}
    )
    host: str = _setting("127.0.0.1", "address to listen on")
    port: int = _setting(3000, "port of the service that `up` runs; 0 takes a free one")
    aws_port: int = _setting(4566, "port of the AWS endpoint; 0 takes a free one")
    region: str = _setting(DEFAULT_REGION, "region where a request names none")
    account_id: str = _setting(
        DEFAULT_ACCOUNT_ID, "account where a request's access key names none"
    )
    environments_max: int = _setting(
        100, "execution environments that may live at once, all functions together"
    )
    idle_s: float = _setting(600.0, "seconds after which an idle execution environment is ended")
    attend_us: int = _setting(
        300,
        "microseconds that the engine and a fast function's process wait actively for each other"
        " while a single client asks; 0 lets them sleep at once",
    )
    freeze: bool = _setting(
        True, "freeze execution environments between invocations, as AWS does; `false` turns it off"
    )
    prestart: bool = _setting(
        True,
        "start Node.js and Java processes ahead of need, two at most, where functions run in"
        " namespaces; `false` turns it off",
    )
    isolation: str = _setting(
        "auto",
        "`auto` runs functions in namespaces where this machine allows for them, `process` in"
        " plain processes",
    )
    init_timeout_s: float = _setting(10.0, "limit of a function's init phase, in seconds")
    log_flush_s: float = _setting(0.25, "seconds between two writes of buffered log events")
    log_bytes_max: int = _setting(
        256 * 1024 * 1024, "bytes of log events kept per log group; the oldest go first"
    )


def load_settings(environment: Mapping[str, str] | None = None, **flags: Any) -> Settings:
    """Read the settings; a flag beats a variable, a variable beats the default.

    A flag that is None was not given. Raises UsageError for a value of the wrong form.
    """
    variables = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for each in fields(Settings):
        given = flags.get(each.name)
        if given is None:
            given = variables.get(f"LAMINGTON_{each.name.upper()}")
        if given is not None:
            values[each.name] = _convert(each.name, each.default, given)
    settings = Settings(**values)
    _require_sensible(settings)
    return settings


def java_home() -> str:
    """Where the user's own Java is, "" where it is not said: the name is Java's, not ours."""
    return os.environ.get("JAVA_HOME", "")


def colour_allowed() -> bool:
    """Whether the user lets programs colour their words: see no-color.org."""
    return "NO_COLOR" not in os.environ


def _require_sensible(settings: Settings) -> None:
    for name in ("port", "aws_port"):
        if not 0 <= getattr(settings, name) <= PORT_MAX:
            raise UsageError(
                f"`{getattr(settings, name)}` is not a value for `{name}`",
                hint=f"give a number from 0, which takes a free port, to {PORT_MAX}",
            )
    if not re.fullmatch("[0-9]{12}", settings.account_id):
        raise UsageError(
            f"`{settings.account_id}` is not a value for `account_id`", hint="give twelve digits"
        )
    if settings.isolation not in ISOLATIONS:
        raise UsageError(
            f"`{settings.isolation}` is not a value for `isolation`",
            hint="give `auto` or `process`",
        )
    for each in fields(Settings):
        value = getattr(settings, each.name)
        if isinstance(value, int | float) and not value >= 0:
            raise UsageError(
                f"`{value}` is not a value for `{each.name}`",
                hint="give a number that is not negative",
            )


SWITCHES = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}


def _convert_switch(name: str, given: Any) -> bool:
    found = given if isinstance(given, bool) else SWITCHES.get(str(given).lower())
    if found is None:
        raise UsageError(f"`{given}` is not a value for `{name}`", hint="give `true` or `false`")
    return found


def _convert(name: str, default: Any, given: Any) -> Any:
    form: type[Any] = Path if isinstance(default, Path) else type(default)
    if form is bool:
        return _convert_switch(name, given)
    try:
        return form(given)
    except ValueError:
        number = "a whole number" if form is int else "a number"
        raise UsageError(f"`{given}` is not a value for `{name}`", hint=f"give {number}") from None
