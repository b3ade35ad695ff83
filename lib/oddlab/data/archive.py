"""Many files of a data set out of one archive, as they come by."""

from __future__ import annotations

import hashlib
import os
import tarfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import requests
import urllib3

from oddlab.data.catalogue import RemoteFile

BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, tarfile.TarError, EOFError, zlib.error)
"""What an archive that is not there, breaks off or is no archive raises."""


def fetch_archive(
    url: str,
    wanted: Sequence[RemoteFile],
    folder: Path,
    session: requests.Session,
    timeout: tuple[float, float],
    count: Callable[[RemoteFile], None],
) -> list[RemoteFile]:
    """Write those of `wanted` that the tar.gz at `url` holds below its one top folder; returns those still missing.

    Files are taken out while the archive arrives and are kept if their checksum is right. An archive that is not
    there, or breaks off, is no error: what it did not bring can be fetched one by one.
    """
    missing = {file.path: file for file in wanted}
    try:
        # Unpacked here, so nothing else may pack it once more for the way.
        with session.get(url, stream=True, timeout=timeout, headers={"Accept-Encoding": "identity"}) as response:
            response.raise_for_status()
            with tarfile.open(fileobj=response.raw, mode="r|gz") as archive:
                for member in archive:
                    file = missing.get(member.name.partition("/")[2])
                    if file is None or not member.isfile() or member.size != file.size:
                        continue
                    content = archive.extractfile(member).read()
                    if hashlib.sha256(content).hexdigest() == file.sha256:
                        _write(content, folder / file.path)
                        del missing[file.path]
                        count(file)
    except BROKEN:
        pass
    return list(missing.values())


def _write(content: bytes, path: Path) -> None:
    """Under another name first, so that a file is whole if it is there."""
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)
