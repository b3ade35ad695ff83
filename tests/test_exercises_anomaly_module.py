import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from oddlab.lab import check
from oddlab.threshold import AdaptiveThreshold


def f1(called, labels):
    return 2 * (called & labels).sum() / (called.sum() + labels.sum())


def best(measure, scores):
    levels = np.unique(scores)
    return levels[np.argmax([measure(t) for t in levels])]


def by_library(scores, labels):
    metric = AdaptiveThreshold()
    metric.update(torch.from_numpy(scores), torch.from_numpy(labels).int())
    return metric.compute()


THRESHOLDS = {
    "right": (lambda s, y: best(lambda t: f1(s >= t, y), s), None),
    "the library": (by_library, None),
    "on a fine grid": (lambda s, y: max(np.arange(47, 55, 0.01), key=lambda t: f1(s >= t, y)), None),
    "greater than": (lambda s, y: best(lambda t: f1(s > t, y), s), "s >= t"),
    "accuracy": (lambda s, y: best(lambda t: ((s >= t) == y).mean(), s), "accuracy"),
    "the last best accuracy": (
        lambda s, y: max(np.unique(s)[::-1], key=lambda t: ((s >= t) == y).mean()),
        "accuracy",
    ),
    "F1 itself": (lambda s, y: max(f1(s >= t, y) for t in s), "F1 itself"),
    "its place": (lambda s, y: int(np.argmax([f1(s >= t, y) for t in np.unique(s)])), "place"),
    "as for probabilities": (lambda s, y: 0.5, "reaches only"),
}

AUROCS = {
    "right": (lambda s, y: np.mean([(a > b) + (a == b) / 2 for a in s[y] for b in s[~y]]), None),
    "scikit-learn": (lambda s, y: roc_auc_score(y, s), None),
    "ties are 0": (lambda s, y: (s[y][:, None] > s[~y]).mean(), "as 0 with you"),
    "ties are 1": (lambda s, y: (s[y][:, None] >= s[~y]).mean(), "as 1 with you"),
    "wrong way": (lambda s, y: roc_auc_score(~y, s), "wrong way round"),
    "all pairs": (lambda s, y: (s[:, None] > s).mean(), "pairs a share of"),
}


@pytest.mark.parametrize("name", THRESHOLDS)
def test_best_threshold(name):
    answer, reason = THRESHOLDS[name]
    result = check("anomaly_module.best_threshold", answer)
    assert bool(result) == (reason is None) and (reason or "") in result.reason


@pytest.mark.parametrize("name", AUROCS)
def test_auroc(name):
    answer, reason = AUROCS[name]
    result = check("anomaly_module.auroc", answer)
    assert bool(result) == (reason is None) and (reason or "") in result.reason


@pytest.mark.parametrize("name", ["best_threshold", "auroc"])
def test_a_stub_is_not_attempted(name):
    assert check(f"anomaly_module.{name}", lambda scores, labels: ...).verdict == "not attempted"
