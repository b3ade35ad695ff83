"""Masks as people draw them, and what is left of them in another size."""

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageFilter
from scipy import ndimage

from oddlab.data.masks import read_mask, resize_mask

DEFECT = np.zeros((40, 60), dtype=bool)
DEFECT[5:25, 10:30] = True


def painted(value, background=0):
    return np.where(DEFECT, value, background).astype(np.uint8)


def palette(colours):
    image = Image.fromarray(painted(1))
    image.putpalette(colours)
    return image


def colour(red, green, blue):
    return Image.fromarray(np.where(DEFECT[..., None], [red, green, blue], 0).astype(np.uint8))


def transparent():
    image = Image.new("RGBA", DEFECT.shape[::-1], (255, 255, 255, 0))
    image.paste((200, 0, 0, 255), mask=Image.fromarray(DEFECT))
    return image


@pytest.mark.parametrize(
    ("image", "ending"),
    [
        (Image.fromarray(painted(1)), "png"),
        (Image.fromarray(painted(255)), "png"),
        (Image.fromarray(DEFECT), "bmp"),
        (Image.fromarray(DEFECT), "tif"),
        (Image.fromarray(painted(3)), "PNG"),
        (palette([0, 0, 0, 128, 0, 0]), "png"),
        (colour(255, 0, 0), "png"),
        (colour(0, 0, 1), "png"),
        (transparent(), "png"),
        (Image.fromarray(DEFECT.astype(np.uint16) * 7), "png"),
        (Image.fromarray(DEFECT.astype(np.float32)), "tif"),
        (Image.fromarray(painted(255)), "webp"),
    ],
    ids=[
        "0 1",
        "0 255",
        "1 bit",
        "1 bit tif",
        "kind 3",
        "palette",
        "red",
        "dark blue",
        "transparent",
        "16 bit",
        "float",
        "webp",
    ],
)
def test_what_differs_from_black_is_defect(tmp_path, image, ending):
    image.save(tmp_path / f"mask.{ending}", **({"lossless": True} if ending == "webp" else {}))
    assert (read_mask(tmp_path / f"mask.{ending}") == DEFECT).all()


@pytest.mark.parametrize("image", [Image.fromarray(painted(255)), colour(255, 0, 0)], ids=["white", "red"])
@pytest.mark.parametrize("quality", [60, 95])
def test_a_mask_stored_as_jpeg_is_read_to_a_pixel_at_its_edges(tmp_path, image, quality):
    image.save(tmp_path / "mask.jpg", quality=quality)
    wrong = read_mask(tmp_path / "mask.jpg") != DEFECT
    inner, outer = ndimage.binary_erosion(DEFECT), ndimage.binary_dilation(DEFECT)
    assert not wrong[inner].any() and not wrong[~outer].any()


def test_an_empty_mask_marks_nothing(tmp_path):
    for ending in ("png", "jpg"):
        Image.new("L", (8, 8)).save(tmp_path / f"mask.{ending}")
        assert not read_mask(tmp_path / f"mask.{ending}").any()


@pytest.mark.parametrize(
    ("image", "ending", "says"),
    [
        (Image.fromarray(skimage.data.astronaut()[:64, :64]), "png", "photograph|black"),
        (Image.fromarray(skimage.data.astronaut()), "jpg", "stored with loss"),
        (Image.fromarray(skimage.data.camera()), "png", "photograph|black"),
        (Image.fromarray(painted(1)), "jpg", "stored with loss"),
        (Image.fromarray(np.where(DEFECT[..., None], [255, 0, 0], 255).astype(np.uint8)), "png", "black"),
    ],
    ids=["photograph", "photograph as JPEG", "grey photograph", "0 1 as JPEG", "red on white"],
)
def test_what_is_no_mask_is_refused_with_its_name(tmp_path, image, ending, says):
    image.save(tmp_path / f"mask.{ending}")
    with pytest.raises(ValueError, match=f"mask: expected .*({says})"):
        read_mask(tmp_path / f"mask.{ending}")


def test_a_defect_painted_on_the_photograph_is_refused(tmp_path):
    photograph = skimage.data.astronaut().copy()
    photograph[100:140, 100:160] = 255, 0, 0
    Image.fromarray(photograph).save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match="mask: expected .*mask.png"):
        read_mask(tmp_path / "mask.png")


