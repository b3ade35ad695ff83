"""A notebook's parameters: read from its cell tagged `parameters`, and what is given for them, checked."""

from __future__ import annotations

import ast
import difflib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat


class Refused(ValueError):
    """What was asked for cannot be run; raised before anything runs or is written."""


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """The notebook at `path`. Raises `Refused` if it is not one."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError, nbformat.reader.NotJSONError) as error:
        raise Refused(f"{path}: expected a notebook, got {error or type(error).__name__}") from None


def read_parameters(path: Path) -> dict[str, Any]:
    """Names and default values in the first cell of the notebook at `path` that is tagged `parameters`.

    Raises `Refused` if a default is not a literal, since its type could not be known without running the cell.
    """
    tagged = (cell for cell in read_notebook(path).cells if "parameters" in cell.metadata.get("tags", []))
    cell = next(tagged, None)
    if cell is None:
        return {}
    try:
        lines = ast.parse(cell.source).body
    except SyntaxError as error:
        raise Refused(f"{path}: the cell of parameters is not Python: {error}") from None
    parameters = {}
    for line in lines:
        if isinstance(line, ast.Assign) or (isinstance(line, ast.AnnAssign) and line.value):
            target = line.targets[0] if isinstance(line, ast.Assign) else line.target
            try:
                parameters[ast.unparse(target)] = ast.literal_eval(line.value)
            except ValueError:
                raise Refused(f"{path}: expected a literal as parameter, got `{ast.unparse(line)}`") from None
    return parameters


def split_assignments(texts: Iterable[str]) -> dict[str, str]:
    """Names and values of texts `name=value`; a value may hold further equals signs.

    >>> split_assignments(["seed=3", "data_root=/data/set=3"])
    {'seed': '3', 'data_root': '/data/set=3'}
    """
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise Refused(f"parameter: expected name=value, got {text!r}")
        if name in values:
            raise Refused(f"parameter {name}: expected it once, got {values[name]} and {value}")
        values[name] = value
    return values


def from_here(values: Mapping[str, str]) -> dict[str, str]:
    """`values` with the paths among them, those of parameters called `..._root`, made absolute.

    A notebook runs in its own folder, and a path that is typed means the folder where it is typed.

    >>> from_here({"data_root": "", "category": "bolts"})
    {'data_root': '', 'category': 'bolts'}
    """
    return {
        name: str(Path(value).expanduser().absolute()) if value and name.endswith("_root") else value
        for name, value in values.items()
    }


def check_parameters(defaults: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Which of the `given` values each notebook takes, each with the type of that notebook's default.

    `defaults` holds the parameters of each notebook by its name. A value given as text is read as the type of the
    default; for a default of None it may be anything. Raises `Refused` for a name that no notebook has and for a value
    of another type.

    >>> check_parameters({"03_blur": {"seed": 0, "sigma": 4.0}, "05_padim": {"seed": 0}}, {"sigma": "1e-3"})
    {'03_blur': {'sigma': 0.001}, '05_padim': {}}
    >>> check_parameters({"03_blur": {"seed": 0, "sigma": 4.0}}, {"sgima": "2"})
    Traceback (most recent call last):
    oddlab.lab.parameters.Refused: parameter sgima: no selected notebook has it; did you mean sigma?
    """
    known = sorted({name for parameters in defaults.values() for name in parameters})
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known)
            hint = f"did you mean {' or '.join(near)}?" if near else f"they have {', '.join(known) or 'none'}"
            raise Refused(f"parameter {name}: no selected notebook has it; {hint}")
    taken: dict[str, dict[str, Any]] = {}
    for notebook, parameters in defaults.items():
        taken[notebook] = {}
        for name, value in given.items():
            if name not in parameters:
                continue
            try:
                taken[notebook][name] = _as_type_of(parameters[name], value)
            except ValueError:
                expected = _type_name(parameters[name])
                raise Refused(f"parameter {name} of {notebook}: expected {expected}, got {value!r}") from None
    return taken


def _as_type_of(default: Any, value: Any) -> Any:
    if isinstance(value, str) and not isinstance(default, str):
        value = _literal(value)
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if isinstance(default, list) and isinstance(value, list) and len({type(entry) for entry in default}) == 1:
        value = [_as_type_of(default[0], entry) if not isinstance(entry, str) else entry for entry in value]
        if any(type(entry) is not type(default[0]) for entry in value):
            raise ValueError
    if (default is not None and type(value) is not type(default)) or not _can_be_given(value):
        raise ValueError
    return value


def _literal(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return value if _can_be_given(value) else text


def _can_be_given(value: Any) -> bool:
    # papermill writes other types (tuples, sets, bytes) into the notebook as text.
    if isinstance(value, list):
        return all(_can_be_given(entry) for entry in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _can_be_given(entry) for key, entry in value.items())
    return value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))


def _type_name(default: Any) -> str:
    if isinstance(default, bool):
        return "bool (true or false)"
    if isinstance(default, list) and default and len({type(entry) for entry in default}) == 1:
        return f"list of {type(default[0]).__name__}"
    if isinstance(default, dict):
        return "dict with text as keys, and numbers, text, lists or None as values"
    return "a finite float" if isinstance(default, float) else type(default).__name__
