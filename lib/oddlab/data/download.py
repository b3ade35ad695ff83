"""Fetching a data set: file by file with checksums, then built in one step; what has come is not fetched again."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import filelock
import pooch
import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from oddlab import __version__
from oddlab.data.archive import fetch_archive
from oddlab.data.catalogue import DataSet, RemoteFile, find

THREADS = 8
RETRIES = 4
"""Times that a file is asked for again after a failure: a second later, then two, and so on."""

TIMEOUT = (10, 30)
"""Seconds to wait for a connection, and for the next bytes."""

MANY = 300
"""More missing files than this come as one archive if there is one: GitHub slows down who asks for many by name."""

ROOM = 50 * 10**6
"""Free bytes wanted beyond the files themselves, for masks and folders."""


class DownloadError(RuntimeError):
    """A data set could not be fetched. What has come is kept, and the next call goes on."""


class _Stopped(Exception):
    """Another file has failed, so this one is given up."""


def fetch(name: str, *, quiet: bool = False) -> Path:
    """The folder of a data set in the layout of MVTec AD, for `read_folder`; fetched if it is not there.

    Args:
        name: a data set in the catalogue: "tiles", "cookies" or "ballscrew".
        quiet: whether to show no progress.

    The folder is there as a whole or not at all. A call that was interrupted is gone on with by the next one, and of
    two at once the second waits. Raises `ValueError` for an unknown name and `DownloadError`, in one line, if the
    server cannot be reached or sends something else than expected, or if the files cannot be written.

    Example:
        >>> from oddlab.data import read_folder
        >>> train, test = read_folder(fetch("cookies"))                                               # doctest: +SKIP
        >>> len(train), len(test)                                                                     # doctest: +SKIP
        (31, 46)
    """
    data_set = find(name)
    folder = data_set.folder
    downloaded, lock = folder.with_name(f".{name}-download"), folder.with_name(f".{name}.lock")
    console = Console(stderr=True, quiet=quiet)
    if not folder.is_dir():
        with _errors_in_one_line(data_set, downloaded), _alone(lock, name, console):
            if not folder.is_dir():  # else another process has fetched it meanwhile
                _download(data_set, downloaded, console)
                _build(data_set, downloaded)
    # Also what a process has left that was killed when all was done but this.
    shutil.rmtree(downloaded, ignore_errors=True)
    lock.unlink(missing_ok=True)
    return folder


def _download(data_set: DataSet, downloaded: Path, console: Console) -> None:
    files = data_set.files
    missing = [file for file in files if not _is_whole(downloaded / file.path, file)]
    to_come = sum(file.size for file in missing)
    if shutil.disk_usage(downloaded.parent).free < to_come + ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for folder in {(downloaded / file.path).parent for file in files}:
        folder.mkdir(parents=True, exist_ok=True)
    with _progress(console) as progress, requests.Session() as session:
        session.headers["User-Agent"] = f"oddlab/{__version__}"
        total = sum(file.size for file in files)
        bar = progress.add_task(data_set.name, total=total, completed=total - to_come)

        def count(file: RemoteFile) -> None:
            progress.advance(bar, file.size)

        if data_set.archive and len(missing) > MANY:
            missing = fetch_archive(data_set.archive, missing, downloaded, session, TIMEOUT, count)
        _download_by_name(data_set, missing, downloaded, session, count)


def _download_by_name(
    data_set: DataSet,
    missing: Sequence[RemoteFile],
    downloaded: Path,
    session: requests.Session,
    count: Callable[[RemoteFile], None],
) -> None:
    fetcher = pooch.create(
        path=downloaded,
        base_url=data_set.base_url,
        registry={file.path: f"sha256:{file.sha256}" for file in missing},
        urls=dict(data_set.elsewhere),
        retry_if_failed=RETRIES,
    )
    stop = threading.Event()

    def download(url: str, path: str, _: pooch.Pooch) -> None:
        """What pooch's own downloader does, on connections that stay open and with an end when `stop` is set."""
        with session.get(url, stream=True, timeout=TIMEOUT) as response, open(path, "wb") as output:
            response.raise_for_status()
            for chunk in response.iter_content(2**16):
                if stop.is_set():
                    raise _Stopped
                output.write(chunk)

    with _quiet_pooch(), ThreadPoolExecutor(THREADS) as pool:
        futures = {pool.submit(fetcher.fetch, file.path, downloader=download): file for file in missing}
        try:
            for future in as_completed(futures):
                file = futures[future]
                try:
                    future.result()
                except ValueError as error:  # pooch's for a wrong checksum; it has deleted what came
                    raise DownloadError(
                        f"{data_set.name}: expected {fetcher.get_url(file.path)} with the SHA-256 {file.sha256}, got "
                        f"another one {RETRIES + 1} times; it is not kept, and {_again(data_set)}"
                    ) from error
                count(file)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _build(data_set: DataSet, downloaded: Path) -> None:
    made = data_set.folder.with_name(f".{data_set.name}-building")
    shutil.rmtree(made, ignore_errors=True)  # of a process that was killed
    made.mkdir()
    try:
        data_set.lay_out(downloaded, made)
        (made / "SOURCE.txt").write_text(data_set.attribution, encoding="utf-8")
        os.rename(made, data_set.folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _is_whole(path: Path, file: RemoteFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size and pooch.file_hash(path) == file.sha256


@contextmanager
def _alone(lock: Path, name: str, console: Console) -> Iterator[None]:
    """Only one process at a time; the others wait here."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = filelock.FileLock(lock)
    try:
        held.acquire(timeout=0)
    except filelock.Timeout:
        console.print(f"{name}: another process is fetching it, which is waited for", highlight=False, soft_wrap=True)
        held.acquire()
    try:
        yield
    finally:
        held.release()


@contextmanager
def _errors_in_one_line(data_set: DataSet, downloaded: Path) -> Iterator[None]:
    """Whatever goes wrong, as a `DownloadError` that says what was expected and what to do."""
    name, home, again = data_set.name, data_set.folder.parent, _again(data_set)
    try:
        yield
    except requests.HTTPError as error:
        got = f"{error.response.status_code} {error.response.reason}"
        pause = " (too many requests: wait for some minutes)" if error.response.status_code == 429 else ""
        raise DownloadError(f"{name}: expected {error.response.url}, got {got}{pause}; {again}") from error
    except requests.RequestException as error:
        url = error.request.url if error.request is not None else data_set.base_url
        raise DownloadError(f"{name}: expected an answer from {url}, got {_cause(error)}; {again}") from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadError(
                f"{name}: expected a folder {home} that can be written, got {error}; ODDLAB_DATA names another one"
            ) from error
        there = sum(file.size for file in data_set.files if (downloaded / file.path).is_file())
        need = f"{(data_set.size - there + ROOM) / 1e6:.0f} MB of free disk"
        free = f"{shutil.disk_usage(home).free / 1e6:.0f} MB"
        raise DownloadError(
            f"{name}: expected {need} for {home}, got {free}; make room and {again}, or name another "
            "folder by ODDLAB_DATA"
        ) from error


def _again(data_set: DataSet) -> str:
    return f"`oddlab data get {data_set.name}` goes on from here"


def _cause(error: BaseException) -> str:
    """What was the matter in the first place: below it are only the wrappings of urllib3 and requests."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def _quiet_pooch() -> Iterator[None]:
    """Without pooch's line for each file."""
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)


def _progress(console: Console) -> Progress:
    speed = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), BarColumn(), *speed, console=console)
