"""From the layouts in which data sets are published to the one of MVTec AD, which `read_folder` reads.

Each function builds it in `made` from the files in `downloaded`. Images keep their names and their bytes; masks are
rewritten, with 0 and 255, only where they are coloured or polygons.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from PIL import Image, ImageDraw

TRAIN_NAMES = "train_names.txt"
"""The file with the names of the published split's training images of the tiles."""


def lay_out_tiles(downloaded: Path, made: Path) -> None:
    """MT_<Kind>/Imgs/*.jpg with masks *.png beside them; `train_names.txt` says which of MT_Free are to train."""
    train = set((downloaded / TRAIN_NAMES).read_text(encoding="utf-8").split())
    for image in sorted(downloaded.glob("MT_*/Imgs/*.jpg")):
        kind = image.parent.parent.name.removeprefix("MT_").lower()
        if kind == "free":
            _put(image, made / ("train" if image.name in train else "test") / "good" / image.name)
        else:
            _put(image, made / "test" / kind / image.name)
            _put(image.with_suffix(".png"), _mask_path(made, kind, image))
    _put(downloaded / TRAIN_NAMES, made / TRAIN_NAMES)


def lay_out_cookies(downloaded: Path, made: Path) -> None:
    """training-images/ of normal ones and of anomalies with mask-images/, whose defects are painted on transparency."""
    training = downloaded / "dataset-files" / "training-images"
    for image in sorted(training.glob("normal-*.jpg")):
        _put(image, made / "train" / "good" / image.name)
    for image in sorted((downloaded / "test-images").glob("test-normal-*.jpg")):
        _put(image, made / "test" / "good" / image.name)
    for image in sorted(training.glob("anomaly-*.jpg")):
        _put(image, made / "test" / "anomaly" / image.name)
        with Image.open(downloaded / "dataset-files" / "mask-images" / f"{image.stem}.png") as painted:
            opacity = painted.convert("RGBA").getchannel("A")
        _save(opacity.point([255 * (value > 127) for value in range(256)]), _mask_path(made, "anomaly", image))


def lay_out_ballscrew(downloaded: Path, made: Path) -> None:
    """data/*.jpg, of which those with pittings have label/*.json. Good images of every third place are to test.

    A place is a position and an angle of the spindle. It is photographed again and again, so that two images of one
    are nearly the same: none is in both parts.
    """
    images = sorted((downloaded / "data").glob("*.jpg"))
    places_to_test = sorted({_place(image) for image in images})[2::3]
    for image in images:
        label = downloaded / "label" / f"{image.stem}.json"
        if label.is_file():
            _put(image, made / "test" / "pitting" / image.name)
            _save(_polygons(label), _mask_path(made, "pitting", image))
        else:
            _put(image, made / ("test" if _place(image) in places_to_test else "train") / "good" / image.name)


def _place(image: Path) -> str:
    """`560000_000` of 01_200905041126_560000_000_crop_2.jpg."""
    return image.stem.split("_", 2)[2].partition("_crop")[0]


def _polygons(label: Path) -> Image.Image:
    """The polygons that labelme has written to `label`, filled with their outlines, as labelme itself fills them."""
    content = json.loads(label.read_text(encoding="utf-8"))
    mask = Image.new("L", (content["imageWidth"], content["imageHeight"]))
    draw = ImageDraw.Draw(mask)
    for shape in content["shapes"]:
        draw.polygon([tuple(point) for point in shape["points"]], fill=255, outline=255)
    return mask


def _mask_path(made: Path, kind: str, image: Path) -> Path:
    return made / "ground_truth" / kind / f"{image.stem}_mask.png"


def _save(mask: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask.save(path)


def _put(file: Path, path: Path) -> None:
    """`file` once more at `path`: a hard link, or a copy where the file system has none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, path)
    except OSError:
        shutil.copyfile(file, path)
    path.chmod(0o644)  # downloads are readable by their owner only
