"""Models on the disk have the layout of Hugging Face's loaders, and the same bytes however they are
written.
"""

import functools
import itertools
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from places import SPECS

import initfast as ift
from initfast import checkpoint
from initfast.files import checkpoint as module
from initfast.files import formats, specs, verifier
from initfast.files.checkpoint import size_of
from initfast.files.partial import Partial

LLAMA = SPECS / "llama_small.json"
NORMAL = {"class_name": "TruncatedNormal", "config": {"mean": 0.0, "stddev": 0.02}}


def tensor(*shape, dtype="float32", init="he_normal", **more):
    return {"shape": list(shape), "dtype": dtype, "init": init, **more}


MIXED = {
    "tensors": {
        "half": tensor(3, 5, dtype="float16"),
        "count": tensor(dtype="int64", init="zeros"),
        "tiny": tensor(7, dtype="float8_e5m2", init="uniform"),
        "encoder/kernel": tensor(40, 9),
        "empty": tensor(0, 4),
        "q": tensor(6, 4, init="orthogonal"),
        "wide": tensor(5, dtype="float64", init="uniform"),
        "mask": tensor(3, dtype="bool", init="ones"),
        "padded": tensor(9, 3, init="random_normal", fixed_rows=[[4, 5, 0]]),
        'a "quoted" \u00e4': tensor(2, 2, dtype="bfloat16"),
    }
}


def llama_8b():
    """Return the spec of Llama-3-8B, with 8.03G parameters."""

    def random(*shape):
        return tensor(*shape, dtype="bfloat16", init=NORMAL)

    def ones(*shape):
        return tensor(*shape, dtype="bfloat16", init="ones")

    layer = {
        "self_attn.q_proj.weight": random(4096, 4096),
        "self_attn.k_proj.weight": random(1024, 4096),
        "self_attn.v_proj.weight": random(1024, 4096),
        "self_attn.o_proj.weight": random(4096, 4096),
        "mlp.gate_proj.weight": random(14336, 4096),
        "mlp.up_proj.weight": random(14336, 4096),
        "mlp.down_proj.weight": random(4096, 14336),
        "input_layernorm.weight": ones(4096),
        "post_attention_layernorm.weight": ones(4096),
    }
    tensors = {"model.embed_tokens.weight": random(128256, 4096)}
    for number in range(32):
        tensors |= {f"model.layers.{number}.{name}": entry for name, entry in layer.items()}
    return {
        "tensors": {
            **tensors,
            "model.norm.weight": ones(4096),
            "lm_head.weight": random(128256, 4096),
        }
    }


def files(folder):
    """Return the name and bytes of each file in a folder."""
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def values(spec, seed):
    """Return the expected bytes of each tensor, computed as a whole by its initializer."""
    arrays = {}
    for entry in specs.read(spec).entries:
        initializer = entry.seeded_initializer(ift.Seed(seed))
        arrays[entry.name] = np.asarray(initializer.block(entry.shape, ..., entry.dtype)).tobytes()
    return arrays


def tensor_bytes(path):
    """Return the bytes of each tensor of a file."""
    data = Path(path).read_bytes()
    return {t.name: data[t.offset : t.offset + t.nbytes] for t in formats.read(path).tensors}


