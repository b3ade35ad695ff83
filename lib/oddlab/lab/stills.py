"""A figure with controls for pages that have no kernel: its pictures are drawn beforehand, for a grid of settings."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from html import escape
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import ipywidgets
from PIL import Image

from oddlab.lab.controls import value_of

FOLDER = "ODDLAB_STILLS"
"""The environment variable that names the folder for the pictures; without it nothing is drawn beforehand."""

BUDGET = "ODDLAB_STILLS_BYTES"
"""The environment variable that says how many bytes the pictures of one figure may take, if not `LESSON_BYTES`."""

LESSON_BYTES = 2_000_000
"""What the pictures under the sliders of one lesson may take, so that the whole page stays within 3 MB."""

MOST = 160
"""Pictures of one figure, so that they are drawn in about half a minute."""

LOSSY, LOSSLESS = {"quality": 75}, {"lossless": True, "quality": 50, "method": 2}
"""How pictures are stored as WebP: the first is smaller for photographs, the second for plots."""


def stills_wanted() -> bool:
    """Whether this kernel runs a notebook for pages without one."""
    return FOLDER in os.environ


def stills(
    make: Callable[[Mapping[str, Any]], bytes],
    code: Callable[[Mapping[str, Any]], str],
    controls: Mapping[str, ipywidgets.ValueWidget],
    start: Mapping[str, Any],
) -> str:
    """HTML with the `controls`, and the picture that `make` gives as a PNG for each setting of a grid.

    The pictures go to the folder that the environment names, each under its content's hash; the page looks for them in
    `_static/stills/<name of the folder>` beside its own folder. `code` says a setting in words, for those who cannot
    see the picture and for the button that copies it. Without scripts the picture of `start` is seen alone.
    """
    folder = Path(os.environ[FOLDER])
    folder.mkdir(parents=True, exist_ok=True)
    values = {name: positions(control) for name, control in controls.items()}
    ends = [{name: those[end] for name, those in values.items()} for end in (0, -1)]
    some = [make(setting) for setting in (start, *ends)]
    sizes = [[len(encode(picture, options)) for picture in some] for options in (LOSSY, LOSSLESS)]
    options = LOSSY if sum(sizes[0]) < sum(sizes[1]) else LOSSLESS
    largest = max(sizes[options is LOSSLESS])
    most = max(1, min(MOST, int(os.environ.get(BUDGET, LESSON_BYTES)) // largest))
    chosen = choose(values, start, most)
    settings = [dict(zip(chosen, those)) for those in itertools.product(*chosen.values())]
    pictures = []
    for setting in settings:
        picture = encode(make(setting), options)
        name = hashlib.sha256(picture).hexdigest()[:16] + ".webp"
        (folder / name).write_bytes(picture)
        pictures.append(name)
    names = list(dict.fromkeys(pictures))
    shown = settings.index(dict(start))
    data = {
        "names": names,
        "pictures": [names.index(picture) for picture in pictures],
        "codes": [code(setting) for setting in settings],
    }
    source = f"../_static/stills/{folder.name}"
    width, height = Image.open(folder / pictures[shown]).size
    words = escape(data["codes"][shown])
    size = f'width="{width}" height="{height}"'
    # A script ends at the first "</", also within a string.
    script = json.dumps(data).replace("</", r"<\/")
    rows = "\n".join(row(control, chosen[name], start[name]) for name, control in controls.items())
    return f"""<div class="oddlab-stills" data-source="{escape(source)}">
