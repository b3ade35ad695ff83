"""Figures: how they look, how they are shown small and with words for those who cannot see them, and heat maps."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from cycler import cycler
from IPython import get_ipython
from IPython.display import Image, display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image as Pillow
from scipy.spatial import KDTree

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

WIDTH = 9.5
"""Inches: the widest figure by default, which fits a notebook on a laptop's screen."""

COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000"]
"""The palette of Okabe and Ito, which the colour-blind can tell apart."""

STYLE = {
    "axes.labelsize": 11,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 12,
    "figure.dpi": 80,
    "font.size": 11,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "savefig.dpi": "figure",
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
}


def use_defaults() -> None:
    """Set how figures look, and in a notebook that a picture always has the size of its figure."""
    matplotlib.rcParams.update(STYLE)
    if getattr(get_ipython(), "kernel", None) is None:
        return
    from matplotlib_inline.backend_inline import set_matplotlib_formats
    from matplotlib_inline.config import InlineBackend

    # A tight box, the default, has another size for every tick label, and the page would jump.
    InlineBackend.instance().print_figure_kwargs = {"bbox_inches": None}
    set_matplotlib_formats("png")


def subplots(rows: int = 1, cols: int = 1, **kwargs: Any) -> tuple[Figure, Any]:
    """A figure and its axes, as `matplotlib.pyplot.subplots` gives them, but one that pyplot does not hold.

    So it is shown where it is the last expression of a cell or passed to :func:`show`, only there, and its memory is
    freed. `figsize` is derived from `rows` and `cols` if it is not given; other `kwargs` go to `Figure.subplots`.

    >>> figure, axes = subplots(2, 3, sharex=True)
    >>> axes.shape
    (2, 3)
    """
    side = min(4.8, WIDTH / cols)
    figure = Figure(figsize=kwargs.pop("figsize", (side * cols, min(side, 3.4) * rows)), layout="constrained")
    return figure, figure.subplots(rows, cols, **kwargs)


def show(figure: Figure, alt: str, key: bool = False) -> None:
    """Show a figure as a small picture, with the sentence `alt` that says what it shows.

    The picture is a PNG of 256 colours or a JPEG, whichever is smaller: the first for plots, the second for
    photographs. `alt` is stored with the output, where nbconvert and others find it. `key` marks the picture that
    stands for the notebook on the index page of a run. Raises `TypeError` if `figure` is none, `ValueError` if `alt` is
    no sentence.
    """
    check_figure("figure", figure)
    if not isinstance(alt, str) or len(alt.split()) < 3:
        raise ValueError(f"alt: expected a sentence that says what the figure shows, got {alt!r}")
    display(Picture(*encoded(pixels(figure)), alt), metadata={"oddlab": {"key_figure": True}} if key else None)


def encoded(image: Pillow.Image) -> tuple[bytes, str]:
    """The file of an image and its format: a PNG of 256 colours or a JPEG, whichever is smaller.

    >>> encoded(Pillow.new("RGB", (9, 9)))[1]
    'png'
    """
    plot, photograph = io.BytesIO(), io.BytesIO()
    of_256_colours(image).save(plot, "PNG", optimize=True)
    image.save(photograph, "JPEG", quality=88)
    return min((plot.getvalue(), "png"), (photograph.getvalue(), "jpeg"), key=lambda pair: len(pair[0]))


def of_256_colours(image: Pillow.Image) -> Pillow.Image:
    """The image in white, the colours of its larger areas, and ones spread over all that occur.

    The first alone would turn the colour bar of a heat map over a photograph into a few steps, the last alone would
    give pale areas other tints.

    >>> of_256_colours(Pillow.new("RGB", (9, 9), "white")).getpixel((0, 0))
    0
    """
    frequent = image.quantize(127, method=Pillow.Quantize.MEDIANCUT).getpalette() or []
    spread = image.quantize(128, method=Pillow.Quantize.MAXCOVERAGE).getpalette() or []
    palette = np.array([255, 255, 255, *frequent[: 3 * 127], *spread[: 3 * 128]], dtype=np.uint8).reshape(-1, 3)
    # Pillow looks up the nearest colour of a coarse grid, which gives white a tint.
    packed = np.asarray(image, dtype=np.int32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.int32)
    colours, places = np.unique(packed, return_inverse=True)
    _, nearest = KDTree(palette).query(np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1))
    indexed = Pillow.fromarray(nearest[places].reshape(packed.shape).astype(np.uint8))
    indexed.putpalette(palette.tobytes())
    return indexed


