"""Set-up, trainer, source and exercises."""

from __future__ import annotations

import logging
import random
import re
import sys
import warnings

import numpy as np
import pytest
import torch

from oddlab.lab import check, exercises, setup, show_source, trainer
from oddlab.lab.session import choose_device
from oddlab.lab.source import fenced, without_docstrings


def three_draws():
    return random.random(), np.random.rand(), torch.rand(()).item()


class TestSetup:
    def test_seeds_everything(self):
        setup(seed=7, device="cpu")
        first = three_draws()
        assert three_draws() != first
        setup(seed=7, device="cpu")
        assert three_draws() == first
        setup(seed=8, device="cpu")
        assert not set(three_draws()) & set(first)

    def test_prints_one_line(self, capsys):
        assert setup(device="cpu") == torch.device("cpu")
        out, err = capsys.readouterr()
        assert re.fullmatch(r"device cpu, torch \d+\.\d+\.\d+, oddlab \d+\.\d+\.\d+\n", out)
        assert err == ""

    def test_auto_takes_a_gpu_if_there_is_one(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        assert choose_device("auto") == torch.device("cpu")
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 0)
        assert choose_device("cuda:1") == torch.device("cuda", 1)
        assert choose_device("cpu") == torch.device("cpu")

    @pytest.mark.parametrize("device", ["cdua", "gpu", "CPU", "cuda:", "cuda:x", "", None, 0])
    def test_a_misspelt_device_is_refused(self, device):
        with pytest.raises(ValueError, match=f"device: expected 'auto', 'cpu', 'cuda' or 'cuda:N', got {device!r}"):
            setup(device=device)

    @pytest.mark.parametrize(
        ("gpus", "device", "there"),
        [(0, "cuda", "no GPU"), (1, "cuda:1", "one GPU, 'cuda:0'"), (3, "cuda:3", "GPUs 'cuda:0' to 'cuda:2'")],
    )
    def test_a_device_that_is_not_there_is_refused(self, monkeypatch, gpus, device, there):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        with pytest.raises(ValueError, match=f"since torch sees {there}; got '{device}'"):
            setup(device=device)

    @pytest.mark.parametrize("seed", [-1, 2**32, 1.0, "0", True, None])
    def test_a_seed_that_is_none_is_refused(self, seed):
        with pytest.raises(ValueError, match="seed: expected an int from 0"):
            setup(seed=seed, device="cpu")

    def test_leaves_the_thread_count(self):
        before = torch.get_num_threads(), torch.get_num_interop_threads()
        setup(device="cpu")
        assert (torch.get_num_threads(), torch.get_num_interop_threads()) == before


class TestTrainer:
    @pytest.fixture
    def model(self):
        import pytorch_lightning

        class Nothing(pytorch_lightning.LightningModule):
            def training_step(self, batch, batch_idx):
                return None

            def predict_step(self, batch, batch_idx):
                return batch[0].sum()

            def configure_optimizers(self):
                return None

        return Nothing()

    def test_says_and_writes_nothing(self, model, tmp_path, monkeypatch, caplog, capfd):
        monkeypatch.chdir(tmp_path)
        caplog.set_level(logging.INFO)
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(4, 2)), batch_size=2)
        # pytest hides what has been filtered before: start from Python's own filters, as a kernel does.
        with warnings.catch_warnings(record=True) as said:
            warnings.resetwarnings()
            device = setup(device="cpu")
            fit = trainer(device)
            fit.fit(model, loader)
            assert fit.predict(model, loader) == [4, 4]
            warnings.warn("something else", UserWarning, stacklevel=1)
        ours = [str(w.message) for w in said if not issubclass(w.category, (DeprecationWarning, ImportWarning))]
        assert [text for text in ours if "training_step` returned `None`" not in text] == ["something else"]
        assert [record.message for record in caplog.records if "lightning" in record.name] == []
        assert capfd.readouterr().err == ""
        assert list(tmp_path.iterdir()) == []

    def test_defaults_can_be_overridden(self, tmp_path):
        made = trainer(torch.device("cpu"), max_epochs=3, enable_checkpointing=True, default_root_dir=tmp_path)
        assert made.max_epochs == 3
        assert len(made.checkpoint_callbacks) == 1
        assert trainer("cpu").max_epochs == 1
        assert trainer("cpu").checkpoint_callbacks == trainer("cpu").loggers == []

    def test_never_imports_the_other_lightning(self):
        assert "lightning" not in sys.modules

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_on_a_gpu(self, model, capsys):
        device = setup(device="cuda")
        assert torch.cuda.get_device_name() in capsys.readouterr().out
        assert torch.ones(1, device=device).device == device == trainer(device).strategy.root_device


class Sample:
    """Sits on several lines.

    Like this one.
    """

    kind = "not a docstring"

    def method(self):
        """Removed."""

        # Kept.
        return """not a docstring"""  # kept too

    @property
    def only(self):
        """Nothing else."""