def test_one_file(tmp_path):
    path = tmp_path / "mixed.safetensors"
    counts = []
    result = checkpoint.save(MIXED, path, seed=7, progress=counts.append)
    total = sum(len(data) for data in values(MIXED, 7).values())
    assert (result.complete, result.written, result.resumed, sum(counts)) == (True, total, 0, total)
    assert tensor_bytes(path) == values(MIXED, 7)
    assert list(files(tmp_path)) == ["mixed.safetensors"]
    file = formats.read(path)
    assert file.metadata["format"] == "pt"
    assert json.loads(file.metadata["initfast"]) == {
        "version": ift.__version__,
        "stream_version": ift.STREAM_VERSION,
        "seed": 7,
    }
    for entry in file.tensors:  # each aligned to its elements
        assert entry.offset % (entry.nbytes // max(1, math.prod(entry.shape)) or 1) == 0


def test_safetensors_reads_it(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    from safetensors import safe_open

    spec = {"tensors": {k: v for k, v in MIXED["tensors"].items() if "float8" not in v["dtype"]}}
    checkpoint.save(spec, tmp_path / "mixed.safetensors", seed=7)
    expected = values(spec, 7)
    arrays = numpy.load_file(tmp_path / "mixed.safetensors")
    assert {name: array.tobytes() for name, array in arrays.items()} == expected
    assert {name: array.shape for name, array in arrays.items()} == {
        name: tuple(entry["shape"]) for name, entry in spec["tensors"].items()
    }
    with safe_open(tmp_path / "mixed.safetensors", "np") as opened:
        assert opened.metadata()["format"] == "pt"
        assert np.array_equal(
            opened.get_slice("encoder/kernel")[3:5], arrays["encoder/kernel"][3:5]
        )


def test_torch_reads_it(tmp_path):
    torch = pytest.importorskip("torch")
    load = pytest.importorskip("safetensors.torch").load_file
    checkpoint.save(MIXED, tmp_path / "mixed.safetensors", seed=7)
    tensors = load(tmp_path / "mixed.safetensors")
    bits = {
        name: t.contiguous().flatten().view(torch.uint8).numpy().tobytes()
        for name, t in tensors.items()
    }
    assert bits == values(MIXED, 7)
    assert {name: str(t.dtype) for name, t in tensors.items()} == {
        name: f"torch.{entry['dtype']}" for name, entry in MIXED["tensors"].items()
    }


@pytest.mark.parametrize("limit", [20_000, 50_000, 100_000])
def test_shards(limit, tmp_path):
    checkpoint.save(LLAMA, tmp_path / "out", seed=3, max_shard_size=limit)
    expected = values(LLAMA, 3)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert list(index) == ["metadata", "weight_map"]
    assert index["metadata"] == {"total_size": sum(map(len, expected.values()))}
    names = sorted({*index["weight_map"].values()})
    assert names == [
        f"model-{n:05}-of-{len(names):05}.safetensors" for n in range(1, len(names) + 1)
    ]
    assert sorted(files(tmp_path / "out")) == [*names, "model.safetensors.index.json"]
    stored_values = {}
    for name in names:
        inside = tensor_bytes(tmp_path / "out" / name)
        assert {index["weight_map"][key] for key in inside} == {name}
        assert (tmp_path / "out" / name).stat().st_size <= limit or len(inside) == 1
        stored_values |= inside
    assert stored_values == expected
    assert list(index["weight_map"]) == list(expected)


def test_headers_count(tmp_path):
    spec = {"tensors": {f"layers.{n}.self_attn.k_proj.weight": tensor(500) for n in range(8)}}
    sizes = [file.size for file in checkpoint.plan(spec, tmp_path / "out", 3, 8 * 2000).files]
    assert len(sizes) == 2 and max(sizes) <= 16_000


def test_shards_are_no_smaller_than_they_must_be(tmp_path):
    sizes = [file.size for file in checkpoint.plan(LLAMA, tmp_path / "out", 3, 100_000).files]
    assert all(one + next_one > 100_000 for one, next_one in itertools.pairwise(sizes))


@pytest.mark.parametrize("limit", [None, "5GB", "1 MiB"])
def test_a_folder_of_one_file(limit, tmp_path):
    checkpoint.save(LLAMA, tmp_path / "out", seed=3, max_shard_size=limit)
    checkpoint.save(LLAMA, tmp_path / "alone.safetensors", seed=3)
    assert files(tmp_path / "out") == {
        "model.safetensors": (tmp_path / "alone.safetensors").read_bytes()
    }


def test_gpt2_and_llama_3_8b_are_planned_as_hugging_face_has_them(tmp_path):
    job = checkpoint.plan(SPECS / "gpt2.json", tmp_path / "gpt2", 42)
    assert [(file.path.name, file.data_bytes) for file in job.files] == [
        ("model.safetensors", 497_759_232)
    ]
    assert job.data_bytes() == 497_759_232
    assert job.index is None
    job = checkpoint.plan(llama_8b(), tmp_path / "llama", 42)
    assert [len(file.tensors) for file in job.files] == [82, 104, 100, 5]
    assert [file.path.name for file in job.files] == [
        f"model-0000{n}-of-00004.safetensors" for n in (1, 2, 3, 4)
    ]
    assert max(file.size for file in job.files) <= 5_000_000_000
    assert job.index.path == tmp_path / "llama" / "model.safetensors.index.json"
    index = json.loads(job.index.header)
    assert index["metadata"]["total_size"] == job.data_bytes() == 16_060_522_496
    assert len(index["weight_map"]) == 291
    assert not list(tmp_path.iterdir())  # a plan writes nothing


def test_a_tensor_does_not_depend_on_the_others(tmp_path):
    few = {"tensors": {"padded": MIXED["tensors"]["padded"]}}
    checkpoint.save(few, tmp_path / "few.safetensors", seed=7)
    assert tensor_bytes(tmp_path / "few.safetensors")["padded"] == values(MIXED, 7)["padded"]


def test_threads_do_not_matter(tmp_path):
    for count in (1, 3):
        with ift.threads(count):
            checkpoint.save(LLAMA, tmp_path / f"{count}.safetensors", seed=3)
    assert len(set(files(tmp_path).values())) == 1


SHARE = """
import json, sys
from initfast import checkpoint
spec, out, k, n = sys.argv[1:5]
options = {"shard": (int(k), int(n)), "resume": "resume" in sys.argv}
result = checkpoint.save(spec, out, seed=3, max_shard_size=100_000, **options)
print(json.dumps([result.complete, result.written]))
"""


def process(*arguments):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SHARE, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_share_the_work(tmp_path):
    n = 3
    checkpoint.save(LLAMA, tmp_path / "alone", seed=3, max_shard_size=100_000)
    shared = [process(LLAMA, tmp_path / "out", k, n) for k in range(1, n + 1)]
    results = []
    for each in shared:
        out, err = each.communicate(timeout=120)
        assert each.returncode == 0, err
        results.append(json.loads(out))
    assert files(tmp_path / "out") == files(tmp_path / "alone")
    total = sum(map(len, values(LLAMA, 3).values()))
    assert sum(written for _, written in results) == total
    assert sum(complete for complete, _ in results) >= 1


def test_workers_take_whole_files(tmp_path):
    checkpoint.save(LLAMA, tmp_path / "alone", seed=3, max_shard_size=100_000)
    names = sorted(path.name for path in (tmp_path / "alone").glob("*.safetensors"))
    complete = []
    for k in (3, 1, 2):
        before = set(files(tmp_path / "out")) if complete else set()
        options = {"max_shard_size": 100_000, "shard": (k, 3), "resume": True}
        complete.append(checkpoint.save(LLAMA, tmp_path / "out", seed=3, **options).complete)
        assert set(files(tmp_path / "out")) - before >= set(names[k - 1 :: 3])
    assert complete == [False, False, True]
    assert files(tmp_path / "out") == files(tmp_path / "alone")


def test_workers_without_a_file(tmp_path):
    results = [
        checkpoint.save(MIXED, tmp_path / "out.safetensors", seed=3, shard=(k, 3))
        for k in (3, 1, 2)
    ]
    assert [result.complete for result in results] == [False, True, True]
    assert [result.written > 0 for result in results] == [False, True, False]
    assert tensor_bytes(tmp_path / "out.safetensors") == values(MIXED, 3)


def test_whoever_finds_all_files_writes_the_index(tmp_path):
    out = tmp_path / "out"
    save = functools.partial(checkpoint.save, LLAMA, out, seed=3, max_shard_size=100_000)
    save()
    before = files(out)
    index = out / "model.safetensors.index.json"
    index.unlink()
    assert save(shard=(7, 7)).complete  # has no file to write
    assert files(out) == before
    index.write_text("torn")
    with pytest.raises(FileExistsError, match=r"index.*other values"):
        save(resume=True)
    assert save(resume=True, force=True).complete
    assert files(out) == before
    os.truncate(sorted(out.glob("*.safetensors"))[1], 1000)
    assert not save(shard=(7, 7)).complete


def test_a_resumed_run_compares_finished_files(tmp_path):
    out = tmp_path / "out"
    save = functools.partial(checkpoint.save, LLAMA, out, seed=3, max_shard_size=100_000)
    total = save().written
    before = files(out)
    result = save(resume=True)
    assert (result.written, result.resumed, result.complete) == (0, total, True)
    path = sorted(out.glob("*.safetensors"))[1]
    path.unlink()
    result = save(resume=True)
    assert result.written > 0 and result.written + result.resumed == total
    assert files(out) == before
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(FileExistsError, match=f"{path.name}.*other values"):
        save(resume=True)
    assert path.read_bytes() == data
    save(resume=True, force=True)
    assert files(out) == before


def test_workers_at_once_on_one_file(tmp_path):
    out = tmp_path / "m.safetensors"

    def meanwhile(_):
        with pytest.raises(BlockingIOError, match="another process is writing"):
            checkpoint.save(MIXED, out, seed=7, resume=True)

    checkpoint.save(MIXED, out, seed=7, progress=meanwhile)
    assert tensor_bytes(out) == values(MIXED, 7)


def test_what_an_interrupted_model_says(tmp_path):
    def stop(_):
        if len(list((tmp_path / "out").glob("*.safetensors"))) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="already written is kept: rerun with --resume"):
        checkpoint.save(LLAMA, tmp_path / "out", seed=3, max_shard_size=50_000, progress=stop)
    checkpoint.save(LLAMA, tmp_path / "out", seed=3, max_shard_size=50_000, resume=True)
    stored_values = {}
    for path in (tmp_path / "out").glob("*.safetensors"):
        stored_values |= tensor_bytes(path)
    assert stored_values == values(LLAMA, 3)


class Stop(Exception):
    pass


def stop(_):
    raise Stop


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 8},
        {"seed": ift.Seed(7).named("student")},
        {"dtype": "float64"},
        {"spec": {"tensors": {**MIXED["tensors"], "half": tensor(3, 6, dtype="float16")}}},
        {"spec": {"tensors": {**MIXED["tensors"], "wide": tensor(5, dtype="float64")}}},
        {"spec": {"tensors": {k: v for k, v in MIXED["tensors"].items() if k != "tiny"}}},
    ],
)
def test_what_is_resumed_must_be_the_same(changes, tmp_path):
    with pytest.raises(Stop):
        checkpoint.save(MIXED, tmp_path / "out", seed=7, progress=stop)
    before = files(tmp_path / "out")
    arguments = {"spec": MIXED, "seed": 7, **changes}
    with pytest.raises(OSError, match=r"model\.safetensors\.partial.* belongs to another write"):
        checkpoint.save(arguments.pop("spec"), tmp_path / "out", **arguments, resume=True)
    assert files(tmp_path / "out") == before
    assert checkpoint.save(MIXED, tmp_path / "out", seed=7, resume=True).complete
    assert tensor_bytes(tmp_path / "out" / "model.safetensors") == values(MIXED, 7)


