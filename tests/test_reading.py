"""What people's image files hold, against what a person sees in them."""

import os
import struct
import unicodedata
import warnings

import numpy as np
import PIL
import pytest
import skimage.io
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from oddlab.data import ImageDataset, ImageFolder, PredictData, Sample, find_images, reading
from oddlab.data.files import in_order
from oddlab.data.reading import open_upright, read_image

ORIENTATION = 0x0112
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
"""How viewers turn the stored pixels for each EXIF orientation, written with numpy and not with Pillow."""


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch):
    monkeypatch.setattr(reading, "_said", set())


def read(path, side=None, **kwargs):
    """The image as (H, W, 3) without any resizing, or of the given side."""
    if side:
        return read_image(path, side, **kwargs)[0].permute(1, 2, 0).numpy()
    image = np.asarray(reading.visible(open_upright(path), path), dtype=np.float32)
    return image / 255 if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def picture():
    """A smooth picture in colours that is no mirror image or turn of itself."""
    y, x = np.mgrid[0:20, 0:30] / 30
    red, green, blue = x, y * x, 0.3 + 0.5 * y
    return (np.stack([red, green, blue], axis=2) * 255).astype(np.uint8)


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_images_are_upright_as_every_viewer_shows_them(tmp_path, orientation, ending):
    stored = picture()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"quality": 100, "subsampling": 0} if ending == "jpg" else {"lossless": True} if ending == "webp" else {}
    Image.fromarray(stored).save(tmp_path / f"photo.{ending}", exif=exif, **options)
    shown = TURNS[orientation](stored) / 255
    assert read(tmp_path / f"photo.{ending}").shape == shown.shape
    assert np.abs(read(tmp_path / f"photo.{ending}") - shown).max() < 0.02


def test_a_mask_drawn_on_the_upright_image_lies_where_the_defect_is(tmp_path):
    stored = np.zeros((30, 30), dtype=np.uint8)
    stored[2:6, 20:28] = 255  # the defect, seen right below after the turn
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(stored).save(tmp_path / "photo.jpg", exif=exif, quality=100)
    Image.fromarray(TURNS[6](stored)).save(tmp_path / "mask.png")
    item = ImageDataset([Sample(tmp_path / "photo.jpg", "hole", tmp_path / "mask.png")], 30)[0]
    assert torch.equal(item["image"][0] > 0.5, item["mask"].bool()) and item["mask"].sum() == 32


