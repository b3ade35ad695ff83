import pytest
import torch

from oddlab import KCenterGreedy, SparseRandomProjection, coreset


def plain_loop(points, centers, n_picks):
    """Every point against every centre, in float64."""
    x = points.double()
    distances = torch.full((len(x),), float("inf"), dtype=torch.float64)
    picks, radii = list(centers), []
    for step in range(len(centers) + n_picks):
        distances = torch.minimum(distances, (x - x[picks[step]]).square().sum(dim=1).sqrt())
        distances[picks[step]] = -1
        if step >= len(centers) - 1:
            picks.append(int(distances.argmax()))
            radii.append(max(distances.max().item(), 0.0))
    return picks[len(centers) : -1], radii


def normal(n, d, seed=0, dtype=torch.float32):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


CLOUDS = {
    "normal": normal(3000, 12),
    "far from the origin": normal(2000, 5, seed=1) + 1e4,
    "clusters": normal(2500, 8, seed=2) * 0.01 + 10 * normal(20, 8, seed=3).repeat(125, 1),
    "float64": normal(1500, 3, seed=4, dtype=torch.float64),
    "float16": normal(1500, 6, seed=5).half(),
    "a lattice, full of ties": torch.cartesian_prod(*[torch.arange(12.0)] * 3),
    "duplicates": normal(7, 4, seed=6).repeat(300, 1),
    "one feature": normal(2000, 1, seed=7),
    "two points": normal(2, 3, seed=8),
    "one point": normal(1, 3, seed=9),
}


