"""The data sets that `oddlab data get` fetches: what they hold, whose they are and where they lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from oddlab.data import layouts
from oddlab.data.home import data_home

REGISTRIES = Path(__file__).parent / "registries"
RAW = "https://raw.githubusercontent.com"
WHOLE = "https://codeload.github.com"


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set: its path below the data set's address, its bytes and its checksum."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class DataSet:
    """A data set that can be fetched.

    Args:
        name: what `oddlab data get` and the folder are called by.
        about: one line on what it shows.
        split: how its images are dealt out, and what is left out.
        licence: as its authors state it.
        images: number of images, masks not counted.
        source: the page to read about it.
        cite: the paper, or the page where there is none.
        base_url: the address that the paths in its registry are below.
        lay_out: builds the layout of MVTec AD in its second argument from the files in its first.
        archive: the address of one tar.gz of everything below `base_url`, or "".
        elsewhere: the addresses of files that are not below `base_url`, by their path.
        registry: a text file with a line "path bytes SHA-256" for each file that is wanted.
    """

    name: str
    about: str
    split: str
    licence: str
    images: int
    source: str
    cite: str
    base_url: str
    lay_out: Callable[[Path, Path], None]
    registry: Path
    archive: str = ""
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> list[RemoteFile]:
        """The files that are wanted, in the order of the registry."""
        lines = self.registry.read_text(encoding="utf-8").splitlines()
        rows = (line.split() for line in lines if line and not line.startswith("#"))
        return [RemoteFile(path, int(size), sha256) for path, size, sha256 in rows]

    @property
    def size(self) -> int:
        """Bytes to fetch."""
        return sum(file.size for file in self.files)

    @property
    def folder(self) -> Path:
        """Where it goes, or is."""
        return data_home() / self.name

    @property
    def attribution(self) -> str:
        """What has to go with its files, as their licences ask: whose they are and what was done to them."""
        lines = (
            f"{self.name}: {self.about}",
            f"Source: {self.source}",
            f"Licence: {self.licence}",
            f"Please cite: {self.cite}",
            "Changes: brought into the layout of MVTec AD by oddlab, coloured masks and polygons as masks of 0 and 255;"
            f" {self.split}",
        )
        return "\n".join(lines) + "\n"


def find(name: str) -> DataSet:
    """The data set called `name`. Raises `ValueError` with the known names for another.

    >>> find("cookies").images
    77
    """
    if name not in CATALOGUE:
        raise ValueError(f"name: expected one of {', '.join(CATALOGUE)}, got {name!r}")
    return CATALOGUE[name]


def _on_github(repository: str, commit: str, folder: str = "") -> dict[str, str]:
    """Where a commit of a repository lies, file by file and, if all of it is wanted, as one archive."""
    archive = "" if folder else f"{WHOLE}/{repository}/tar.gz/{commit}"
    return {"base_url": f"{RAW}/{repository}/{commit}/{folder}", "archive": archive}


_DIFFERNET = f"{RAW}/marco-rudolph/differnet/9bdf02686297a093fb206ffeba64b1c0e78182b6"

CATALOGUE = {
    data_set.name: data_set
    for data_set in (
        DataSet(
            name="tiles",
            about="magnetic tiles, grey: blowholes, breaks, cracks, frays and uneven grinding, with masks",
            split="952 good images, 761 of them to train: those that DifferNet and later papers train on",
            licence="not stated; its authors welcome its use and ask to be cited",
            images=1344,
            source="https://github.com/abin24/Magnetic-tile-defect-datasets.",
            cite="Huang, Qiu, Yuan: Surface defect saliency of magnetic tile. The Visual Computer 36, 85-96 (2020); "
            "for the split Rudolph, Wandt, Rosenhahn: Same same but DifferNet. WACV (2021)",
            lay_out=layouts.lay_out_tiles,
            registry=REGISTRIES / "tiles.txt",
            elsewhere={"train_names.txt": f"{_DIFFERNET}/mtd_train_filenames.txt"},
            **_on_github("abin24/Magnetic-tile-defect-datasets.", "cc4eb530b57b9cb7225bf76023873043ffd50655"),
        ),
        DataSet(
            name="cookies",
            about="chocolate chip cookies, in colour: broken ones, with masks",
            split="31 good images to train and 14 to test, as at the source; 8 broken ones without masks are left out",
            licence="CC BY-SA 4.0",
            images=77,
            source="https://github.com/aws-samples/amazon-lookout-for-vision",
            cite="Amazon Web Services: amazon-lookout-for-vision, cookie-dataset (there is no paper)",
            lay_out=layouts.lay_out_cookies,
            registry=REGISTRIES / "cookies.txt",
            **_on_github(
                "aws-samples/amazon-lookout-for-vision",
                "14bed61caa82d07bcbd32ca583359eacfd954c30",
                "computer-vision-defect-detection/cookie-dataset/",
            ),
        ),
        DataSet(
            name="ballscrew",
            about="the spindle of a ball screw drive as it wears, in colour: pittings, with masks (BSData)",
            split="good images are those before a place's first pitting, every third place's to test; left out are "
            "those without a label after it, and the other type of spindle, which has no good ones",
            licence="CC BY-SA 4.0",
            images=1007,
            source="https://github.com/2Obe/BSData",
            cite="Schlagenhauf, Landwehr: Industrial machine tool component surface defect dataset. Data in Brief 39, "
            "107643 (2021)",
            lay_out=layouts.lay_out_ballscrew,
            registry=REGISTRIES / "ballscrew.txt",
            **_on_github("2Obe/BSData", "7204b28a621733c01cd75899ed9ea27f6ea0b9e3"),
        ),
    )
}
"""The data sets by name."""