@pytest.mark.parametrize(
    ("dtype", "ending", "top"),
    [
        ("uint16", "png", 65535),
        ("uint16", "tif", 65535),
        ("float32", "tif", 1.0),
        ("int32", "tif", 2**20),
        ("float32", "tif", 4000.0),
    ],
)
def test_a_ramp_stays_a_ramp_in_any_depth(tmp_path, dtype, ending, top):
    ramp = np.linspace(0, top, 64).astype(dtype)[None].repeat(8, axis=0)
    skimage.io.imsave(tmp_path / f"ramp.{ending}", ramp, check_contrast=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = read(tmp_path / f"ramp.{ending}")
    assert np.abs(found - np.linspace(0, 1, 64)[None, :, None]).max() < 1e-4


def with_tag(path, number, value):
    """Write `value` into the tag `number` (one SHORT) of a little-endian TIFF."""
    entry = struct.pack("<HHI", number, 3, 1)
    whole = path.read_bytes()
    assert whole.count(entry) == 1
    at = whole.index(entry) + len(entry)
    path.write_bytes(whole[:at] + struct.pack("<H", value) + whole[at + 2 :])


def test_integers_without_a_sign_keep_their_order(tmp_path):
    ramp = np.linspace(0, 2**32 - 1, 64).astype("uint32")
    Image.fromarray(ramp.view("int32")[None].repeat(8, axis=0)).save(tmp_path / "ramp.tif")
    with_tag(tmp_path / "ramp.tif", 339, 1)
    with pytest.warns(UserWarning, match=r"0 to 4\.29497e\+09"):
        found = read(tmp_path / "ramp.tif")
    assert np.abs(found - np.linspace(0, 1, 64)[None, :, None]).max() < 1e-4


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_tiff_whose_0_is_white_is_turned_round(tmp_path, dtype):
    top = np.iinfo(dtype).max
    ramp = np.linspace(0, top, 64).astype(dtype)[None].repeat(8, axis=0)
    Image.fromarray(ramp).save(tmp_path / "ramp.tif")
    with_tag(tmp_path / "ramp.tif", 262, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = read(tmp_path / "ramp.tif")
    assert np.abs(found - np.linspace(1, 0, 64)[None, :, None]).max() < 0.005


def test_photographs_of_other_kinds_are_said_to_be_left_out(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    (tmp_path / "b.HEIC").write_bytes(b"any")
    with pytest.warns(UserWarning, match=r"b\.HEIC is left out, and all files that end in \.heic"):
        assert [path.name for path in find_images(tmp_path)] == ["a.png"]


def test_how_deep_images_are_scaled_is_said_once(tmp_path):
    for i in range(2):
        skimage.io.imsave(tmp_path / f"{i}.png", np.full((4, 4), 4095, dtype=np.uint16), check_contrast=False)
        skimage.io.imsave(tmp_path / f"{i}.tif", np.array([[-3.0, 5.0]], dtype=np.float32), check_contrast=False)
    with pytest.warns(UserWarning) as said:
        values = [read(path) for path in find_images(tmp_path)]
    assert ["4,095" in str(w.message) for w in said] == [True, False] and "-3 to 5" in str(said[1].message)
    assert values[0][0, 0, 0] == pytest.approx(4095 / 65535) and values[1][0, :, 0].tolist() == [0.0, 1.0]


def test_values_that_are_no_numbers_are_refused(tmp_path):
    skimage.io.imsave(tmp_path / "a.tif", np.array([[0.5, np.nan]], dtype=np.float32), check_contrast=False)
    with pytest.raises(ValueError, match="image: expected finite values in .*a.tif"):
        read_image(tmp_path / "a.tif", 8)


def test_a_file_with_values_that_are_no_numbers_is_left_out_when_asked(tmp_path):
    for name, value in (("a", 0.5), ("b", np.nan)):
        values = np.array([[0.5, value]], dtype=np.float32)
        skimage.io.imsave(tmp_path / f"{name}.tif", values, check_contrast=False)
    with pytest.warns(UserWarning, match=r"1 of 2 files are left out:\n.*finite values in .*b\.tif"):
        kept = PredictData(tmp_path, image_size=8, skip_broken=True)
    assert [path.name for path in kept.predict_set.paths] == ["a.tif"]


def test_transparent_pixels_are_white_whatever_colour_they_hide(tmp_path):
    hidden = np.dstack([picture(), np.full((20, 30), 255, dtype=np.uint8)])
    hidden[:, :10, 3] = 0
    Image.fromarray(hidden).save(tmp_path / "a.png")
    found = read(tmp_path / "a.png")
    assert (found[:, :10] == 1).all() and np.allclose(found[:, 10:], picture()[:, 10:] / 255)
    palette = Image.fromarray(picture()[..., 0]).convert("P")
    palette.info["transparency"] = palette.getpixel((29, 0))
    palette.save(tmp_path / "p.png", transparency=palette.getpixel((29, 0)))
    assert (read(tmp_path / "p.png")[0, 29] == 1).all()


def test_the_first_of_several_pages_is_read_and_that_is_said(tmp_path):
    pages = [Image.fromarray(np.full((4, 4), value, dtype=np.uint8)) for value in (51, 200, 90)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    with pytest.warns(UserWarning, match="stack.tif has 3 pages, of which the first is read"):
        assert read(tmp_path / "stack.tif")[0, 0, 0] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "and it is empty"),
        (b"a letter to a friend", "and it is none that Pillow can read"),
        (None, "and it does not open: .*truncated"),
    ],
    ids=["empty", "text", "cut off"],
)
def test_files_that_do_not_open_are_named_and_left_out_only_when_asked(tmp_path, content, says):
    from oddlab.data import ImageData

    for i in range(3):
        Image.fromarray(picture()).save(tmp_path / f"{i}.png")
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ValueError, match=rf"image: expected an image file at .*1\.png, {says}"):
        list(ImageFolder(tmp_path, 8))
    samples = [Sample(path) for path in find_images(tmp_path)]
    with pytest.warns(UserWarning, match=rf"1 of 3 files are left out:\n.*1\.png, {says}"):
        kept = PredictData(tmp_path, image_size=8, skip_broken=True)
    assert [path.name for path in kept.predict_set.paths] == ["0.png", "2.png"]
    with pytest.warns(UserWarning, match="left out"):
        data = ImageData(samples, samples, val=samples[:1], image_size=8, skip_broken=True)
    assert len(data.train_set) == len(data.test_set) == 2 and len(data.val_set) == 1


