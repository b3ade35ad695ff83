"""The exercises of notebook 09: right answers, likely mistakes, untouched stubs."""

import re

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from oddlab import KCenterGreedy
from oddlab.lab import check


def measured(measure):
    """An answer to `radius` that makes something of the distances (N, K)."""
    return lambda x, picks: measure(cdist(x, x[picks]))


def loop(measure=lambda away: away.min(axis=1), more=lambda left, r: left > r, change=lambda picks: picks):
    """An answer to `cover` with other distances, another end, or a changed list."""

    def answer(x, first, r):
        picks = [first]
        while more((away := cdist(x, x[picks])).min(axis=1).max(), r) and len(picks) < len(x):
            picks.append(int(measure(away).argmax()))
        return change(picks)

    return answer


def by_library(x, first, r):
    sampler = KCenterGreedy(torch.from_numpy(x), 1.0)
    sampler.update_distances([first])
    picks = [first]
    while sampler.min_distances.max() > r:
        picks.append(sampler.get_new_idx())
        sampler.update_distances(picks[-1:])
    return torch.tensor(picks)


def added_before_looked(x, first, r):
    """Adds before it looks."""
    picks = [first]
    while True:
        away = cdist(x, x[picks]).min(axis=1)
        picks.append(int(away.argmax()))
        if away.max() <= r:
            return picks



@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("coreset.radius", measured(lambda away: away.min(axis=1).max())),
        ("coreset.radius", lambda x, picks: torch.cdist(*map(torch.from_numpy, (x, x[picks]))).amin(1).amax()),
        ("coreset.cover", loop()),
        ("coreset.cover", loop(change=np.array)),
        ("coreset.cover", by_library),
    ],
)
def test_right_answers_are_right(exercise, answer):
    assert check(exercise, answer)


@pytest.mark.parametrize(
    ("exercise", "answer", "reason"),
    [
        ("coreset.radius", measured(lambda away: away.min(axis=1).mean()), "the mean distance"),
        ("coreset.radius", measured(lambda away: away.max()), "farthest from them"),
        ("coreset.radius", measured(lambda away: away.min(axis=0).max()), "which is the pick itself"),
        ("coreset.radius", measured(lambda away: away.max(axis=0).min()), "the farthest point of each pick"),
        ("coreset.radius", measured(lambda away: away.min(axis=1).argmax()), "the number of the farthest point"),
        ("coreset.radius", measured(lambda away: (away**2).min(axis=1).max()), "take its root"),
        ("coreset.radius", measured(lambda away: away.min(axis=1)), r"shape \(40,\)"),
        ("coreset.radius", lambda x, picks: 7.0, "should be [0-9.]+, and yours is 7.0000"),
        ("coreset.cover", loop(change=lambda picks: picks[1:]), "row 5, belongs into the list"),
        ("coreset.cover", loop(change=lambda picks: picks[:-1]), "one pick early: a point is still .* r is 0.8"),
        ("coreset.cover", added_before_looked, "one pick too many: look"),
        ("coreset.cover", loop(more=lambda left, r: left >= r), "exactly r away counts as covered"),
        ("coreset.cover", loop(measure=lambda away: away[:, -1]), "farthest from the last pick"),
        ("coreset.cover", loop(measure=lambda away: away.sum(axis=1)), "add up to most"),
        ("coreset.cover", loop(measure=lambda away: away.mean(axis=1)), "add up to most"),
        ("coreset.cover", lambda x, first, r: len(loop()(x, first, r)), "list of row numbers, and yours is of type int"),
        ("coreset.cover", loop(measure=lambda away: -away.min(axis=1)), "picks should be .* and yours are"),
    ],
)
def test_likely_mistakes_are_named(exercise, answer, reason):
    result = check(exercise, answer)
    assert result.verdict == "wrong"
    assert re.search(reason, result.reason)


@pytest.mark.parametrize("exercise", ["coreset.radius", "coreset.cover"])
def test_a_stub_is_not_attempted(exercise):
    assert check(exercise, lambda *args: ...).verdict == "not attempted"
