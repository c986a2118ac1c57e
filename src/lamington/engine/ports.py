"""Why an address cannot be listened on, and who holds it."""

import errno
import os
from pathlib import Path

from lamington.core.errors import UsageError


def refusal_to_listen(host: str, port: int, error: OSError) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        holder = _holder(port)
        return UsageError(
            f"port {port} of {host} is in use" + (f" by {holder}" if holder else ""),
            hint="stop it, or give another port: `--port 0` takes a free one",
        )
    if error.errno == errno.EACCES:
        return UsageError(
            f"port {port} of {host} may not be listened on by this user",
            hint="give a port above 1023",
        )
    return UsageError(
        f"cannot listen on {host}:{port}: {error.strerror or error}",
        hint="give an address of this machine, such as 127.0.0.1",
    )


def _holder(port: int) -> str:
    """The process that listens on the port, where Linux tells: `python3 (process 4242)`."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for columns in map(str.split, rows):
            if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{columns[9]}]")
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        try:
            with os.scandir(process / "fd") as descriptors:
                held = {os.readlink(each) for each in descriptors}
            if held & inodes:
                name = (process / "comm").read_text(encoding="utf-8").strip()
                return f"{name} (process {process.name})"
        except OSError:
            continue
    return ""
