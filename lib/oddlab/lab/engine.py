"""papermill's engine with the kernel watched: how far it is, how much memory it takes, every error, why it died."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import psutil
import zmq
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbclient.util import run_sync
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.log import logger
from traitlets.config import Config

from oddlab.lab.result import Result
from oddlab.machine import KEEP_FREED, free_threads

ENGINE = "oddlab"
EVERY = 0.25
"""Seconds between two looks at the kernel's memory."""


class WatchedClient(PapermillNotebookClient):
    """Runs the cells and writes what it sees into `result`; calls `on_progress(result)` after each cell."""

    def __init__(
        self,
        nb_man: NotebookExecutionManager,
        result: Result,
        on_progress: Callable[[Result], None],
        kernel_log: IO[bytes],
        **traits: Any,
    ) -> None:
        super().__init__(nb_man, **traits)
        self.result, self.on_progress, self.kernel_log = result, on_progress, kernel_log
        self.done = threading.Event()

    def start_new_kernel(self, **kwargs: Any) -> None:
        # What the kernel's process prints past Jupyter would run through the live table; it is read if the kernel dies.
        environment = {"OMP_NUM_THREADS": str(free_threads()), **KEEP_FREED, **os.environ}
        super().start_new_kernel(stdout=self.kernel_log, stderr=self.kernel_log, env=environment, **kwargs)
        self.process = self.km.provisioner.process
        threading.Thread(target=watch_memory, args=(self.process.pid, self.result, self.done), daemon=True).start()

    def start_new_kernel_client(self, **kwargs: Any) -> Any:
        try:
            return super().start_new_kernel_client(**kwargs)
        except RuntimeError as error:
            self.kernel_log.seek(0)
            last_words = self.kernel_log.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise DeadKernelError(f"{error}: {last_words}") from None
        except KeyboardInterrupt:
            self.abandon()
            raise

    def papermill_execute_cells(self) -> None:
        self.result.cells = sum(is_run(cell) for cell in self.nb.cells)
        self.on_progress(self.result)
        super().papermill_execute_cells()

    def execute_cell(self, cell: Any, cell_index: int, **kwargs: Any) -> Any:
        try:
            cell = super().execute_cell(cell, cell_index, **kwargs)
        except CellExecutionError:
            raise
        except DeadKernelError:
            raise DeadKernelError(f"the kernel died{how_ended(self.process)}") from None
        except BaseException:
            self.abandon()
            raise
        if is_run(cell):
            self.result.cells_done += 1
            self.on_progress(self.result)
        return cell

    async def async_abandon(self) -> None:
        """End at once what a time-out or Ctrl-C left behind: the busy kernel and the tasks that wait for it."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        # Their errors are taken, or asyncio would print them when the process ends.
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.km.shutdown_kernel(now=True)

    abandon = run_sync(async_abandon)

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        # A callback's error goes to an Output widget, where the next update may clear it: only here is it always seen.
        if msg["msg_type"] == "error" and not may_raise(cell):
            self.result.add_error(self.code_cells_executed, msg["content"]["ename"], msg["content"]["evalue"])
        try:
            return super().process_message(msg, cell, cell_index)
        finally:
            # nbclient answers an Output widget past asyncio's view of the socket, which can take the signal that the
            # cell's reply has arrived; the cell would then wait for its time-out. Reading the events looks again.
            self.kc.shell_channel.socket.get(zmq.EVENTS)


class WatchedEngine(NBClientEngine):
    """The engine that `papermill.execute_notebook` is given by name, with `result` and `on_progress` as arguments."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: NotebookExecutionManager,
        kernel_name: str,
        *,
        result: Result,
        on_progress: Callable[[Result], None],
        execution_timeout: int,
        start_timeout: int = 60,
        **_: Any,
    ) -> None:
        with tempfile.TemporaryFile() as kernel_log, tempfile.TemporaryDirectory(prefix="oddlab-") as sockets:
            client = WatchedClient(
                nb_man,
                result,
                on_progress,
                kernel_log,
                kernel_name=kernel_name,
                timeout=execution_timeout,
                startup_timeout=start_timeout,
                # On a busy machine a large figure may take longer than the default of 4 s to arrive.
                iopub_timeout=60,
                log=logger,
                config=without_ports(sockets),
            )
            try:
                client.execute()
            finally:
                client.done.set()


def without_ports(folder: str) -> Config:
    """How kernels are reached: by files in `folder` instead of ports, which kernels that start at once take twice.

    A port is chosen before the kernel binds it, and another kernel may come in between (papermill #511).
    """
    if os.name != "posix":
        return Config()
    # A path in the user's folder may be too long for a socket.
    return Config(ConnectionFileMixin={"transport": "ipc", "connection_file": str(Path(folder, "kernel.json"))})


papermill_engines.register(ENGINE, WatchedEngine)


def is_run(cell: Any) -> bool:
    """Whether the client runs `cell`: code that is not blank and not tagged to be skipped."""
    return (
        cell.cell_type == "code" and bool(cell.source.strip()) and "skip-execution" not in cell.metadata.get("tags", [])
    )


def may_raise(cell: Any) -> bool:
    """Whether its author says that `cell` raises an error, as JupyterLab and nbval understand it."""
    return "raises-exception" in cell.metadata.get("tags", [])


def how_ended(process: subprocess.Popen) -> str:
    """How a process that has ended did so, as the end of a sentence."""
    code = process.poll()
    if code is None:
        return ""
    if code >= 0:
        return f" with exit code {code}"
    return f" by {signal.Signals(-code).name}" + (", as it does when memory runs out" if code == -9 else "")


def watch_memory(pid: int, result: Result, done: threading.Event) -> None:
    """Keep `result.seconds`, and `result.peak_memory` as the resident bytes of process `pid` and all below it."""
    started = time.monotonic()
    while not done.wait(EVERY):
        result.seconds = time.monotonic() - started
        result.peak_memory = max(result.peak_memory, resident(pid))


def resident(pid: int) -> int:
    """Bytes of memory that process `pid` and its children hold; 0 if it has ended."""
    try:
        kernel = psutil.Process(pid)
        processes = [kernel, *kernel.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total
