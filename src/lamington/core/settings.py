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
AUTH_MODES = frozenset({"trust", "enforce"})
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
    auth: str = _setting(
        "trust",
        "`trust` believes access keys that it does not know and asks no policy of an identity,"
        " `enforce` refuses such keys and evaluates those policies",
    )
    credentials: str = _setting(
        "",
        "file of access keys whose signatures are verified, in the form of AWS's own credentials"
        " file; a key may have a `user_arn` or a `role_arn`, and a `policy`, which names a JSON"
        " file",
    )
    client_certificate_header: str = _setting(
        "",
        "header in which a proxy in front, which verifies clients' certificates, hands them on:"
        " percent-encoded PEM; only such a proxy may reach the port then",
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
    explain_ring: int = _setting(
        100, "requests kept for `lamington explain --live`, once that has turned them on"
    )
    log_bytes_max: int = _setting(
        256 * 1024 * 1024, "bytes of log events kept per log group; the oldest go first"
    )
    throttle_rate: float = _setting(
        10_000.0,
        "requests a second to the APIs of an account in a region; above it the answer is 429, as on"
        " AWS; 0 sets no limit",
    )
    throttle_burst: int = _setting(
        5_000,
        "requests at once to the APIs of an account in a region, before `throttle_rate` rules",
    )
    vpc_links: str = _setting(
        "",
        "where VPC links lead to: `link=address` pairs with commas between, the link by its id or"
        " its name, the address as `host:port` or with `https://` before it",
    )
    endpoints: str = _setting(
        "",
        "where integrations reach AWS services that are not emulated: `service=URL` pairs with"
        " commas between, such as `dynamodb=http://localhost:8000`; `*` stands for all others",
    )
    api_quotas: str = _setting(
        "",
        "quotas of API Gateway that AWS has raised for the account: `name=number` pairs with commas"
        " between, such as `resources_per_api=500,stages_per_api=20`",
    )
    integration_timeout_max_ms: int = _setting(
        29_000,
        "longest timeout that an integration of a REST API may ask for, in milliseconds; a quota"
        " that AWS raises on request, to 300000",
    )
    jwks: str = _setting(
        "",
        "files of the keys that token issuers publish, for work without a network:"
        " `issuer=file` pairs with commas between, or a directory of `<last part of issuer>.json`",
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
    if settings.auth not in AUTH_MODES:
        raise UsageError(
            f"`{settings.auth}` is not a value for `auth`", hint="give `trust` or `enforce`"
        )
    for name in ("vpc_links", "endpoints"):
        setting_pairs(name, getattr(settings, name))
    for each in fields(Settings):
        value = getattr(settings, each.name)
        if isinstance(value, int | float) and not value >= 0:
            raise UsageError(
                f"`{value}` is not a value for `{each.name}`",
                hint="give a number that is not negative",
            )


def setting_pairs(name: str, text: str) -> dict[str, str]:
    """Read a setting of `key=value` pairs with commas between; raises UsageError."""
    pairs = {}
    for each in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = each.partition("=")
        if not (equals and key.strip() and value.strip()):
            raise UsageError(
                f"`{each}` is not a value for `{name}`",
                hint="give pairs such as `name=value`, with commas between",
            )
        pairs[key.strip()] = value.strip()
    return pairs


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
