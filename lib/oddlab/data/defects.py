"""Defects that are drawn on grey images, each with its exact mask."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Grey = np.ndarray


def draw_defect(defect: str, image: Grey, rng: np.random.Generator) -> tuple[Grey, np.ndarray]:
    """Draw `defect`, one of `DEFECTS`, on a grey image (H, W) uint8; return the new image and its mask (H, W) bool.

    The mask is exact: outside of it no pixel has changed. The image given is not changed.

    >>> rng = np.random.default_rng(0)
    >>> image = np.full((64, 64), 128, dtype=np.uint8)
    >>> damaged, mask = draw_defect("scratch", image, rng)
    >>> bool((damaged[~mask] == 128).all()), bool(mask.any())
    (True, True)
    """
    if defect not in DEFECTS:
        raise ValueError(f"defect: expected one of {', '.join(DEFECTS)}, got {defect!r}")
    before = image.astype(np.float64)
    alpha, paint = DEFECTS[defect](before, rng)
    after = np.clip(before + alpha * (paint - before), 0, 255).round().astype(np.uint8)
    return after, alpha > 0


def _shape(size: tuple[int, int], draw) -> np.ndarray:
    """Coverage in [0, 1] of what `draw(pen, scale)` draws, smooth at its edges: drawn four times as large."""
    scale = 4
    canvas = Image.new("L", (size[1] * scale, size[0] * scale))
    draw(ImageDraw.Draw(canvas), scale)
    return np.asarray(canvas.resize(size[::-1], Image.Resampling.BOX), dtype=np.float64) / 255


def _blob(size: tuple[int, int], radius: float, rng: np.random.Generator) -> np.ndarray:
    """A rounded shape of about `radius` pixels at a random place, whole inside the image."""
    centre = np.array([rng.uniform(1.3 * radius, side - 1.3 * radius) for side in size[::-1]])
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    wobble = 1 + 0.2 * np.cos(2 * angles + rng.uniform(0, 6)) + 0.08 * np.cos(3 * angles + rng.uniform(0, 6))
    outline = centre + radius * wobble[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _shape(size, lambda pen, scale: pen.polygon([tuple(p * scale) for p in outline], fill=255))


def _scratch(image: Grey, rng: np.random.Generator):
    start = np.array([rng.uniform(0.15, 0.85) * side for side in image.shape[::-1]])
    angle, length, bend = rng.uniform(0, np.pi), rng.uniform(50, 85), rng.uniform(-0.6, 0.6)
    steps = np.linspace(-0.5, 0.5, 20)
    headings = angle + bend * steps
    path = start + length / 20 * np.cumsum(np.stack([np.cos(headings), np.sin(headings)], axis=1), axis=0)
    path -= length / 2 * np.array([np.cos(angle), np.sin(angle)])
    width = rng.uniform(2.2, 4.2)

    def draw(pen, scale):
        pen.line([tuple(p * scale) for p in path], fill=255, width=round(width * scale), joint="curve")

    tone = 250 if rng.random() < 0.5 else 5
    return 0.95 * _shape(image.shape, draw), np.full_like(image, tone)


def _hole(image: Grey, rng: np.random.Generator):
    tone = max(image.min() - 5, 5)
    return _blob(image.shape, rng.uniform(6, 10), rng), np.full_like(image, tone)


def _stain(image: Grey, rng: np.random.Generator):
    factor = rng.choice([0.35, 1.9])
    return 0.9 * _blob(image.shape, rng.uniform(12, 22), rng), image * factor


def _cut_and_paste(image: Grey, rng: np.random.Generator):
    # A piece of the same image, turned by a quarter and seen from nearer.
    turned = Image.fromarray(np.rot90(image).astype(np.uint8))
    nearer = turned.resize([3 * side for side in turned.size], Image.Resampling.BICUBIC)
    paint = np.asarray(nearer, dtype=np.float64)[: image.shape[0], : image.shape[1]]
    return _blob(image.shape, rng.uniform(12, 22), rng), paint


def _missing(image: Grey, rng: np.random.Generator):
    smooth = Image.fromarray(image.astype(np.uint8)).filter(ImageFilter.GaussianBlur(6))
    return _blob(image.shape, rng.uniform(11, 19), rng), np.asarray(smooth, dtype=np.float64)


DEFECTS = {
    "cut_and_paste": _cut_and_paste,
    "hole": _hole,
    "missing": _missing,
    "scratch": _scratch,
    "stain": _stain,
}
"""Defect by name: a function of a grey image (H, W) in 0 .. 255 and a generator, which returns how much of it is
covered, (H, W) in [0, 1], and by what grey."""
