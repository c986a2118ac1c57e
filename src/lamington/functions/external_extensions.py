"""The processes of external extensions: started from `/opt/extensions`, listened to, ended.

Left to others: what they say over the Extensions API (`extensions`).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from lamington.functions.isolated_process import IsolatedProcess
from lamington.functions.sandbox import Sandbox


class ExternalExtensions:
    """The extension processes of one environment, from one init to the next reset.

    AWS: every executable file in `/opt/extensions` is started ahead of the runtime, with fewer
    variables; what it writes goes to the function's log.
    """

    def __init__(
        self,
        names: Sequence[str],
        sandbox: Sandbox,
        variables: Mapping[str, str],
        exited: Callable[[str, str], None],
        wrote: Callable[[bytes], None],
    ) -> None:
        """Start them; `exited` is told name and exit text, `wrote` what they write."""
        self._loop = asyncio.get_running_loop()
        self._exited = exited
        self._wrote = wrote
        self._processes: dict[str, IsolatedProcess] = {}
        for name in names:
            process = sandbox.spawn(
                (f"{sandbox.layers_root}/extensions/{name}",),
                variables,
                partial(self._ended, name),
                channel=False,
            )
            self._processes[name] = process
            self._loop.add_reader(process.output, self._read, process)

    def _read(self, process: IsolatedProcess) -> None:
        text = process.read_output()
        if process.output_ended:
            self._close_output(process)
        if text:
            self._wrote(text)

    def _ended(self, name: str) -> None:
        process = self._processes.get(name)
        if process is not None:
            self._read(process)
            self._exited(name, process.exit_text)

    def _close_output(self, process: IsolatedProcess) -> None:
        if process.output >= 0:
            self._loop.remove_reader(process.output)
            process.close_output()

    def close(self) -> None:
        """Kill those that still run and let go of them."""
        processes, self._processes = self._processes, {}
        for process in processes.values():
            self._close_output(process)
            if process.running:
                process.kill()