@pytest.mark.parametrize("candidates", [3, 64, 512])
@pytest.mark.parametrize("cloud", CLOUDS)
def test_picks_and_radii_are_those_of_the_plain_loop(cloud, candidates, monkeypatch):
    monkeypatch.setattr(coreset, "CANDIDATES", candidates)
    points = CLOUDS[cloud]
    sampler = KCenterGreedy(points, 0.2, random_state=3)
    picks = sampler.select_coreset_idxs()
    assert len(set(picks)) == len(picks) == max(1, len(points) // 5)
    expected, radii = plain_loop(points, picks[:1], len(picks) - 1)
    assert picks[1:] == expected
    torch.testing.assert_close(sampler.radii, torch.tensor(radii, dtype=torch.float64), rtol=1e-9, atol=0)


@pytest.mark.parametrize("cloud", ["normal", "a lattice, full of ties", "duplicates"])
def test_selected_points_are_respected(cloud):
    points, selected = CLOUDS[cloud], [5, 1, 300]
    sampler = KCenterGreedy(points, 0.1, random_state=0)
    picks = sampler.select_coreset_idxs(selected)
    assert len(picks) == len(points) // 10 and not set(picks) & set(selected)
    expected, radii = plain_loop(points, selected, len(picks))
    assert picks == expected
    torch.testing.assert_close(sampler.radii, torch.tensor(radii[1:], dtype=torch.float64), rtol=1e-9, atol=0)


@pytest.mark.parametrize("cloud", ["normal", "duplicates"])
def test_the_steps_of_the_plain_loop_lead_to_the_same_picks(cloud):
    sampler = KCenterGreedy(CLOUDS[cloud], 0.02, random_state=1)
    fast, radii = sampler.select_coreset_idxs(), sampler.radii
    sampler.reset_distances()
    steps = fast[:1]
    for radius in radii:
        sampler.update_distances(steps[-1:])
        assert sampler.min_distances.max().item() == pytest.approx(radius.item(), abs=1e-12)
        steps.append(sampler.get_new_idx())
    assert steps[:-1] == fast
    sampler.reset_distances()
    sampler.update_distances(fast)
    assert sampler.get_new_idx() == steps[-1]


def test_all_points_can_be_chosen_and_then_nothing_is_left():
    points = CLOUDS["duplicates"][:40]
    sampler = KCenterGreedy(points, 1.0, random_state=0)
    assert sorted(sampler.select_coreset_idxs()) == list(range(40))
    # Seven distinct points: once each of them is in, the radius is 0.
    assert (sampler.radii[:6] > 0).all() and (sampler.radii[6:] == 0).all()
    assert len({tuple(row) for row in points[sampler.selected[:7]].tolist()}) == 7
    rest = KCenterGreedy(points, 0.5, random_state=0)
    assert sorted(rest.select_coreset_idxs(list(range(20)))) == list(range(20, 40))


@pytest.mark.parametrize(
    ("n", "ratio", "size"),
    # 100 * 0.29 is 28.999999999999996, and the seeds' example has 219 of 219,520.
    [(100, 0.29, 29), (100, 0.57, 57), (219_520, 0.001, 219), (1000, 1e-4, 1), (7, 1, 7), (7, 0.5, 3)],
)
def test_the_share_is_counted_in_decimals(n, ratio, size):
    assert KCenterGreedy(torch.zeros(n, 1), ratio).coreset_size == size


def test_radii_never_grow_and_the_last_is_what_the_coreset_leaves():
    points = CLOUDS["normal"]
    sampler = KCenterGreedy(points, 0.05, random_state=0)
    bank = sampler.sample_coreset()
    assert (sampler.radii.diff() <= 0).all()
    assert torch.cdist(points.double(), bank.double()).amin(dim=1).max().item() == pytest.approx(
        sampler.radii[-1].item()
    )


def test_the_radius_is_at_most_twice_the_best_possible():
    from itertools import combinations

    points = normal(14, 2, seed=10, dtype=torch.float64)
    distances = torch.cdist(points, points)
    best = min(distances[list(few)].amin(dim=0).max().item() for few in combinations(range(14), 4))
    for seed in range(5):
        sampler = KCenterGreedy(points, 4 / 14, random_state=seed)
        sampler.select_coreset_idxs()
        assert best <= sampler.radii[-1].item() <= 2 * best


def test_a_projection_is_measured_in_and_the_features_themselves_are_returned():
    points = normal(400, 600)
    sampler = KCenterGreedy(points, 0.1, random_state=2, project=True)
    bank = sampler.sample_coreset()
    assert sampler.features.shape[1] < 600 and torch.equal(bank, points[sampler.selected])
    projected = SparseRandomProjection(0.9, random_state=torch.Generator().manual_seed(2)).fit_transform(points)
    assert torch.equal(sampler.features, projected)
    expected, _ = plain_loop(projected, sampler.selected[:1], len(sampler.selected) - 1)
    assert sampler.selected[1:] == expected


def test_one_seed_decides_and_a_generator_goes_on():
    points = CLOUDS["normal"]
    first, again = (KCenterGreedy(points, 0.01, random_state=7).select_coreset_idxs() for _ in range(2))
    generator = torch.Generator().manual_seed(7)
    one, two = (KCenterGreedy(points, 0.01, random_state=generator).select_coreset_idxs() for _ in range(2))
    assert first == again == one != two


def test_scratch_memory_does_not_grow_with_the_number_of_points(monkeypatch):
    """Beside what comes in, two numbers a point, and the centres in float64."""
    made = []
    monkeypatch.setattr(coreset, "CANDIDATES", 64)

    class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            made.extend(t.nbytes for t in (result if isinstance(result, tuple) else (result,)) if torch.is_tensor(t))
            return result

    points = normal(20_000, 32)
    sampler = KCenterGreedy(points, 0.01, random_state=0)
    with Sizes():
        sampler.select_coreset_idxs()
    assert max(made) <= max(8 * len(points), 200 * 32 * 8)


def test_a_bar_counts_the_picks_and_leaves(capfd):
    KCenterGreedy(CLOUDS["normal"], 0.05, random_state=0, progress=True).select_coreset_idxs()
    said = capfd.readouterr().err
    assert "/149" in said
    KCenterGreedy(CLOUDS["normal"], 0.05, random_state=0).select_coreset_idxs()
    assert capfd.readouterr().err == ""


def test_points_may_require_a_gradient_or_come_from_inference_mode():
    points = normal(60, 3)
    expected = KCenterGreedy(points, 0.2, random_state=0).sample_coreset()
    chosen = KCenterGreedy(points.clone().requires_grad_(), 0.2, random_state=0).sample_coreset()
    assert torch.equal(chosen, expected) and chosen.requires_grad
    with torch.inference_mode():
        sampler = KCenterGreedy(points.clone(), 0.2, random_state=0)
    assert torch.equal(sampler.sample_coreset(), expected)
    sampler.update_distances([0])
    assert sampler.get_new_idx() > 0
