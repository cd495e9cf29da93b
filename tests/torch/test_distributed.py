"""Shards on real processes: each rank fills its own part, and together they equal the unsharded
tensor, byte for byte.

This file is also the program that the ranks run: `python test_distributed.py WORLD FOLDER` forks
WORLD ranks. They run every check of that world size in one process group, and each writes the
outcomes to FOLDER/RANK.json."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

if __name__ != "__main__":
    pytest.importorskip("torch.distributed.tensor")

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor import _random as torch_random
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.distributed.tensor.placement_types import _StridedShard
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrizations

import initfast as ift
import initfast.torch as init

LIMIT = datetime.timedelta(seconds=60)  # if one rank fails, the others wait for it
CALLS = {
    "uniform_": {"a": -0.5},
    "normal_": {"std": 0.02},
    "trunc_normal_": {"std": 1.5},
    "xavier_uniform_": {},
    "xavier_normal_": {"gain": 2.0},
    "kaiming_uniform_": {"mode": "fan_out"},
    "kaiming_normal_": {"nonlinearity": "relu"},
    "orthogonal_": {},
    "sparse_": {"sparsity": 0.3},
}


class Block(nn.Module):
    """Layers of every kind that shard differently, with odd sizes and a tied weight."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 6, padding_idx=7)
        self.up = nn.Linear(6, 10)
        self.down = nn.Linear(10, 6, bias=False)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids):
        return self.head(self.norm(self.down(torch.relu(self.up(self.embedding(ids))))))


class Residual(nn.Module):
    """x + branch(x), for a diagnosis."""

    def __init__(self, wrap=lambda module: module):
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.branch = wrap(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)))
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x):
        x = self.first(x)
        return self.norm(x + self.branch(x))


class Packed(nn.Module):
    """Packed parameters (experts, gates, q, k and v) and a parametrized weight."""

    def __init__(self):
        super().__init__()
        self.experts = nn.Parameter(torch.empty(5, 6, 4))
        self.qkv = nn.Parameter(torch.empty(12, 8))
        self.gates = nn.LSTM(3, 4)
        self.normed = parametrizations.weight_norm(nn.Linear(6, 7))


PACKED = {
    "experts": "orthogonal_",
    "qkv": init.blocks("xavier_normal_", "orthogonal_", sizes=[8, 4]),
    "gates.weight_hh*": init.blocks("orthogonal_", count=4),
    "gates.bias*": init.blocks("zeros_", "ones_", "normal_", "zeros_"),
}


def share(tensor, mesh, placements):
    """Shard a tensor that every rank has in full, without communication."""
    return distribute_tensor(tensor, mesh, placements, src_data_rank=None)


def raw(tensor):
    return tensor.detach().contiguous().view(torch.uint8)


def poisoned(shape, mesh, placements, dtype=torch.float32):
    return share(torch.full(shape, float("nan"), dtype=dtype), mesh, placements)


def same_as_whole(mesh, placements, shape=(8, 6), dtype=torch.float32, calls=CALLS):
    for name, arguments in calls.items():
        function = getattr(init, name)
        whole = function(
            torch.full(shape, float("nan"), dtype=dtype), **arguments, seed=5, name=name
        )
        part = function(poisoned(shape, mesh, placements, dtype), **arguments, seed=5, name=name)
        expected = share(whole, mesh, placements).to_local()
        assert isinstance(part, DTensor)
        assert torch.equal(raw(part.to_local()), raw(expected)), (name, part.to_local(), expected)


def check_rows():
    same_as_whole(MESH, [Shard(0)])


def check_columns():
    same_as_whole(MESH, [Shard(1)])


def check_replicas():
    same_as_whole(MESH, [Replicate()])


def check_uneven():
    for shape in ((7, 5), (9, 3), (1, 6), (3, 1)):  # the last two leave ranks empty
        calls = {
            name: CALLS[name]
            for name in ("uniform_", "trunc_normal_", "kaiming_normal_", "sparse_")
        }
        same_as_whole(MESH, [Shard(0)], shape, calls=calls)
        same_as_whole(MESH, [Shard(1)], shape, calls=calls)


