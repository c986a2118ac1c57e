"""How far this machine lets functions be kept apart, in words; and how a process has ended.

Left to others: doing it (`launcher`, `sandbox`, `cgroups`).
"""

import os
import signal
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """What keeps functions from the machine, and from each other."""

    level: Literal["namespace", "process"]
    """With AWS's view of files and processes, or with plain processes that are ended surely."""
    memory: Literal["cgroup", "watched"]
    reason: str = ""
    """Why there are no namespaces."""
    own_users: bool = False
    """Whether each environment runs under a user number of its own."""

    @property
    def summary(self) -> str:
        """What is on, in a line."""
        apart = "in namespaces of their own" if self.level == "namespace" else "as plain processes"
        memory = "limited by control groups" if self.memory == "cgroup" else "watched"
        return f"functions run {apart}, memory is {memory}"

    def differences(self) -> list[str]:
        """What this machine lacks, a sentence each; for the start of the engine."""
        found = []
        if self.level == "process":
            reason = f" ({self.reason})" if self.reason else ""
            found.append(
                f"Functions see this machine's files: namespaces cannot be used here{reason}."
                " Their code is not at /var/task, and /tmp is a directory without a limit."
            )
            if not self.own_users:
                found.append(
                    "Functions run as the user who runs the engine, and share one limit of"
                    " processes."
                )
        if self.memory == "watched":
            found.append(
                "Memory is watched, not limited: there are no control groups that the engine may"
                " use, so a function can be over its memory size for a moment."
            )
        return found


def exit_text(status: int) -> str:
    """A wait status in AWS's words: `exit status 1`, `signal: killed`, "" for a clean exit."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        known = {int(each): text for each, text in SIGNAL_TEXTS.items()}
        return f"signal: {known.get(number, f'signal {number}')}"
    code = os.waitstatus_to_exitcode(status)
    return f"exit status {code}" if code else ""


SIGNAL_TEXTS = {
    signal.SIGHUP: "hangup",
    signal.SIGINT: "interrupt",
    signal.SIGQUIT: "quit",
    signal.SIGILL: "illegal instruction",
    signal.SIGTRAP: "trace/breakpoint trap",
    signal.SIGABRT: "aborted",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception",
    signal.SIGKILL: "killed",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGPIPE: "broken pipe",
    signal.SIGALRM: "alarm clock",
    signal.SIGTERM: "terminated",
}
"""Signals as Go names them: AWS's init process is written in it."""
