"""The library's own source, live in a notebook."""

from __future__ import annotations

import ast
import inspect
import textwrap
from pathlib import Path
from typing import Any

from IPython.display import Markdown, display


def show_source(*objects: Any) -> None:
    """Show the source of functions, methods or classes as it is now, without docstrings, under its file and line.

    Raises `TypeError` for an object without Python source.

    >>> from oddlab.lab.figures import png
    >>> show_source(png)  # doctest: +ELLIPSIS
    `oddlab/lab/figures.py`, line ...
    ```python
    def png(figure: Figure) -> bytes:
        buffer = io.BytesIO()
        pixels(figure).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
    ```
    """
    display(Text("\n\n".join(fenced(thing) for thing in objects)))


class Text(Markdown):
    """Markdown that is printed as it is where it cannot be rendered."""

    def __repr__(self) -> str:
        return self.data


def fenced(thing: Any) -> str:
    """One object's source as Markdown."""
    thing = inspect.unwrap(thing.fget if isinstance(thing, property) else thing)
    try:
        lines, start = inspect.getsourcelines(thing)
        path = Path(inspect.getfile(thing))
    except (TypeError, OSError):
        raise TypeError(f"objects: expected functions, methods or classes with source, got {thing!r}") from None
    root = path.parents[thing.__module__.count(".") + (path.name == "__init__.py")]
    code = without_docstrings(textwrap.dedent("".join(lines)))
    return f"`{path.relative_to(root).as_posix()}`, line {start}\n```python\n{code}\n```"


def without_docstrings(source: str) -> str:
    '''Source without docstrings; comments and formatting stay as they are.

    >>> print(without_docstrings('def f(x):\\n    """What it says."""\\n\\n    return x  # what it does'))
    def f(x):
        return x  # what it does
    '''
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        if ast.get_docstring(node) is None or node.body[0].lineno == node.lineno:
            continue
        first, last = node.body[0].lineno - 1, node.body[0].end_lineno
        keep = " " * node.body[0].col_offset + "..." if len(node.body) == 1 else None
        # A blank line after a docstring would else be left alone under the signature.
        if not keep and last < len(lines) and not lines[last].strip():
            last += 1
        # Lines keep their numbers until all docstrings are gone.
        lines[first:last] = [keep] + [None] * (last - first - 1)
    return "\n".join(line for line in lines if line is not None).rstrip()