def check_dtypes():
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        calls = {
            "normal_": {},
            "trunc_normal_": {"std": 0.7},
            "uniform_": {},
            "sparse_": {"sparsity": 0.5},
        }
        same_as_whole(MESH, [Shard(0)], (10, 3), dtype, calls)


def check_convolutions():
    for placement in (Shard(0), Shard(1)):
        same_as_whole(
            MESH, [placement], (6, 4, 3, 3), calls={"kaiming_uniform_": {}, "orthogonal_": {}}
        )
        whole = nn.init.dirac_(torch.empty(6, 4, 3, 3), 2)
        part = init.dirac_(poisoned((6, 4, 3, 3), MESH, [placement]), 2)
        assert torch.equal(part.to_local(), share(whole, MESH, [placement]).to_local())
        part = init.eye_(poisoned((7, 9), MESH, [placement]))
        assert torch.equal(part.to_local(), share(torch.eye(7, 9), MESH, [placement]).to_local())


def check_the_version_counter():
    tensor = poisoned((8, 2), MESH, [Shard(0)])
    before = tensor._version
    init.normal_(tensor, seed=1)
    assert tensor._version > before


def check_seeds():
    tensor = poisoned((8, 2), MESH, [Shard(0)])
    with pytest.raises(ValueError, match="a DTensor needs seed="):
        init.normal_(tensor)
    assert tensor.to_local().isnan().all()
    with pytest.raises(ValueError, match="a DTensor needs seed="):
        init.initialize(fully_shard(nn.Linear(4, 4), mesh=MESH))
    init.normal_(tensor, generator=torch.Generator().manual_seed(3))
    whole = init.normal_(torch.empty(8, 2), generator=torch.Generator().manual_seed(3))
    assert torch.equal(tensor.to_local(), share(whole, MESH, [Shard(0)]).to_local())
    with init.patch(seed=9):
        nn.init.normal_(tensor)
    assert torch.equal(
        tensor.to_local(),
        share(init.normal_(torch.empty(8, 2), seed=9), MESH, [Shard(0)]).to_local(),
    )


def equal_models(sharded, rules=()):
    expected = init.initialize(Block(), seed=42, rules=rules)
    names = [name for name, _ in expected.named_parameters()]
    assert names == [name for name, _ in sharded.named_parameters()]  # the tie is preserved
    for name, parameter in sharded.named_parameters():
        assert isinstance(parameter, DTensor)
        assert torch.equal(raw(parameter.full_tensor()), raw(expected.get_parameter(name))), name
    return expected


def trains(sharded, expected):
    ids = torch.arange(11)
    actual = sharded(ids)
    expected_output = expected(ids)
    assert torch.allclose(actual, expected_output, atol=1e-5)
    actual.square().sum().backward()
    assert all(parameter.grad is not None for parameter in sharded.parameters())


def check_fsdp_from_meta():
    with torch.device("meta"):
        model = Block()
    fully_shard(model.up, mesh=MESH)
    fully_shard(model, mesh=MESH)
    rules = [("embedding.*", ("trunc_normal_", {"std": 0.02}))]
    assert init.initialize(model, seed=42, rules=rules) is model
    assert all(not parameter.to_local().is_meta for parameter in model.parameters())
    trains(model, equal_models(model, rules))


def check_fsdp_in_place():
    model = fully_shard(Block(), mesh=MESH)
    init.initialize(model, seed=42)
    trains(model, equal_models(model))


def check_fsdp_packed():
    expected = init.initialize(Packed(), seed=42, rules=PACKED)
    for device in ("cpu", "meta"):
        with torch.device(device):
            model = Packed()
        fully_shard(model, mesh=MESH)
        init.initialize(model, seed=42, rules=PACKED)
        for name, parameter in model.named_parameters():
            actual = parameter.full_tensor()
            assert torch.equal(raw(actual), raw(expected.get_parameter(name))), (device, name)


