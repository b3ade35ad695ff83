"""Several notebooks at once, each in a kernel of its own, by dask: on this machine or where a scheduler has workers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import distributed
from distributed.client import ClosedClientError

import oddlab
from oddlab.lab.parameters import Refused
from oddlab.lab.result import Result
from oddlab.machine import cores

TOPIC = "oddlab"
"""Under which workers tell how far they are."""

ANSWER, ARRIVE = 15, 60
"""Seconds in which a scheduler answers, and in which its first worker is there."""

Job = Callable[..., Result]
"""`job(result, inject, out, timeout=..., on_progress=...)`, a function of a module, as `runner.run_notebook` is."""

Progress = Callable[[Result], None]


class SchedulerGone(RuntimeError):
    """The scheduler went away while runs were under way; what had finished is on the disk."""


@contextmanager
def connected(jobs: int, scheduler: str | None, out: Path) -> Iterator[distributed.Client]:
    """A client of `scheduler`, or of `jobs` worker processes on this machine that end with it.

    Each local worker has its share of the cores, and one of the GPUs where there are any. Raises `Refused` if the
    scheduler does not answer, has no worker, or if a worker has another version of oddlab or does not see `out`.
    """
    if scheduler is None:
        with distributed.LocalCluster(**_local(jobs), dashboard_address=None) as cluster, _client(cluster) as client:
            yield client
        return
    with _client(scheduler) as client:
        _check_workers(client, scheduler, out)
        yield client


def _client(address: Any) -> distributed.Client:
    try:
        client = distributed.Client(address, timeout=ANSWER, set_as_default=False)
        client.wait_for_workers(1, timeout=ARRIVE)
    except (OSError, ValueError, TimeoutError) as error:
        raise Refused(f"scheduler: expected one with workers that answers at {address}, got {error}") from None
    return client


def _local(jobs: int) -> dict[str, Any]:
    """What LocalCluster is given for `jobs` workers."""
    if jobs < 1:
        raise Refused(f"jobs: expected at least 1, got {jobs}")
    # Dask would give every worker one thread; a notebook computes with as many as are its share.
    environment = {"OMP_NUM_THREADS": str(max(1, cores() // jobs))}
    return {"n_workers": jobs, "threads_per_worker": 1, "processes": True, "env": environment, "silence_logs": 50}


def _check_workers(client: distributed.Client, scheduler: str, out: Path) -> None:
    try:
        found = client.run(_describe_worker, str(out.absolute()))
    except ModuleNotFoundError as error:
        raise Refused(f"scheduler: expected oddlab on the workers of {scheduler}, got {error}") from None
    for worker, (version, sees_out) in found.items():
        if version != oddlab.__version__:
            raise Refused(f"scheduler: expected oddlab {oddlab.__version__} on {worker}, got {version}")
        if not sees_out:
            raise Refused(f"scheduler: expected a folder that all workers see, and {worker} does not see {out}")


def _describe_worker(out: str) -> tuple[str, bool]:
    return oddlab.__version__, Path(out).is_dir()


def pin_gpus(client: distributed.Client) -> dict[str, int]:
    """Give each worker of this machine one of its GPUs; return what each run needs of a worker.

    Workers that were started elsewhere with `--resources GPU=1` keep their own choice.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if any("GPU" in worker.get("resources", {}) for worker in workers.values()):
        return {"GPU": 1}
    if client.cluster is not None:
        for i, address in enumerate(workers):
            client.run(_pin_gpu, i, workers=[address])
    return {}


def _pin_gpu(i: int) -> None:
    import os

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(k) for k in range(_count_gpus())]
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[i % len(gpus)]


def _count_gpus() -> int:
    from pathlib import Path

    # Asking PyTorch would take its import of seconds in every worker.
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def run_many(
    client: distributed.Client,
    job: Job,
    todo: Sequence[tuple[Result, Mapping[str, Any]]],
    out: Path,
    *,
    timeout: int,
    on_progress: Progress = lambda result: None,
) -> Iterator[Result]:
    """Do `job` for each of `todo` on the client's workers; yield the results as they end, the same objects filled in.

    `on_progress(result)` is called whenever a worker tells something new. A worker that dies has its run done again by
    another; a run whose workers die four times is a failed one. Raises :class:`SchedulerGone`.
    """
    by_name = {result.name: result for result, _ in todo}

    def hear(event: tuple[float, dict[str, Any]]) -> None:
        told = Result(**event[1]["result"])
        result = by_name.get(told.name)
        if result is not None and result.status in ("waiting", "running"):
            _fill(result, told)
            on_progress(result)

    client.subscribe_topic(TOPIC, hear)
    needs = pin_gpus(client)
    futures = {
        client.submit(_on_worker, job, result, dict(inject), str(out), timeout, pure=False, resources=needs): result
        for result, inject in todo
    }
    try:
        for future in distributed.as_completed(futures, loop=client.loop):
            result = futures[future]
            if future.status == "error":
                error = future.exception()
                result.status = "failed"
                result.add_error(None, type(error).__name__, str(error))
            else:
                _fill(result, _fetch(future, result.name))
            on_progress(result)
            yield result
    finally:
        # A client that has given up on its scheduler can't tell it anything.
        with suppress(ClosedClientError):
            client.unsubscribe_topic(TOPIC)
            client.cancel(list(futures))


def _fetch(future: distributed.Future, name: str) -> Result:
    """What the run `name` gave; raises `SchedulerGone` if the connection broke or the run was cancelled with it."""
    try:
        return future.result()
    except (OSError, CancelledError):
        raise SchedulerGone(f"the scheduler went away, {name} and others had not ended") from None


def _fill(result: Result, told: Result) -> None:
    for field in dataclasses.fields(Result):
        setattr(result, field.name, getattr(told, field.name))
    result.errors = list(result.errors)  # a tuple after its way over the network


def _on_worker(job: Job, result: Result, inject: dict[str, Any], out: str, timeout: int) -> Result:
    worker = distributed.get_worker()

    def tell(result: Result) -> None:
        worker.log_event(TOPIC, {"result": dataclasses.asdict(result)})

    return job(result, inject, Path(out), timeout=timeout, on_progress=tell)
