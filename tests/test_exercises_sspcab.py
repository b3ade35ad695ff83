import pytest
import torch

from oddlab.lab import check


def offsets(k, d):
    return [*range(-d - k, -d), *range(d + 1, d + k + 1)]


@pytest.mark.parametrize(
    "answer", [offsets, lambda k, d: sorted(offsets(k, d), key=abs), lambda k, d: torch.tensor(offsets(k, d))]
)
def test_the_right_offsets_in_any_order_are_right(answer):
    assert str(check("sspcab.offsets", answer)) == "right"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda k, d: range(-k - d, k + d + 1), "the layer sees what it is to predict"),
        (lambda k, d: range(d + 1, d + k + 1), "one way only"),
        (lambda k, d: [*range(1 - d - k, 1 - d), *range(d, d + k)], "begin at d + 1"),
        (lambda k, d: offsets(k, d) if d == 1 or k == 1 else [-6, -4, -2, 2, 4, 6], "are neighbours"),
        (lambda k, d: [-k - d, k + d], "it should be [-3, -2, 2, 3], and yours is [-3, 3]"),
        (lambda k, d: [0.5], "whole numbers"),
        (lambda k, d: 2, "whole numbers"),
        (lambda k, d: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_wrong_offsets_are_told_why(answer, reason):
    result = check("sspcab.offsets", answer)
    assert result.verdict == "wrong" and reason in result.reason


@pytest.mark.parametrize("answer", [lambda width: max(1, width - 1), lambda width: torch.tensor(max(1, width - 1))])
def test_the_smallest_dilation_is_right(answer):
    assert str(check("sspcab.smallest_dilation", answer)) == "right"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda width: width - 1, "d is 1 at least"),
        (lambda width: max(1, width // 2), "what lies at its edge does"),
        (lambda width: max(1, width), "one more than it needs"),
        (lambda width: 40, "it should be 1, and yours is 40"),
        (lambda width: width / 2, "a whole number"),
        (lambda width: "many", "a whole number"),
    ],
)
def test_wrong_dilations_are_told_why(answer, reason):
    result = check("sspcab.smallest_dilation", answer)
    assert result.verdict == "wrong" and reason in result.reason


@pytest.mark.parametrize("exercise", ["sspcab.offsets", "sspcab.smallest_dilation"])
def test_a_stub_is_not_attempted(exercise):
    assert check(exercise, lambda *_: ...).verdict == "not attempted"