def check_ddp():
    rules = {"up.*": "normal_", nn.LayerNorm: "zeros_"}
    model = DistributedDataParallel(Block())
    init.initialize(model, seed=42, rules=rules)
    expected = init.initialize(Block(), seed=42, rules=rules)
    for name, parameter in model.module.named_parameters():
        assert torch.equal(raw(parameter), raw(expected.get_parameter(name))), name
    assert torch.allclose(model(torch.arange(11)), expected(torch.arange(11)), atol=1e-5)


def check_fsdp_1():
    expected = init.initialize(nn.Sequential(nn.Linear(6, 10), nn.Linear(10, 3)), seed=42)
    for use_orig_params in (True, False):
        inner = nn.Sequential(nn.Linear(6, 10), nn.Linear(10, 3))
        model = FullyShardedDataParallel(
            inner, use_orig_params=use_orig_params, device_id=torch.device("cpu")
        )
        for module in (model, model.module):
            with pytest.raises(ValueError, match="a piece of a flat parameter"):
                init.initialize(module, seed=42)
        with FullyShardedDataParallel.summon_full_params(model):
            init.initialize(model, seed=42)
        with FullyShardedDataParallel.summon_full_params(model):
            for actual, expected_parameter in zip(
                model.parameters(), expected.parameters(), strict=True
            ):
                assert torch.equal(raw(actual), raw(expected_parameter))


def check_diagnose():
    """One rank alone can measure a wrapped model, which still trains afterwards."""
    x = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))
    expected = init.diagnose(init.initialize(Residual(), seed=1), x)
    whole = DistributedDataParallel(init.initialize(Residual(), seed=1))
    part = init.initialize(Residual(), seed=1)
    part.branch = DistributedDataParallel(part.branch)
    compiled = torch.compile(DistributedDataParallel(init.initialize(Residual(), seed=1)))
    for model in (whole, part, compiled):
        if torch.distributed.get_rank() == 0:  # the other ranks do not call it
            before = [parameter.clone() for parameter in model.parameters()]
            report = init.diagnose(model, x)
            names = [layer.name.replace(".module", "") for layer in report.layers]
            assert names == [layer.name for layer in expected.layers]
            assert report.blocks == expected.blocks and len(report.blocks) == 1
            assert report.summary == expected.summary
            actual = list(model.parameters())
            assert all(torch.equal(a, b) for a, b in zip(before, actual, strict=True))
            assert all(each.grad is None for each in actual)
    for model in (whole, part):
        for _ in range(2):  # DDP refuses a second step if it still awaits a backward pass
            model(x + torch.distributed.get_rank()).square().sum().backward()
        for parameter in model.parameters():
            total = parameter.grad.clone()
            torch.distributed.all_reduce(total)
            if model is whole or any(parameter is each for each in part.branch.parameters()):
                assert torch.allclose(total / MESH.size(), parameter.grad, atol=1e-5)


def check_diagnose_sharded():
    x = torch.ones(3, 6)
    sharded = fully_shard(Residual(), mesh=MESH)
    unsharded = fully_shard(Residual(), mesh=MESH)
    unsharded.unshard()
    inner = Residual(lambda branch: fully_shard(branch, mesh=MESH))
    for model in (sharded, torch.compile(sharded), unsharded, inner):
        with pytest.raises(TypeError, match="is sharded by FSDP; diagnose the module before it is"):
            init.diagnose(model, x)
    parallel = parallelize_module(Residual(), MESH, {"first": ColwiseParallel()})
    with pytest.raises(
        TypeError, match=r"parameter 'first\.weight' is sharded; diagnose the module"
    ):
        init.diagnose(parallel, x)
    for original in (True, False):
        model = FullyShardedDataParallel(
            Residual(), use_orig_params=original, device_id=torch.device("cpu")
        )
        for each in (model, torch.compile(model)):
            with pytest.raises(TypeError, match="FullyShardedDataParallel is sharded by FSDP"):
                init.diagnose(each, x)
        with pytest.raises(TypeError, match="is sharded; diagnose the module before it is"):
            init.diagnose(model.module, x)
        model(x + 1.0).sum().backward()  # as before


