"""ReusedSeedWarning for tensors: when it is shown, and for which line."""

import numpy as np
import pytest

import initfast as ift

torch = pytest.importorskip("torch")

import initfast.torch as fast  # noqa: E402
from initfast.torch import streams  # noqa: E402


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(streams, "_last_tensors", {})


def empty():
    return torch.empty(4, 4)


@pytest.mark.parametrize("seed", [42, np.int64(42), ift.Seed(42), ift.Seed(42, 7)])
@pytest.mark.parametrize("function", [fast.normal_, fast.xavier_uniform_, fast.orthogonal_])
def test_a_second_tensor_of_a_seed_warns_once_at_its_line(function, seed):
    tensors = [empty() for _ in range(4)]
    function(tensors[0], seed=seed)
    with pytest.warns(ift.ReusedSeedWarning, match=r"Seed\(42.*name='layers.0.weight'") as caught:
        for tensor in tensors[1:]:
            function(tensor, seed=seed)
    assert [warning.filename for warning in caught] == [__file__]


def test_views_of_one_memory_are_separate_tensors():
    packed = torch.empty(3, 4, 4)
    fast.normal_(packed[0], seed=42)
    fast.normal_(packed[0].data, seed=42)  # again
    with pytest.warns(ift.ReusedSeedWarning):
        fast.normal_(packed[1], seed=42)


@pytest.mark.parametrize("seed", [42, ift.Seed(42)])
def test_layers_one_by_one(seed):
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8))
    with pytest.warns(
        ift.ReusedSeedWarning, match=r"seed=Seed\(42\)\.named\('layers.0'\)"
    ) as records:
        for layer in model:
            fast.initialize(layer, seed=seed)
    assert {warning.filename for warning in records} == {__file__}
    assert {str(warning.message).split(",")[0] for warning in records} == {
        f"two tensors are drawn from Seed(42).named('{name}')" for name in ("weight", "bias")
    }


def test_intended_repetitions_stay_silent():
    tensors, model = [], torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8))
    generator = ift.SeedGenerator(42)
    for _ in range(3):
        fast.normal_(empty(), seed=42)  # deleted immediately
        for options in (
            {"seed": 42, "name": "a"},
            {"seed": ift.Seed(42).named("b")},
            {"seed": generator},
            {"generator": torch.Generator()},
            {},
        ):
            tensors.append(fast.normal_(empty(), **options))
        tensors.append(fast.zeros_(empty()))
        fast.initialize(model, seed=42)
        fast.initialize(model[0], seed=43)  # the same layer again
        tensors.append(fast.initialize(torch.nn.Sequential(torch.nn.Linear(8, 8)), seed=42))
        for number, layer in enumerate(model):
            fast.initialize(layer, seed=ift.Seed(42).named(f"layers.{number}"))
        with fast.patch(seed=42):
            tensors.append(torch.nn.Linear(8, 8))
    weight = torch.nn.Parameter(empty())
    for _ in range(3):
        fast.normal_(weight, seed=44)


def test_few_streams_are_remembered(monkeypatch):
    monkeypatch.setattr(streams, "_MOST_STREAMS", 10)
    tensors = [fast.normal_(empty(), seed=seed) for seed in range(100)]
    assert len(streams._last_tensors) <= 11 < len(tensors)