def key_figure(notebook: Mapping[str, Any]) -> tuple[str, str] | None:
    """The picture that was shown with `key=True` in an executed notebook, as a data URI, and its alt; the first one."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            if output.get("metadata", {}).get("oddlab", {}).get("key_figure"):
                mime = next(mime for mime in output["data"] if mime.startswith("image/"))
                alt = output["metadata"].get(mime, {}).get("alt", "")
                return f"data:{mime};base64,{output['data'][mime].strip()}", alt
    return None


class Picture(Image):
    """A picture that is shown in words where there is no room for pictures."""

    def __init__(self, data: bytes, format: str, alt: str) -> None:
        super().__init__(data, format=format, alt=alt)

    def __repr__(self) -> str:
        return self.alt


def pixels(figure: Figure) -> Pillow.Image:
    """The figure as an image of exactly its size."""
    before = figure.canvas
    canvas = FigureCanvasAgg(figure)
    try:
        # Not by `savefig`, which goes through the whole figure twice if its layout is constrained.
        canvas.draw()
    finally:
        figure.set_canvas(before)
    return Pillow.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def png(figure: Figure) -> bytes:
    """The figure as a PNG of exactly its size, made fast rather than small."""
    buffer = io.BytesIO()
    pixels(figure).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def check_figure(name: str, value: Any) -> Figure:
    """Return `value` if it is a Figure, else raise `TypeError`."""
    if not isinstance(value, Figure):
        raise TypeError(f"{name}: expected a matplotlib Figure, got {type(value).__name__}")
    return value


def heat_map(
    ax: Axes,
    image: torch.Tensor,
    anomaly_map: torch.Tensor,
    mask: torch.Tensor | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
) -> AxesImage:
    """Draw `anomaly_map` (h, w) over `image` (3, H, W) or (H, W) in [0, 1], and the outline of `mask` (h, w) if given.

    The map covers the image whatever its size; `vmin` and `vmax` are the values that are drawn clear and opaque, by
    default the map's own smallest and largest. Returns what `figure.colorbar` takes. Raises `ValueError` for another
    shape and for an image that is not in [0, 1].

    >>> figure, ax = subplots()
    >>> heat_map(ax, np.zeros((3, 8, 8)), np.arange(16.0).reshape(4, 4)).get_clim()
    (0.0, 15.0)
    """
    pixels, scores = array(image), array(anomaly_map)
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and len(pixels) == 3)):
        raise ValueError(f"image: expected shape (3, H, W) or (H, W), got {pixels.shape}")
    if not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(f"image: expected values in [0, 1], got {pixels.min():.3g} to {pixels.max():.3g}")
    if scores.ndim != 2 or not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores)).sum())
        raise ValueError(f"anomaly_map: expected finite values of shape (h, w), got {scores.shape}, {bad} not finite")
    height, width = pixels.shape[-2:]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    ax.imshow(pixels if pixels.ndim == 2 else pixels.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=1, extent=extent)
    low, high = float(scores.min() if vmin is None else vmin), float(scores.max() if vmax is None else vmax)
    # What is normal stays clear, so that one sees the image and not the map.
    opacity = 0.75 * np.clip((scores - low) / max(high - low, 1e-12), 0, 1)
    drawn = ax.imshow(scores, cmap="inferno", vmin=low, vmax=high, alpha=opacity, extent=extent)
    if mask is not None and array(mask).any():
        _outline(ax, array(mask), height, width)
        ax.set(xlim=extent[:2], ylim=extent[2:])
    ax.set_axis_off()
    return drawn


def _outline(ax: Axes, mask: np.ndarray, height: int, width: int) -> None:
    if mask.ndim != 2:
        raise ValueError(f"mask: expected shape (h, w), got {mask.shape}")
    # A rim of zeros closes the outline of what touches the border.
    rows, cols = ((np.arange(-1, n + 1) + 0.5) * size / n - 0.5 for n, size in zip(mask.shape, (height, width)))
    ax.contour(cols, rows, np.pad(mask, 1), levels=[0.5], colors="#56B4E9", linewidths=1.5)


def array(values: torch.Tensor | np.ndarray) -> np.ndarray:
    """`values` as an array of floating point, from any device."""
    return values.detach().float().cpu().numpy() if hasattr(values, "detach") else np.asarray(values, dtype=float)