class OwnInit(nn.Module):
    """A model with its own initialisation, part of which takes several steps."""

    def __init__(self):
        super().__init__()
        self.block = Block()
        self.steps = nn.Parameter(torch.empty(9, 2))
        self.register_buffer("angles", torch.arange(3) / 7)
        self.init_weights()

    def init_weights(self):
        for name, parameter in self.block.named_parameters():
            if parameter.dim() > 1:
                nn.init.trunc_normal_(parameter, std=0.02 / (1 + name.count("down")))
        with torch.no_grad():
            self.steps.copy_(torch.log(torch.rand(9, 2) + 0.5))
            self.angles.copy_(torch.arange(3) / 7)

    def forward(self, ids):
        return self.block(ids) * self.steps.exp().mean()


def equal_to_whole(model, rules):
    expected = init.initialize(OwnInit(), seed=42)
    assert 0.01 < expected.block.up.weight.std() < 0.025  # not the default of the layer
    assert -0.7 < expected.steps.min() < expected.steps.max() < 0.41
    init.initialize(model, seed=42, rules=rules)
    for name, parameter in model.named_parameters():
        assert torch.equal(raw(parameter.full_tensor()), raw(expected.get_parameter(name))), name
    assert torch.equal(model.angles, expected.angles)
    trains(model, expected)


def check_fsdp_own_initialisation():
    for before in (True, False):
        with torch.device("meta"):
            model = OwnInit()
        rules = init.rules_from(model) if before else []
        fully_shard(model.block.up, mesh=MESH)
        fully_shard(model, mesh=MESH)
        equal_to_whole(model, rules)


def check_2d_own_initialisation():
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    with torch.device("meta"):
        model = OwnInit()
    plan = {"up": ColwiseParallel(), "down": RowwiseParallel()}
    parallelize_module(model.block, mesh["tp"], plan)
    fully_shard(model, mesh=mesh["dp"])
    equal_to_whole(model, init.rules_from(model))


def check_2d():
    mesh = init_device_mesh("cpu", (2, 2))
    for placements in (
        [Shard(0), Shard(1)],
        [Shard(0), Shard(0)],
        [Replicate(), Shard(0)],
        [Shard(1), Replicate()],
    ):
        for shape in ((8, 4), (7, 5), (10, 3)):
            same_as_whole(
                mesh,
                placements,
                shape,
                calls={"trunc_normal_": {"std": 0.7}, "xavier_uniform_": {}},
            )


def check_fsdp_by_tensor_parallel():
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    with torch.device("meta"):
        model = Block()
    parallelize_module(model, mesh["tp"], {"up": ColwiseParallel(), "down": RowwiseParallel()})
    fully_shard(model, mesh=mesh["dp"])
    rules = {
        "up.*": init.blocks("normal_", "ones_", sizes=[3, 7]),
        "down.weight": init.blocks("orthogonal_", count=2, dim=1),
        "embedding.*": "he_normal",
    }
    init.initialize(model, seed=42, rules=rules)
    kinds = {type(placement) for placement in model.up.weight.placements}
    assert _StridedShard in kinds, kinds  # the case with difficult offsets
    trains(model, equal_models(model, rules))