<div class="oddlab-controls">
{rows}
<div><button type="button" class="oddlab-reset">Reset</button>
<button type="button" class="oddlab-copy">Copy as code</button></div>
</div>
<img src="{escape(source)}/{pictures[shown]}" {size} alt="The figure at the settings {words}">
<code tabindex="0">{words}</code>
<script type="application/json">{script}</script>
</div>"""


def encode(png: bytes, options: Mapping[str, Any]) -> bytes:
    """A picture as WebP."""
    file = BytesIO()
    Image.open(BytesIO(png)).convert("RGB").save(file, "WEBP", **options)
    return file.getvalue()


def positions(control: ipywidgets.ValueWidget) -> list:
    """All values that a control of :func:`oddlab.lab.explore` can be set to.

    >>> positions(ipywidgets.FloatSlider(value=0.5, min=0.0, max=1.0, step=0.25, readout_format=".2f"))
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if isinstance(control, ipywidgets.Checkbox):
        return [False, True]
    if isinstance(control, ipywidgets.Dropdown):
        return [value for _, value in control.options]
    if isinstance(control, ipywidgets.IntSlider):
        values = list(range(control.min, control.max + 1, control.step))
    else:
        n_steps = int((control.max - control.min) / control.step + 1e-9)
        values = [float(format(control.min + i * control.step, control.readout_format)) for i in range(n_steps + 1)]
    return sorted({*values, value_of(control), type(control.value)(control.max)})


def choose(values: Mapping[str, Sequence], start: Mapping[str, Any], most: int) -> dict[str, list]:
    """Of the values of each control those of a grid of at most `most` settings, spread evenly.

    Each control keeps its ends and its start, also where these alone make more than `most` settings; then the control
    with the fewest values gets one more, again and again.

    >>> choose({"sigma": range(101), "border": ["reflect", "constant"]}, {"sigma": 30, "border": "reflect"}, most=10)
    {'sigma': [0, 30, 50, 75, 100], 'border': ['reflect', 'constant']}
    """
    counts = {name: min(len(those), 3) for name, those in values.items()}
    while True:
        may_grow = [
            name
            for name, those in values.items()
            if counts[name] < len(those) and prod(counts.values()) // counts[name] * (counts[name] + 1) <= most
        ]
        if not may_grow:
            return {name: spread(those, start[name], counts[name]) for name, those in values.items()}
        counts[min(may_grow, key=counts.__getitem__)] += 1


def spread(values: Sequence, start: Any, n: int) -> list:
    """`n` of the `values`, at even steps from the first to the last, with `start` in place of the one next to it.

    >>> spread(range(11), 4, 3)
    [0, 4, 10]
    """
    last = len(values) - 1
    chosen = [round(i * last / max(n - 1, 1)) for i in range(n)]
    at = list(values).index(start)
    if at not in chosen:
        inner = range(1, n - 1) if n > 2 else range(n)
        chosen[min(inner, key=lambda i: abs(chosen[i] - at))] = at
    return [values[i] for i in sorted(set(chosen))]


def row(control: ipywidgets.ValueWidget, values: Sequence, start: Any) -> str:
    """One control in HTML: a slider with a tick for each of `values`, a choice, or a box to tick."""
    text, at = escape(control.description), list(values).index(start)
    if isinstance(control, ipywidgets.Checkbox):
        return f'<label><input type="checkbox"{" checked" if start else ""}> <span>{text}</span></label>'
    digits = getattr(control, "readout_format", "")
    said = [format(value, digits) if isinstance(value, float) else str(value) for value in values]
    if isinstance(control, ipywidgets.Dropdown):
        options = "".join(
            f"<option{' selected' if i == at else ''}>{escape(value)}</option>" for i, value in enumerate(said)
        )
        return f"<label><span>{text}</span> <select>{options}</select></label>"
    ticks = "ticks-" + hashlib.sha256(f"{text}{said}".encode()).hexdigest()[:8]
    marks = "".join(f'<option value="{i}"></option>' for i in range(len(values)))
    return (
        f'<label><span>{text}</span> <input type="range" min="0" max="{len(values) - 1}" step="1" value="{at}" '
        f'list="{ticks}" data-said="{escape(json.dumps(said))}" aria-valuetext="{escape(said[at])}"> '
        f'<output>{escape(said[at])}</output><datalist id="{ticks}">{marks}</datalist></label>'
    )