def test_a_finished_file_of_another_model_is_refused(tmp_path):
    checkpoint.save(LLAMA, tmp_path / "out", seed=3, max_shard_size=100_000, shard=(1, 2))
    before = files(tmp_path / "out")
    for seed in (4, ift.Seed(3).named("student")):
        with pytest.raises(FileExistsError, match=r"model-00001.*other values"):
            checkpoint.save(LLAMA, tmp_path / "out", seed=seed, max_shard_size=100_000, resume=True)
    assert files(tmp_path / "out") == before


def experts(tensors, seed=0):
    """Return the spec of a mixture of experts, with 10**7 parameters per tensor."""
    entry = {"dtype": "bfloat16", "init": NORMAL}
    return {
        "tensors": {
            f"model.layers.{n // 768}.mlp.experts.{n // 3 % 256}.{'gud'[n % 3]}_proj.weight": {
                "shape": [2048, 4883],
                **entry,
            }
            for n in range(tensors)
        }
    }


def seconds_per_tensor(folder, count):
    spec = experts(count)
    started = time.process_time()
    job = checkpoint.plan(spec, folder / "out", 3, "20MB")
    assert len(job.names) == count
    job.data_bytes((1, 1024))
    assert job.index is not None
    job.file(7)
    return (time.process_time() - started) / count