def check_pieces():
    mesh = init_device_mesh("cpu", (2, 2))
    local = torch.full((4, 3), float("nan"))
    tensor = DTensor.from_local(
        local,
        mesh,
        [Shard(0), _StridedShard(0, split_factor=2)],
        run_check=False,
        shape=(16, 3),
        stride=(3, 1),
    )
    with pytest.raises(ValueError, match="one block of the whole"):
        init.normal_(tensor, seed=1)
    tensor = DTensor.from_local(
        local, mesh, [Shard(0), Replicate()], run_check=False, shape=(16, 3), stride=(3, 1)
    )
    with pytest.raises(ValueError, match="placements of a DTensor must agree"):
        init.normal_(tensor, seed=1)
    assert local.isnan().all()


class Recorded(Packed):
    """A model that initialises itself in a method."""

    def __init__(self):
        super().__init__()
        self.block = Block()

    def init_weights(self):
        self.apply(self._init_weights)
        nn.init.trunc_normal_(self.experts, std=0.02)
        nn.init.xavier_uniform_(self.qkv)

    def _init_weights(self, module):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)


def check_recorded():
    expected = init.initialize(Recorded(), seed=42)
    assert expected.block.up.weight.std() < 0.05 and expected.experts.std() < 0.05
    rules = init.rules_from(Recorded())
    mesh = init_device_mesh("cpu", (MESH.size() // 2, 2), mesh_dim_names=("dp", "tp"))
    plan = {"block.up": ColwiseParallel(), "block.down": RowwiseParallel()}
    for parallel in (False, True):
        for arguments in ({}, {"rules": rules}):
            with torch.device("meta"):
                model = Recorded()
            if parallel:
                parallelize_module(model, mesh["tp"], plan)
            fully_shard(model, mesh=mesh["dp"] if parallel else MESH)
            init.initialize(model, seed=42, **arguments)
            for name, parameter in model.named_parameters():
                actual = parameter.full_tensor()
                assert torch.equal(raw(actual), raw(expected.get_parameter(name))), (
                    name,
                    arguments,
                )


class Own(Block):
    """A model that draws its weights in every way that torch has."""

    def __init__(self):
        super().__init__()
        self.small = nn.Parameter(
            torch.randn(3, 2)
        )  # of 3 rows, so that one of four ranks has none
        self.square = nn.Parameter(torch.empty(6, 6))

    def draw(self):
        for module in self.modules():
            if module is not self and hasattr(module, "reset_parameters"):
                module.reset_parameters()
        with torch.no_grad():
            self.small.uniform_(-2, 2).erfinv_()
            self.small.normal_(0.0, 0.02)
            self.embedding.weight.uniform_(-0.9, 0.9).erfinv_()
        nn.init.orthogonal_(self.square)
        nn.init.trunc_normal_(self.up.weight, std=0.02)
        nn.init.sparse_(self.down.weight, 0.5)
        nn.init.normal_(self.up.bias)
        return self


def patched(model, seed=42):
    with init.patch(seed):
        return model.draw()


def equal_to_unsharded(sharded):
    expected = patched(Own())
    for name, parameter in sharded.named_parameters():
        assert isinstance(parameter, DTensor)
        assert torch.equal(raw(parameter.full_tensor()), raw(expected.get_parameter(name))), name


def check_patch_fsdp():
    with torch.device("meta"):
        model = Own()
    fully_shard(model.up, mesh=MESH)
    fully_shard(model, mesh=MESH)
    model.to_empty(device="cpu")
    equal_to_unsharded(patched(model))
    equal_to_unsharded(patched(fully_shard(Own(), mesh=MESH), ift.Seed(42)))


def check_patch_ddp():
    torch.manual_seed(torch.distributed.get_rank())
    with init.patch(seed=42):
        model = Own().draw()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    wrapped = nn.parallel.DistributedDataParallel(model)  # makes all ranks equal to rank 0
    for name, parameter in wrapped.module.named_parameters():
        assert torch.equal(parameter, before[name]), name


def check_patch_leaves_new_shards_to_torch():
    """On a CPU, torch raises an error, because it has no tracker. On CUDA it has one."""

    class Tracker:
        @contextlib.contextmanager
        def _distribute_region(self, spec):
            yield

    before, torch_random._rng_tracker = torch_random._rng_tracker, Tracker()
    try:
        torch.manual_seed(torch.distributed.get_rank())
        with pytest.warns(UserWarning, match="randn .a shard of a DTensor"), init.patch(seed=42):
            shard = torch.distributed.tensor.randn(8, device_mesh=MESH, placements=[Shard(0)])
    finally:
        torch_random._rng_tracker = before
    whole = shard.full_tensor()
    assert whole.unique().numel() == 8


def check_patch_fsdp_by_tensor_parallel():
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    with torch.device("meta"):
        model = Own()
    parallelize_module(model, mesh["tp"], {"up": ColwiseParallel(), "down": RowwiseParallel()})
    fully_shard(model, mesh=mesh["dp"])
    model.to_empty(device="cpu")
    equal_to_unsharded(patched(model))


WITH_TWO = [
    "rows", "columns", "replicas", "uneven", "dtypes", "convolutions", "the_version_counter",
    "seeds", "fsdp_from_meta", "fsdp_in_place", "fsdp_packed", "ddp", "fsdp_1", "recorded",
    "patch_fsdp", "patch_ddp", "patch_leaves_new_shards_to_torch", "fsdp_own_initialisation",
]  # fmt: skip
CHECKS = {
    2: [*WITH_TWO, "diagnose", "diagnose_sharded"],
    4: [
        *WITH_TWO,
        "2d",
        "fsdp_by_tensor_parallel",
        "2d_own_initialisation",
        "patch_fsdp_by_tensor_parallel",
        "pieces",
    ],
}


def run(rank: int, world: int, folder: str) -> None:
    global MESH
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world, timeout=LIMIT
    )
    MESH = init_device_mesh("cpu", (world,))
    outcome = {}
    for name in CHECKS[world]:
        try:
            globals()[f"check_{name}"]()
            outcome[name] = "passed"
        except Exception:
            outcome[name] = traceback.format_exc()
            break  # the ranks may no longer be in step
    Path(folder, f"{rank}.json").write_text(json.dumps(outcome))
    if "passed" not in list(outcome.values())[-1:]:
        os._exit(1)  # a normal exit would wait for the other ranks
    torch.distributed.destroy_process_group()


def fork(world: int, folder: str) -> None:
    """Run the ranks as forks of one process, so that torch is imported once."""
    ranks = []
    for rank in range(world):
        ranks.append(os.fork())
        if not ranks[-1]:
            try:
                run(rank, world, folder)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
    for pid in ranks:
        os.waitpid(pid, 0)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Return the outcomes of the checks on each rank, by world size. Each world runs once."""
    results: dict[int, list[dict[str, str]]] = {}

    def of(world: int) -> list[dict[str, str]]:
        if world not in results:
            folder = tmp_path_factory.mktemp(f"world{world}")
            command = [sys.executable, str(Path(__file__).resolve()), str(world), str(folder)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
            result = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=150
            )
            files = [folder / f"{rank}.json" for rank in range(world)]
            results[world] = [
                json.loads(file.read_text()) if file.exists() else {"died": result.stderr[-3000:]}
                for file in files
            ]
        return results[world]

    return of


@pytest.mark.parametrize(
    ("world", "name"),
    [
        pytest.param(world, name, marks=pytest.mark.long if world == 2 else ())
        for world, names in CHECKS.items()
        for name in names
    ],
)
def test_on_processes(outcomes, world, name):
    actual = outcomes(world)
    assert len(actual) == world
    for rank, outcome in enumerate(actual):
        assert outcome.get(name) == "passed", f"rank {rank}: {outcome.get(name, outcome)}"


def test_every_check_is_run():
    assert {name[6:] for name in globals() if name.startswith("check_")} == {
        name for names in CHECKS.values() for name in names
    }


if __name__ == "__main__":
    fork(int(sys.argv[1]), sys.argv[2])
