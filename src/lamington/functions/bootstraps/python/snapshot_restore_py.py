"""Where Python functions register their SnapStart hooks: AWS's module, as its runtimes have it.

The runtime takes what is registered here: before a snapshot the last one first, after each restore
the first one first. A function may call these with arguments, or use them as decorators.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Hook = tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]

_before_snapshot: "list[Hook]" = []
_after_restore: "list[Hook]" = []


def register_before_snapshot(
    func: "Callable[..., object]", *args: object, **kwargs: object
) -> "Callable[..., object]":
    """Have a function called, once, before the snapshot of a version is made."""
    _before_snapshot.append((func, args, kwargs))
    return func


def register_after_restore(
    func: "Callable[..., object]", *args: object, **kwargs: object
) -> "Callable[..., object]":
    """Have a function called in each environment that is restored from the snapshot."""
    _after_restore.append((func, args, kwargs))
    return func


def get_before_snapshot() -> "list[Hook]":
    return _before_snapshot


def get_after_restore() -> "list[Hook]":
    return _after_restore
