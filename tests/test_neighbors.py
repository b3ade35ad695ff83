import pytest
import torch

from oddlab import neighbors
from oddlab.neighbors import nearest


@pytest.mark.parametrize("shift", [0.0, 1e3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_nearest_is_that_of_all_differences_in_every_split_into_blocks(shift, dtype, monkeypatch):
    g = torch.Generator().manual_seed(0)
    queries, references = (torch.randn(n, 7, generator=g, dtype=dtype) + shift for n in (83, 61))
    squared = (queries[:, None].double() - references.double()).square().sum(dim=2)
    for rows, entries in ((512, 2**19), (10, 35), (1, 1)):
        monkeypatch.setattr(neighbors, "QUERY_ROWS", rows)
        monkeypatch.setattr(neighbors, "BLOCK_ENTRIES", entries)
        ours, index = nearest(queries, references, queries[0])
        assert torch.equal(index, squared.argmin(dim=1))
        torch.testing.assert_close(
            ours, squared.amin(dim=1).to(dtype), rtol=1e-12 if dtype == torch.float64 else 1e-4, atol=0
        )


def test_equal_points_are_0_apart_wherever_they_lie():
    points = torch.rand(200, 30, generator=torch.Generator().manual_seed(0)) + 100
    squared, _ = nearest(points.repeat(2, 1), points, points[0])
    assert torch.equal(squared, torch.zeros(400))


def test_autocast_finds_the_same_neighbours():
    # In bfloat16 one in thirty is another.
    queries, references = (torch.randn(500, 8, generator=torch.Generator().manual_seed(n)) for n in (0, 1))
    expected = nearest(queries, references, queries[0])
    with torch.autocast("cpu", torch.bfloat16):
        squared, index = nearest(queries, references, queries[0])
    assert torch.equal(squared, expected[0]) and torch.equal(index, expected[1])


class Search(torch.nn.Module):
    def __init__(self, references):
        super().__init__()
        self.register_buffer("references", references)

    def forward(self, queries):
        return nearest(queries, self.references, self.references[0])


@pytest.mark.parametrize("how", ["export", "compile"])
def test_one_graph_searches_for_any_number_of_queries(how, monkeypatch):
    monkeypatch.setattr(neighbors, "BLOCK_ENTRIES", 2**14)  # so that 100 references are several blocks
    search = Search(torch.randn(100, 3, generator=torch.Generator().manual_seed(0)))
    queries = torch.randn(700, 3, generator=torch.Generator().manual_seed(1))
    if how == "export":
        dynamic = ({0: torch.export.Dim.DYNAMIC},)
        traced = torch.export.export(search, (queries[:5],), dynamic_shapes=dynamic).module()
    else:
        traced = torch.compile(search, fullgraph=True, backend="eager")
    for n in (5, 700):
        torch.testing.assert_close(traced(queries[:n]), search(queries[:n]), rtol=1e-6, atol=0)
