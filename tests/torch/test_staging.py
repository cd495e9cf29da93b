"""Tensors on accelerators are drawn in chunks through two buffers. The CPU acts as the device."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import initfast.torch as init  # noqa: E402
from initfast.torch import staging, targets  # noqa: E402

# These tests compare tensors with the same seed.
pytestmark = pytest.mark.filterwarnings("ignore::initfast.ReusedSeedWarning")


class Events:
    """A log of the operations on the buffers, in the order that a device sees."""

    def __init__(self):
        self.log = []

    def memory(self, like):
        events, inner = self, staging._Memory(like)

        class Memory:
            def buffer(self, size):
                buffer = inner.buffer(size)
                events.log.append(
                    ("buffer", buffer.data_ptr(), buffer.numel() * buffer.element_size())
                )
                return buffer

            def copy(self, part, staged):
                assert staged.is_contiguous()
                part.copy_(staged)
                events.log.append(("copy", staged.data_ptr(), part.numel() * part.element_size()))
                return Copied(staged)

        class Copied:
            def __init__(self, staged):
                self.staged = staged

            def synchronize(self):
                # Until now the device may still read the buffer. From now on it may change.
                events.log.append(("wait", self.staged.data_ptr(), 0))
                self.staged.fill_(float("nan"))

        return Memory()


@pytest.fixture
def events(monkeypatch):
    run = Events()
    monkeypatch.setattr(targets, "_on_cpu", lambda tensor: False)
    monkeypatch.setattr(staging, "CHUNK", 256)
    real = staging._Memory
    monkeypatch.setattr(staging, "write", lambda *call: write(run, real, *call))
    return run


_write = staging.write


def write(events, real, target, fill, seed):
    with pytest.MonkeyPatch.context() as patch:
        memory = events.memory(target.local)
        patch.setattr(staging, "_Memory", lambda like: memory)
        _write(target, fill, seed)


def draw(name, shape, dtype=torch.float32, **arguments):
    tensor = torch.full(shape, float("nan"), dtype=torch.float32).to(dtype)
    return getattr(init, name)(tensor, **arguments, seed=3)


CALLS = {
    "normal_": {},
    "trunc_normal_": {"std": 0.7},
    "xavier_uniform_": {},
    "kaiming_normal_": {"batch_dims": 1},
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", [(50, 7, 3), (1, 500, 2), (2, 1, 300), (3, 3, 3), (1000, 1, 1)])
def test_chunks_equal_the_whole(name, dtype, shape, events):
    actual = draw(name, shape, dtype, **CALLS[name])
    chunks = [entry for entry in events.log if entry[0] == "copy"]
    buffers = [entry for entry in events.log if entry[0] == "buffer"]
    total = actual.numel() * actual.element_size()
    assert sum(size for _, _, size in chunks) == total
    assert all(size <= 256 for _, _, size in (*chunks, *buffers))
    assert len(buffers) == min(2, len(chunks)) and (total <= 256) == (len(chunks) == 1)
    # The buffers alternate, and each copy has ended before its buffer is filled again.
    order = [entry[1] for entry in chunks]
    assert order == [order[k % 2] for k in range(len(order))]
    for place, entry in enumerate(events.log):
        if entry[0] == "wait":
            assert events.log[place + 1][:2] == ("copy", entry[1])
    assert sum(entry[0] == "wait" for entry in events.log) == max(0, len(chunks) - 2)


def expected(name, shape, dtype, **arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "_on_cpu", lambda tensor: True)
        return draw(name, shape, dtype, **arguments)


@pytest.mark.parametrize(
    ("name", "shape", "arguments", "chunks"),
    [
        ("normal_", (50, 7, 3), {}, 17),
        ("sparse_", (40, 30), {"sparsity": 0.3}, 1),  # needs whole columns
        ("orthogonal_", (30, 20), {}, 1),  # needs the whole matrix
        ("orthogonal_", (5, 12, 10), {"batch_dims": 1}, 5),  # one matrix per chunk
    ],
)
def test_no_chunk_divides_a_matrix(name, shape, arguments, chunks, events):
    actual = draw(name, shape, **arguments)
    assert sum(entry[0] == "copy" for entry in events.log) == chunks
    assert torch.equal(actual, expected(name, shape, torch.float32, **arguments))


def test_models_are_staged_in_chunks(events):
    rules = {"weight_hh*": init.blocks("normal_", count=4), "weight_ih*": "he_normal"}
    actual = init.initialize(nn.LSTM(10, 12), seed=1, rules=rules)
    assert max(entry[2] for entry in events.log) <= 256
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "_on_cpu", lambda tensor: True)
        other = init.initialize(nn.LSTM(10, 12), seed=1, rules=rules)
    assert all(
        torch.equal(a, b) for a, b in zip(actual.parameters(), other.parameters(), strict=True)
    )


def test_a_padding_row_is_zero_in_its_chunk(events):
    module = init.initialize(nn.Embedding(60, 8, padding_idx=41), seed=1)
    assert (module.weight[41] == 0).all() and (module.weight[40] != 0).all()
    assert sum(entry[0] == "copy" for entry in events.log) > 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_tensors_in_chunks(monkeypatch):
    monkeypatch.setattr(staging, "CHUNK", 1 << 16)
    for dtype in (torch.float32, torch.bfloat16):
        actual = init.normal_(torch.empty(1000, 999, dtype=dtype, device="cuda"), seed=1)
        assert torch.equal(actual.cpu(), init.normal_(torch.empty(1000, 999, dtype=dtype), seed=1))