def test_planning_costs_the_same_per_tensor(tmp_path):
    few, many = (min(seconds_per_tensor(tmp_path, n) for _ in range(3)) for n in (300, 6000))
    assert many < 4 * few


@pytest.mark.long
def test_a_mixture_of_experts_of_a_trillion_parameters(tmp_path):
    """10**5 tensors, planned for 1,024 workers; two of the files are written."""
    few, many = seconds_per_tensor(tmp_path, 1000), seconds_per_tensor(tmp_path, 100_000)
    print(f"{few * 1e6:.1f} and {many * 1e6:.1f} us per tensor")
    assert many < 3 * few
    job = checkpoint.plan(experts(100_000), tmp_path / "out", 3, "20MB")
    assert sum(job.data_bytes((k, 1024)) for k in (1, 1024)) < job.data_bytes() / 500
    started = time.process_time()
    result = checkpoint.write(job, shard=(17, 50_000), resume=True)
    print(f"{time.process_time() - started:.2f} s for 2 of {len(job.names)} files")
    assert (result.written, result.complete) == (2 * 2048 * 4883 * 2, False)
    assert sorted(files(tmp_path / "out")) == [job.names[16], job.names[50_016]]


def test_existing_files(tmp_path):
    for out in (tmp_path / "out", tmp_path / "one.safetensors"):
        checkpoint.save(MIXED, out, seed=7)
        for resume in (False, True):
            with pytest.raises(FileExistsError, match="--force"):
                checkpoint.save(MIXED, out, seed=8, resume=resume)
        path = out / "model.safetensors" if out.is_dir() else out
        assert tensor_bytes(path) == values(MIXED, 7)
        checkpoint.save(MIXED, out, seed=8, force=True)
        assert tensor_bytes(path) == values(MIXED, 8)