class TestSource:
    def test_docstrings_go_and_comments_stay(self):
        _, code = fenced(Sample).split("```python\n")
        assert code == (
            'class Sample:\n    kind = "not a docstring"\n\n    def method(self):\n        # Kept.\n'
            '        return """not a docstring"""  # kept too\n\n    @property\n    def only(self):\n        ...\n```'
        )

    def test_names_the_file_and_line(self):
        from oddlab import GaussianBlur2d

        for thing in (GaussianBlur2d, GaussianBlur2d.forward):
            first, _, rest = fenced(thing).partition("\n")
            path, line = first.split(", line ")
            assert path == "`oddlab/blur.py`"
            with open(sys.modules["oddlab.blur"].__file__, encoding="utf-8") as file:
                assert file.readlines()[int(line) - 1].strip() == rest.splitlines()[1].strip()

    def test_what_is_left_is_the_same_program(self):
        import ast
        import inspect

        for module in (exercises, sys.modules["oddlab.lab.widgets"], sys.modules["oddlab.lab.figures"]):
            source = inspect.getsource(module)
            bare = ast.parse(without_docstrings(source))
            defined = [n for n in ast.walk(bare) if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
            before = [n for n in ast.walk(ast.parse(source)) if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
            assert [n.name for n in defined] == [n.name for n in before]
            assert not any(ast.get_docstring(n) for n in defined)

    def test_follows_decorators_and_properties(self):
        @torch.no_grad()
        def decorated():
            return 1

        assert "return 1" in fenced(decorated)
        assert "def only" in fenced(Sample.only)
        assert fenced(check).startswith("`oddlab/lab/exercises/__init__.py`, line ")

    def test_shows_several(self, capsys):
        show_source(Sample, Sample.method)
        assert capsys.readouterr().out.count("```python") == 2

    @pytest.mark.parametrize("thing", [len, 3, Sample()])
    def test_refuses_what_has_no_source(self, thing):
        with pytest.raises(TypeError, match="objects: expected functions, methods or classes with source, got"):
            show_source(thing)


CHECKERS = '''
import math
from oddlab.lab.exercises.exercise import checker

@checker
def double(answer):
    """Right for a function that doubles."""
    if answer(2) == 2:
        return """the number is
            still the same"""
    return None if answer(2) == 4 else f"2 gives {answer(2)}"

@checker
def refuses(answer):
    """Right for a function that raises ValueError for a negative number."""
    try:
        answer(-1)
    except ValueError:
        return None
    except Exception:
        return "that is another exception"
    return "it should raise"

@checker
def number(answer):
    return None if answer == 3 else "it is three"

@checker
def broken(answer):
    raise KeyError("a mistake in the checker")

@checker
def broken_after(answer):
    answer(1)
    return 1 / 0

@checker
def attributes(answer):
    return None if (answer.__name__, answer.extra) == ("named", 5) else "lost"

def _helper(answer): ...
'''


class TestCheck:
    @pytest.fixture(autouse=True)
    def sample(self, tmp_path, monkeypatch):
        (tmp_path / "sample.py").write_text(CHECKERS, encoding="utf-8")
        monkeypatch.setattr(exercises, "__path__", [*exercises.__path__, str(tmp_path)])
        yield
        sys.modules.pop("oddlab.lab.exercises.sample", None)

    def test_right(self):
        result = check("sample.double", lambda x: 2 * x)
        assert result
        assert str(result) == repr(result) == "right"
        assert check("sample.number", 3)

    @pytest.mark.parametrize(
        ("name", "answer", "line"),
        [
            ("double", lambda x: x, "wrong because the number is still the same"),
            ("double", lambda x: x * x * x, "wrong because 2 gives 8"),
            ("double", lambda x: {}["two"], "wrong because it raised KeyError: 'two'"),
            ("double", lambda x: None, "wrong because it returns nothing: its last line should be a `return`"),
            ("refuses", lambda x: [][1], "wrong because that is another exception"),
            ("number", 4, "wrong because it is three"),
        ],
    )
    def test_wrong(self, name, answer, line):
        result = check(f"sample.{name}", answer)
        assert not result
        assert (result.exercise, result.verdict, str(result)) == (f"sample.{name}", "wrong", line)

    @pytest.mark.parametrize(
        ("name", "answer"),
        [("number", ...), ("double", ...), *[(name, lambda x: ...) for name in ("double", "refuses", "broken_after")]],
    )
    def test_not_attempted(self, name, answer):
        result = check(f"sample.{name}", answer)
        assert not result
        assert result.verdict == "not attempted"
        assert str(result).startswith("not attempted yet: replace the ...")

    def test_a_checker_may_ask_for_an_exception(self):
        def answer(x):
            if x < 0:
                raise ValueError("negative")
            return x

        assert check("sample.refuses", answer)

    def test_a_mistake_in_the_checker_is_not_the_learners(self):
        with pytest.raises(KeyError, match="a mistake in the checker"):
            check("sample.broken", lambda x: x)
        with pytest.raises(ZeroDivisionError):
            check("sample.broken_after", lambda x: x)

    def test_an_answer_keeps_its_name_and_attributes(self):
        def named(): ...

        named.extra = 5
        assert check("sample.attributes", named)

    @pytest.mark.parametrize("exercise", ["sample.dobule", "sample", "sample._helper", "sample.math", "nothing.double"])
    def test_an_unknown_exercise_is_refused_with_those_there_are(self, exercise):
        with pytest.raises(ValueError, match=r"exercise: expected one of .*sample\.double.*; got") as error:
            check(exercise, 1)
        assert "_helper" not in str(error.value).partition("; got")[0]
