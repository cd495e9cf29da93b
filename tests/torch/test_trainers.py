"""Trainers can load the output of `checkpoint.save`: torch.distributed.checkpoint reads it into a sharded model.

This file is also the program that the ranks run: `python test_trainers.py FOLDER` forks two ranks, which each load
FOLDER/weights and FOLDER/one into an FSDP2 model on the meta device.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

if __name__ != "__main__":
    pytest.importorskip("torch.distributed.checkpoint")
    pytest.importorskip("safetensors")

import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

import initfast.torch as init
from initfast import checkpoint

WORLD = 2


class Model(nn.Module):
    """A model with a tied weight, integer buffers, scalars and odd sizes."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 6, padding_idx=7)
        self.up = nn.Linear(6, 10)
        self.norm = nn.BatchNorm1d(10)
        self.down = nn.Linear(10, 6, bias=False)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embedding.weight


RULES = {"up.weight": "trunc_normal_(std=0.02)", "embedding.*": "he_normal"}


def load(folder: str) -> nn.Module:
    """Return a sharded model with the weights of a folder."""
    with torch.device("meta"):
        model = Model()
    mesh = init_device_mesh("cpu", (WORLD,))
    fully_shard(model.up, mesh=mesh)
    fully_shard(model, mesh=mesh)
    model.to_empty(device="cpu")
    model.head.weight = model.embedding.weight
    state = get_model_state_dict(model)
    del state["head.weight"]  # tied: the file holds the first name
    dcp.load(state, storage_reader=dcp.HuggingFaceStorageReader(folder))
    return model


def run(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=WORLD,
        timeout=datetime.timedelta(seconds=60),
    )
    expected = init.initialize(Model(), seed=42, rules=RULES, buffers=True).state_dict()
    for name in ("weights", "one"):
        for key, tensor in load(f"{folder}/{name}").state_dict().items():
            actual = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            assert isinstance(tensor, DTensor) == (key.rpartition(".")[2] in ("weight", "bias"))
            assert torch.equal(actual, expected[key]), (name, key)
    Path(folder, f"{rank}.passed").touch()
    torch.distributed.destroy_process_group()


def fork(folder: Path) -> None:
    ranks = []
    for rank in range(WORLD):
        ranks.append(os.fork())
        if not ranks[-1]:
            try:
                run(rank, folder)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
    for pid in ranks:
        os.waitpid(pid, 0)


@pytest.mark.long
def test_distributed_checkpoint_reads_the_output_into_an_fsdp_model(tmp_path):
    spec = checkpoint.spec_from(Model(), RULES)
    checkpoint.save(spec, tmp_path / "weights", seed=42, max_shard_size="500B")
    assert len(list((tmp_path / "weights").glob("*.safetensors"))) > 1
    (tmp_path / "one").mkdir()
    checkpoint.save(spec, tmp_path / "one" / "model.safetensors", seed=42)
    command = [sys.executable, str(Path(__file__).resolve()), str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150)
    passed = sorted(path.name for path in tmp_path.glob("*.passed"))
    assert passed == ["0.passed", "1.passed"], result.stderr[-3000:]


if __name__ == "__main__":
    fork(Path(sys.argv[1]))