def test_an_inverted_mask_is_refused(tmp_path):
    Image.fromarray(~DEFECT).save(tmp_path / "mask.png")
    with pytest.raises(
        ValueError, match="mask: expected black where nothing is wrong, and .*mask.png marks all but the middle"
    ):
        read_mask(tmp_path / "mask.png")


@pytest.mark.parametrize("spoil", ["blurred", "enlarged", "jpeg kept as png", "noise"])
def test_soft_edges_and_noise_add_no_regions(tmp_path, spoil):
    mask = Image.fromarray(painted(255))
    if spoil == "blurred":
        mask = mask.filter(ImageFilter.GaussianBlur(2))
    elif spoil == "enlarged":
        mask = mask.resize((120, 80), Image.Resampling.LANCZOS).resize((60, 40), Image.Resampling.LANCZOS)
    elif spoil == "jpeg kept as png":
        mask.save(tmp_path / "a.jpg", quality=50)
        mask = Image.open(tmp_path / "a.jpg")
    else:
        faint = np.random.default_rng(0).integers(0, 10, DEFECT.shape)
        mask = Image.fromarray(np.where(DEFECT, 246 + faint, faint).astype(np.uint8))
    mask.save(tmp_path / "mask.png")
    marked = read_mask(tmp_path / "mask.png")
    assert ndimage.label(marked)[1] == 1 and abs(int(marked.sum()) - int(DEFECT.sum())) < 20


def test_strokes_of_black_on_nothing_are_marks(tmp_path):
    image = Image.new("RGBA", DEFECT.shape[::-1], (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), mask=Image.fromarray(DEFECT))
    image.save(tmp_path / "mask.png")
    assert (read_mask(tmp_path / "mask.png") == DEFECT).all()


@pytest.mark.parametrize(
    "values",
    [
        np.where(DEFECT, np.nan, 0.0).astype("float32"),
        skimage.data.camera()[:64, :64].astype(np.uint16) * 257,
        (~DEFECT).astype(np.uint16) * 65535,
    ],
    ids=["NaN", "photograph of 16 bits", "inverted in 16 bits"],
)
def test_deep_masks_are_checked_too(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "mask.tif")
    with pytest.raises(ValueError, match="mask: expected .*mask.tif"):
        read_mask(tmp_path / "mask.tif")


def test_two_values_in_a_jpeg_are_refused(tmp_path):
    values = painted(255)
    values[30:38, 10:50] = 100
    Image.fromarray(values).save(tmp_path / "mask.jpg", quality=95)
    with pytest.raises(ValueError, match="mask: expected black and one bright value"):
        read_mask(tmp_path / "mask.jpg")


@pytest.mark.parametrize("side", [64, 128, 224, 500])
def test_no_region_is_lost_or_broken_by_resizing(side):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:1024, 0:1024]
    everywhere = np.ones((3, 3))
    for _ in range(20):
        angle, offset, length = rng.uniform(0, np.pi), rng.uniform(-300, 300), rng.uniform(60, 300)
        across = (x - 512) * np.cos(angle) + (y - 512) * np.sin(angle) - offset
        along = (y - 512) * np.cos(angle) - (x - 512) * np.sin(angle)
        scratch = (np.abs(across) <= 1) & (np.abs(along) < length)
        assert ndimage.label(scratch, everywhere)[1] == 1
        small = resize_mask(scratch, side).numpy()
        assert ndimage.label(small, everywhere)[1] == 1
        # Nothing is marked but what stands for a defective pixel.
        row, column = (np.searchsorted(np.arange(side) * 1024 // side, i, side="right") - 1 for i in scratch.nonzero())
        assert small.sum() == len(set(zip(row, column)))


def test_a_single_pixel_survives_and_nothing_else_is_marked():
    mask = np.zeros((1024, 700), dtype=bool)
    mask[1000, 3] = True
    small = resize_mask(mask, 32).numpy()
    assert np.argwhere(small).tolist() == [[1000 * 32 // 1024, 0]]
    assert resize_mask(DEFECT[:8, :12], 24).numpy().sum() == DEFECT[:8, :12].sum() * 3 * 2


def test_an_unchanged_size_changes_no_mask():
    mask = np.random.default_rng(0).random((33, 33)) > 0.5
    assert (resize_mask(mask, 33).numpy() == mask).all()