def test_files_of_another_model_must_be_removed(tmp_path):
    checkpoint.save(LLAMA, tmp_path / "out", seed=3, max_shard_size=100_000)
    (tmp_path / "out" / "config.json").write_text("{}")  # which is not a file of initfast
    before = files(tmp_path / "out")
    for force in (False, True):
        with pytest.raises(
            FileExistsError,
            match=r"model-00001-of-.* belongs to another model or shard size: remove it",
        ):
            checkpoint.save(LLAMA, tmp_path / "out", seed=3, force=force)
    assert files(tmp_path / "out") == before
    checkpoint.save(LLAMA, tmp_path / "out", seed=4, max_shard_size=100_000, force=True)
    assert files(tmp_path / "out").keys() == before.keys() and files(tmp_path / "out") != before


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        (
            {"path": "out.npy"},
            ValueError,
            "the output must end in .safetensors or be a folder; received '.*out.npy'",
        ),
        ({"path": "out.bin"}, ValueError, "must end in .safetensors"),
        ({"path": "out.pt"}, ValueError, "must end in .safetensors"),
        ({"path": "a file"}, OSError, "must end in .safetensors or be a folder"),
        ({"path": "none/out"}, FileNotFoundError, "folder of .*none/out' does not exist"),
        ({"path": "none/out.safetensors"}, FileNotFoundError, "folder of .* does not exist"),
        (
            {"path": "a.safetensors", "max_shard_size": 3},
            ValueError,
            "max_shard_size is for folders; received 3",
        ),
        (
            {"max_shard_size": "5XB"},
            ValueError,
            "max_shard_size must be a number of bytes.*received '5XB'",
        ),
        ({"max_shard_size": 0}, ValueError, "max_shard_size must be"),
        ({"max_shard_size": -1}, ValueError, "max_shard_size must be"),
        ({"max_shard_size": 1.5}, ValueError, "max_shard_size must be"),
        ({"max_shard_size": True}, ValueError, "max_shard_size must be"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": None}, ValueError, "seed must be"),
        ({"seed": ift.Seed(1, stream=4)}, ValueError, "seed must not have a stream number"),
        ({"dtype": "int8"}, ValueError, "dtype must be one of"),
        ({"shard": (3, 2)}, ValueError, r"received \(3, 2\)"),
        ({"shard": (0, 1)}, ValueError, r"must be \(K, N\) with K from 1 to N"),
        ({"spec": {"tensors": {"../w": tensor(3)}}}, ValueError, r"have a part '\.\.'"),
        (
            {"spec": {"tensors": {"w": tensor(3, dtype="complex128", init="zeros")}}},
            ValueError,
            "complex128",
        ),
        (
            {"spec": {"tensors": {"w": tensor(2**62, init="uniform")}}},
            ValueError,
            r"smaller than 2\*\*63 bytes",
        ),
        (
            {"spec": {"tensors": {"w": tensor(2**50, init="uniform")}}},
            OSError,
            "not enough space on the disk",
        ),
    ],
)
def test_refusals_leave_nothing(changes, kind, message, tmp_path):
    (tmp_path / "a file").write_text("")
    arguments = {"spec": MIXED, "path": "out", "seed": 7, **changes}
    with pytest.raises(kind, match=message):
        checkpoint.save(arguments.pop("spec"), tmp_path / arguments.pop("path"), **arguments)
    assert list(files(tmp_path)) == ["a file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        checkpoint.save(MIXED, tmp_path / "out", seed=7)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (7, 7),
        ("7", 7),
        ("5GB", 5 * 10**9),
        ("5gb", 5 * 10**9),
        ("1.5 KiB", 1536),
        ("2MiB", 2**21),
        ("1TB", 10**12),
    ],
)
def test_sizes(text, size):
    assert size_of(text) == size