def test_an_image_that_is_too_large_is_named_with_the_limit_and_the_limit_can_be_raised(tmp_path, monkeypatch):
    Image.new("1", (300, 200)).save(tmp_path / "scan.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)
    with pytest.raises(
        ValueError, match=r"image: expected at most 40,000 pixels, and .*scan\.png has more.*MAX_IMAGE_PIXELS"
    ):
        read_image(tmp_path / "scan.png", 8)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60_000)
    assert read_image(tmp_path / "scan.png", 8)[0].shape == (3, 8, 8)


def test_a_file_that_is_not_there_is_named(tmp_path):
    os.symlink(tmp_path / "nowhere.png", tmp_path / "link.png")
    assert [path.name for path in find_images(tmp_path)] == ["link.png"]
    with pytest.raises(ValueError, match=r"expected an image file at .*link\.png, and there is none"):
        read_image(tmp_path / "link.png", 8)


def test_images_are_stretched_or_keep_their_shape(tmp_path):
    Image.new("RGB", (40, 10), "white").save(tmp_path / "wide.png")
    assert (read(tmp_path / "wide.png", side=8) == 1).all()
    padded = read(tmp_path / "wide.png", side=8, keep_shape=True)
    assert (padded[3:5] == 1).all() and padded[:3].max() == padded[5:].max() == 0
    mask = np.zeros((10, 40), dtype=bool)
    mask[9, 39] = True
    Image.fromarray(mask).save(tmp_path / "mask.png")
    item = ImageDataset([Sample(tmp_path / "wide.png", "dot", tmp_path / "mask.png")], 8, keep_shape=True)[0]
    assert item["mask"].nonzero().tolist() == [[4, 7]]


def test_hidden_and_left_behind_files_are_no_data(tmp_path):
    names = [
        "a.png",
        "b.JPG",
        ".c.png",
        "._a.png",
        ".ipynb_checkpoints/a.png",
        "__MACOSX/a.png",
        "@eaDir/a.png",
        "x/y/z.Png",
    ]
    for name in [*names, "Thumbs.db", ".DS_Store", "desktop.ini", "readme.txt"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)] == ["a.png", "b.JPG", "x/y/z.Png"]


def test_links_are_followed_but_not_in_a_circle(tmp_path):
    (tmp_path / "real").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "real" / "a.png")
    os.symlink(tmp_path / "real", tmp_path / "linked")
    os.symlink(tmp_path, tmp_path / "real" / "up")
    os.symlink(tmp_path / "real" / "a.png", tmp_path / "b.png")
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ["b.png", "linked/a.png", "real/a.png"]


def test_the_order_of_files_is_the_same_on_every_system():
    composed, apart = (unicodedata.normalize(form, "\u00e4.png") for form in ("NFC", "NFD"))
    assert in_order(["b.png", apart, "z.png"]) == ["b.png", "z.png", apart]
    assert in_order(["b.png", composed, "z.png"]) == ["b.png", "z.png", composed]


