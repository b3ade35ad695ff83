"""Which files of a folder are images, in the same order on every system."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from oddlab.data.reading import say_once

IMAGE_ENDINGS = frozenset(
    [
        ".png",
        ".apng",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".bmp",
        ".dib",
        ".tif",
        ".tiff",
        ".webp",
        ".gif",
        ".pbm",
        ".pgm",
        ".ppm",
        ".pnm",
        ".jp2",
        ".j2k",
        ".jpx",
        ".mpo",
        ".pcx",
        ".tga",
        ".avif",
    ]
)
"""Endings of image files, in lower case; upper case counts too."""

UNREADABLE = frozenset(
    [".heic", ".heif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw", ".orf", ".rw2", ".psd"]
)
"""Endings of photographs that Pillow does not read."""

LEFT_BEHIND = frozenset(["__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found"])
"""Folders that archives, file servers and systems leave among people's own."""


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is no data: hidden (.DS_Store, ._x.png), or left behind by a system.

    >>> is_hidden(".ipynb_checkpoints"), is_hidden("__MACOSX"), is_hidden("scratch")
    (True, True, False)
    """
    return name.startswith(".") or name in LEFT_BEHIND


def in_order(names: list[str]) -> list[str]:
    """`names` by code points, composed (NFC), so that every system and file system gives the same order.

    >>> in_order(["b.png", "B.png", "a.png"])
    ['B.png', 'a.png', 'b.png']
    """
    if all(map(str.isascii, names)):  # which nothing can be composed of
        return sorted(names)
    return sorted(names, key=lambda name: (unicodedata.normalize("NFC", name), name))


def folders_in(folder: Path) -> list[Path]:
    """The folders in `folder` that are not hidden, in order; none if it is not there."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not is_hidden(entry.name) and entry.is_dir()]
    return [folder / name for name in in_order(names)]


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image, by its ending.

    >>> is_image("0001.PNG"), is_image("notes.txt"), is_image("._0001.png")
    (True, False, False)
    """
    return os.path.splitext(name)[1].lower() in IMAGE_ENDINGS and not is_hidden(name)


def find_images(folder: Path) -> Iterator[Path]:
    """The image files of `folder` and of all folders in it, in order; links are followed, but never in a circle.

    A link to a file that is not there counts as an image, so that opening it says so.
    """
    yield from _walk(str(folder), (os.path.realpath(folder),))


def _walk(folder: str, above: tuple[str, ...]) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        by_name = {entry.name: entry for entry in entries if not is_hidden(entry.name)}
    for name in in_order(list(by_name)):
        entry = by_name[name]
        if entry.is_dir():
            target = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(above[-1], name)
            if target not in above:
                yield from _walk(entry.path, (*above, target))
        elif is_image(name):
            yield Path(entry.path)
        elif (ending := os.path.splitext(name)[1].lower()) in UNREADABLE:
            say_once(
                ending, f"{entry.path} is left out, and all files that end in {ending}: convert them to PNG or JPEG"
            )


def images_in(folder: Path, name: str = "root") -> list[Path]:
    """The image files of `folder` and of all folders in it, in order.

    Raises `ValueError`, with `name` for the argument that led there, if there is no such folder or no image in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{name}: expected a folder {folder}, and there is none")
    images = list(find_images(folder))
    if not images:
        found = sorted({path.suffix.lower() for path in folder.rglob("*") if path.is_file()})
        files = f"only files ending in {', '.join(map(repr, found))}" if found else "no files"
        raise ValueError(f"{name}: expected images ({', '.join(sorted(IMAGE_ENDINGS))}) in {folder}, got {files}")
    return images