def differences(spec, path, seed):
    expected = checkpoint.expected(spec, path, seed)
    return [
        difference
        for file in expected
        for difference in verifier.compare(formats.read(file.path), file.tensors)
    ]


@pytest.mark.parametrize("limit", [None, 100_000])
def test_what_is_expected(limit, tmp_path):
    out = tmp_path / "out"
    checkpoint.save(LLAMA, out, seed=3, max_shard_size=limit)
    assert differences(LLAMA, out, 3) == []
    assert {difference.tensor for difference in differences(LLAMA, out, 4)} == {
        entry.name for entry in specs.read(LLAMA).entries if "norm" not in entry.name
    }
    path = sorted(out.glob("*.safetensors"))[-1]
    last = max(formats.read(path).tensors, key=lambda tensor: tensor.offset)
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        byte = file.read(1)[0] ^ 1
        file.seek(-1, os.SEEK_END)
        file.write(bytes([byte]))
    (difference,) = differences(LLAMA, out, 3)
    assert (difference.tensor, difference.index) == (last.name, tuple(n - 1 for n in last.shape))


def test_a_single_file_is_expected(tmp_path):
    checkpoint.save(MIXED, tmp_path / "m.safetensors", seed=3, dtype="float64")
    assert differences(specs.read(MIXED, "float64"), tmp_path / "m.safetensors", 3) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index["weight_map"].popitem(), "of the spec; '.*' is not in the index"),
        (
            lambda index: index["weight_map"].update(x="model-00001-of-00002.safetensors"),
            "must name the tensors of the spec; 'x' is not in the spec",
        ),
        (
            lambda index: index["weight_map"].update({"lm_head.weight": "../../x.safetensors"}),
            "to files of a model",
        ),
        (lambda index: index["weight_map"].update({"lm_head.weight": 3}), "to files of a model"),
        (lambda index: index.pop("weight_map"), "must have a 'weight_map'"),
        (lambda index: index.update(weight_map=[1]), "must have a 'weight_map'"),
    ],
)
def test_indices_that_are_wrong(change, message, tmp_path):
    checkpoint.save(LLAMA, tmp_path / "out", seed=3, max_shard_size=100_000)
    path = tmp_path / "out" / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))
    with pytest.raises(OSError, match=message):
        checkpoint.expected(LLAMA, tmp_path / "out", 3)
    path.write_text("{")
    with pytest.raises(OSError, match="must have a 'weight_map'"):
        checkpoint.expected(LLAMA, tmp_path / "out", 3)


MEMORY = """
import resource, sys
from initfast import checkpoint
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tensor = {"shape": [4096, 4096], "dtype": "bfloat16", "init": "he_normal"}
checkpoint.save({"tensors": {f"w{n}": tensor for n in range(12)}}, sys.argv[1], seed=1)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.long
def test_memory_does_not_grow_with_the_model(tmp_path):
    """The model has 384 MB; only the chunks of the threads may be in memory."""
    process = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path / "m.safetensors"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tmp_path / "m.safetensors").stat().st_size > 12 * 2**25
    assert int(process.stdout) < 100, "MiB in addition to Python and NumPy"


def test_waiting_for_the_index_says_so_and_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_WAIT_SECONDS", 0.2)
    out = tmp_path / "out"
    out.mkdir()
    index = out / "model.safetensors.index.json"
    with Partial(index), pytest.raises(BlockingIOError, match=r"another process is writing.*index"):
        checkpoint.save(LLAMA, out, seed=3, max_shard_size=100_000)
    assert checkpoint.save(LLAMA, out, seed=3, max_shard_size=100_000, resume=True).complete
    assert index.exists()