@pytest.mark.parametrize(
    "name", ["with space", "ümläut", "日本語", "br[ack]ets", "{braces}", "100%", "#1", "quo'te", "a,b;c"]
)
def test_odd_names_are_names(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    Image.fromarray(picture()).save(folder / f"{name}.png")
    (item,) = ImageFolder(tmp_path, 8)
    assert item["image_path"] == str(folder / f"{name}.png")


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F", "I"]
ENDINGS = {
    "1": ["png", "bmp", "tif", "pbm"],
    "L": ["png", "jpg", "bmp", "tif", "webp", "pgm", "gif", "jp2"],
    "LA": ["png", "tif"],
    "P": ["png", "gif", "bmp", "tif"],
    "RGB": ["png", "jpg", "jpeg", "jfif", "bmp", "tif", "webp", "ppm", "tga", "jp2"],
    "RGBA": ["png", "webp", "tif", "tga"],
    "CMYK": ["jpg", "tif"],
    "YCbCr": ["jpg", *(["tif"] if int(PIL.__version__.split(".")[0]) >= 13 else [])],  # cut off by Pillow before that
    "I;16": ["png", "tif", "pgm"],
    "F": ["tif", "pfm"],
    "I": ["tif"],
}


def made(mode, rgb):
    """`rgb` (H, W, 3) uint8 in `mode`, and what a person then sees (H, W, 3) in 0 .. 1."""
    image = Image.fromarray(rgb)
    grey = rgb[..., 1]
    if mode == "I;16":
        return Image.fromarray(grey.astype(np.uint16) * 257), np.repeat(grey[..., None], 3, axis=2) / 255
    if mode in ("F", "I"):
        deep = grey.astype("float32") / 255 if mode == "F" else grey.astype("int32") * 7 + 3
        low, high = (0, 1) if mode == "F" else (deep.min(), deep.max())
        return Image.fromarray(deep), np.repeat(((deep - low) / max(high - low, 1e-9))[..., None], 3, axis=2)
    if mode in ("LA", "RGBA"):
        alpha = np.where(np.arange(rgb.shape[1]) < 2, 0, 255).astype(np.uint8)[None].repeat(rgb.shape[0], axis=0)
        opaque = image.convert(mode[:-1])
        opaque.putalpha(Image.fromarray(alpha))
        seen = np.asarray(image.convert(mode[:-1]).convert("RGB")) / 255
        return opaque, np.where(alpha[..., None] == 0, 1.0, seen)
    converted = image.convert(mode)
    return converted, np.asarray(converted.convert("RGB")) / 255


@settings(max_examples=80, deadline=None)
@given(
    mode=st.sampled_from(MODES),
    choice=st.integers(0, 100),
    orientation=st.sampled_from([None, *TURNS]),
    size=st.tuples(st.integers(3, 40), st.integers(3, 40)),
    upper=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_what_a_person_sees_is_what_the_tensor_holds(tmp_path_factory, mode, choice, orientation, size, upper, seed):
    ending = ENDINGS[mode][choice % len(ENDINGS[mode])]
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 3, 3)).astype(np.uint8)
    rgb = np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))
    image, seen = made(mode, rgb)
    options = {}
    if orientation and ending in ("jpg", "jpeg", "jfif", "png", "tif", "webp"):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        options["exif"] = exif
        seen = TURNS[orientation](seen)
    if ending in ("jpg", "jpeg", "jfif"):
        options |= {"quality": 100, "subsampling": 0}
    if ending == "webp":
        options["lossless"] = True
    path = tmp_path_factory.mktemp("seen") / f"image.{ending.upper() if upper else ending}"
    image.save(path, **options)
    tolerance = 0.03 if ending in ("jpg", "jpeg", "jfif") or mode == "YCbCr" else 0.005
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = read(path)
        assert found.shape == seen.shape and np.abs(found - seen).max() <= tolerance
        small = read_image(path, 16)[0]
    assert small.shape == (3, 16, 16) and small.dtype == torch.float32 and 0 <= small.min() <= small.max() <= 1
    # A second reader, for what it can read: scikit-image turns nothing and knows nothing of Pillow's modes.
    if mode in ("L", "RGB", "I;16") and "exif" not in options and ending in ("png", "tif", "bmp"):
        other = skimage.io.imread(path).astype(np.float64)
        other /= 65535 if mode == "I;16" else 255
        assert np.abs((other if other.ndim == 3 else other[..., None]) - found).max() < 0.005


def test_odd_tags_beside_the_orientation_do_not_matter(tmp_path):
    # ImageWidth, a number by the standard, as text, and then orientation 6.
    entries = struct.pack("<HHI4s", 0x0100, 2, 3, b"wi") + struct.pack("<HHIHH", ORIENTATION, 3, 1, 6, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0)
    Image.fromarray(picture()).save(tmp_path / "photo.jpg", exif=exif, quality=100, subsampling=0)
    assert read(tmp_path / "photo.jpg").shape == (30, 20, 3)
