"""The file written from `spec_from(module)`, read by the real loaders, equals `initialize(module)`."""

import json
import re
import warnings

import numpy as np
import pytest
from places import SPECS

import initfast as ift
from initfast import checkpoint

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")
from torch import nn  # noqa: E402

import initfast.torch as init  # noqa: E402


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(12, 8, padding_idx=-2)
        self.block = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8))
        self.head = nn.Linear(8, 12, bias=False)
        self.head.weight = self.embedding.weight
        self.again = self.block[0]


class Buffers(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("positions", torch.arange(4))
        self.register_buffer("scale", torch.tensor([0.1, -0.0, 3e-40]))
        self.register_buffer("mask", torch.ones(3, 3, dtype=torch.bool))
        self.register_buffer("empty", torch.empty(0, 3))
        self.register_buffer("cache", torch.full((2,), float("nan")), persistent=False)


MODULES = {
    "Linear": lambda: nn.Linear(7, 5),
    "Linear without inputs": lambda: nn.Linear(0, 5),
    "convolutions": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.PReLU(), nn.ConvTranspose1d(8, 4, 5)
    ),
    "LSTM": lambda: nn.LSTM(5, 6, num_layers=2, bidirectional=True, proj_size=3),
    "GRUCell": lambda: nn.GRUCell(5, 6),
    "embeddings": lambda: nn.ModuleList(
        [nn.Embedding(20, 6, padding_idx=3), nn.EmbeddingBag(9, 4)]
    ),
    "attention": lambda: nn.MultiheadAttention(16, 4, add_bias_kv=True),
    "attention apart": lambda: nn.MultiheadAttention(16, 4, kdim=12, vdim=20),
    "Transformer": lambda: nn.Transformer(16, 4, 1, 1, 32, batch_first=True),
    "norms": lambda: nn.ModuleList(
        [nn.GroupNorm(2, 8), nn.RMSNorm(8), nn.InstanceNorm1d(4, True, True)]
    ),
    "Bilinear": lambda: nn.Bilinear(3, 4, 5),
    "ties": Tied,
}
# Meta buffers have no values.
HELD = {**MODULES, "buffers": Buffers}

RULES = {
    "trunc_normal_": ("trunc_normal_", {"mean": 0.1, "std": 0.02, "a": -0.03, "b": 0.15}),
    "trunc_normal_ far away": ("trunc_normal_", {"std": 1.0, "a": -float("inf"), "b": -1.5}),
    "trunc_normal_ at a point": ("trunc_normal_", {"std": 0.0, "a": 1.0, "b": 2.0}),
    "normal_": ("normal_", {"mean": 0.5, "std": 0.25}),
    "uniform_": ("uniform_", {"a": -0.3, "b": 0.1}),
    "xavier_uniform_": ("xavier_uniform_", {"gain": 1.5}),
    "xavier_normal_": "xavier_normal_",
    "kaiming_normal_": ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
    "orthogonal_": ("orthogonal_", {"gain": 2.0}),
    "eye_": "eye_",
    "constant_": ("constant_", {"val": 0.1}),
    "initfast": ift.HeNormal(seed=9),
    "initfast with axes": ift.VarianceScaling(
        0.5, "fan_out", "uniform", input_axes=[0], output_axes=[1]
    ),
    "a name": "lecun_uniform",
    "an array": ift.Constant(np.linspace(-1, 1, 5)),
}


def bits(tensor):
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def state(module):
    return {
        name: (tensor.dtype, tuple(tensor.shape), bits(tensor))
        for name, tensor in module.state_dict().items()
    }


def saved(tmp_path, spec, seed=5):
    """Return the tensors of a file that is written from a spec, after a round trip through JSON."""
    path = tmp_path / "model.safetensors"
    result = checkpoint.save(json.loads(json.dumps(spec, allow_nan=False)), path, seed=seed)
    assert result.complete
    actual = safetensors_torch.load_file(path)
    return {
        name: (tensor.dtype, tuple(tensor.shape), bits(tensor)) for name, tensor in actual.items()
    }


def quiet(make):
    """Build a module without torch's warning about tensors without elements."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element", UserWarning)
        return make()


def untied(module, values):
    """Return the entries of a state dict that a file has: the first name of each memory."""
    names = {*dict(module.named_parameters()), *dict(module.named_buffers())}
    return {name: value for name, value in values.items() if name in names}


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", HELD)
def test_the_file_equals_initialize(name, dtype, device, tmp_path):
    if device == "meta" and name not in MODULES:
        pytest.skip("buffers without values are refused, see below")
    with torch.device(device):
        module = quiet(HELD[name]).to(dtype)
    before = {key: tensor._version for key, tensor in module.named_parameters()}
    actual = saved(tmp_path, checkpoint.spec_from(module))
    assert {key: tensor._version for key, tensor in module.named_parameters()} == before
    expected = init.initialize(quiet(HELD[name]).to(dtype), seed=5, buffers=True)
    expected_tensors = untied(expected, state(expected))
    assert actual == expected_tensors
    assert actual.keys() >= {key for key, _ in module.named_parameters()}


@pytest.mark.parametrize("rule", RULES)
def test_rules(rule, tmp_path):
    def make():
        return nn.Sequential(nn.Linear(5, 7), nn.Linear(5, 5))

    rules = [("*.weight", RULES[rule]), ("1.bias", None)]
    actual = saved(tmp_path, init.spec_from(make(), rules))
    expected = state(init.initialize(make(), seed=5, rules=rules))
    del expected["1.bias"]  # a rule None leaves it out
    assert actual == expected


def test_the_fans_of_convolutions_are_torch_s(tmp_path):
    def make():
        return nn.Conv2d(4, 6, 3)

    rules = {"weight": "he_normal", "bias": ("normal_", {"std": 0.1})}
    assert saved(tmp_path, init.spec_from(make(), rules)) == state(
        init.initialize(make(), 5, rules)
    )


def test_orthogonal_of_equal_matrices(tmp_path):
    module = nn.Conv1d(6, 1, 1)
    module.weight = nn.Parameter(torch.empty(6, 1, 4))
    rules = {"weight": "orthogonal_"}
    expected = state(init.initialize(module, 5, rules))
    assert saved(tmp_path, init.spec_from(module, rules)) == expected


@pytest.mark.parametrize("dtype", ["bfloat16", torch.float16, "float8_e4m3fn"])
def test_another_dtype(dtype, tmp_path):
    actual = saved(tmp_path, init.spec_from(Buffers(), dtype=dtype))
    kind = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    module = Buffers()
    expected = state(init.initialize(module.to(kind), 5, buffers=True))
    assert actual == untied(module, expected)
    assert {kind, torch.int64, torch.bool} == {values[0] for values in actual.values()}


def test_the_seed_may_have_a_name(tmp_path):
    module = nn.Linear(3, 3)
    seed = ift.Seed(5).named("student")
    assert saved(tmp_path, init.spec_from(module), seed) == state(init.initialize(module, seed))


def test_ties_are_written_once_and_load(tmp_path):
    spec = checkpoint.spec_from(Tied())
    assert "head.weight" not in spec["tensors"] and "again.weight" not in spec["tensors"]
    checkpoint.save(spec, tmp_path / "tied.safetensors", seed=5)
    module = Tied()
    safetensors_torch.load_model(
        module, tmp_path / "tied.safetensors"
    )  # strict: no name may be missing
    expected = init.initialize(Tied(), seed=5)
    assert state(module) == state(expected)
    assert module.head.weight is module.embedding.weight
    assert (module.embedding.weight[10] == 0).all() and (module.embedding.weight[11] != 0).any()


def test_wrappers_leave_no_names():
    wrapped = nn.ModuleDict({"_orig_mod": nn.Sequential(nn.Linear(5, 5))})
    assert list(init.spec_from(wrapped)["tensors"]) == ["0.weight", "0.bias"]


def test_defaults_use_keras_names():
    actual = init.spec_from(
        nn.Linear(4, 3), {"bias": ("trunc_normal_", {"std": 0.5, "a": -1.0, "b": 2.0})}
    )["tensors"]
    assert actual["weight"]["init"]["class_name"] == "RandomUniform"
    assert actual["weight"]["init"]["config"] == pytest.approx({"minval": -0.5, "maxval": 0.5})
    assert actual["bias"]["init"] == {
        "class_name": "TruncatedNormal",
        "config": {"mean": 0.0, "stddev": 0.5, "lower": -2.0, "upper": 4.0},
    }
    assert init.spec_from(nn.LayerNorm(3))["tensors"]["bias"] == {
        "shape": [3],
        "dtype": "float32",
        "init": "zeros",
    }
    assert init.spec_from(nn.Embedding(4, 2, padding_idx=1))["tensors"]["weight"]["fixed_rows"] == [
        [1, 2, 0.0]
    ]
    keras = pytest.importorskip("keras")
    assert keras.initializers.get(actual["weight"]["init"]).maxval == pytest.approx(0.5)


def conv(rule):
    return lambda: init.spec_from(nn.Conv2d(2, 2, 3), {"weight": rule})


def meta_buffer(**kwargs):
    with torch.device("meta"):
        module = Buffers()
    return init.spec_from(module, **kwargs)


class Infinite(nn.Module):
    def __init__(self, value=float("-inf"), size=3):
        super().__init__()
        self.register_buffer("mask", torch.full((size,), value))


class Many(Infinite):
    def __init__(self):
        super().__init__(0.0, 2**16 + 1)
        self.mask[0] = 1


class Own(nn.Linear):
    def reset_parameters(self):
        pass


class Mine(ift.Initializer):
    def __call__(self, shape, dtype=None):
        return np.ones(shape, "float32")


REFUSALS = [
    (
        conv("dirac_"),
        r"parameter 'weight': no initializer of Keras writes the same as dirac_ for shape \(2, 2, 3, 3\)",
    ),
    (
        conv("orthogonal_"),
        "parameter 'weight': no initializer of Keras writes the same as orthogonal_",
    ),
    (
        lambda: init.spec_from(nn.Linear(2, 2), {"weight": ("sparse_", {"sparsity": 0.5})}),
        "writes the same as sparse_",
    ),
    (
        conv(("constant_", {"val": float("inf")})),
        "parameter 'weight': value must be a number|finite",
    ),
    (conv(Mine()), "parameter 'weight': serialize takes the initializers of initfast"),
    (conv(("normal_", {"std": -1.0})), "parameter 'weight': normal expects std"),
    (
        meta_buffer,
        "buffer 'positions': it has no values on the meta device; pass a rule.*None to leave it out",
    ),
    (lambda: init.spec_from(Infinite()), "buffer 'mask': value must be"),
    (
        lambda: init.spec_from(Many()),
        "buffer 'mask': a spec spells out at most 65536 values; received 65537",
    ),
    (lambda: init.spec_from(Own(2, 2)), "every parameter needs a rule.*received 'weight'"),
    (lambda: init.spec_from(nn.LazyLinear(2)), "'weight' has no shape yet"),
    (lambda: init.spec_from(nn.Linear(2, 2), {"wieght": "zeros"}), "'wieght' matches none"),
    (lambda: init.spec_from(nn.Linear(2, 2), dtype="int8"), "random values need a floating dtype"),
    (
        lambda: init.spec_from(nn.Linear(2, 2, dtype=torch.complex64)),
        "parameter 'weight': no initializer of Keras writes .* and torch.complex64",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSALS)
def test_errors_name_the_tensor(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_remedies_work(tmp_path):
    actual = init.spec_from(nn.Conv2d(2, 2, 3), {"weight": None})
    assert list(actual["tensors"]) == ["bias"]
    rules = [
        ("positions", ift.Constant(np.arange(4))),
        ("scale", "zeros_"),
        ("mask", None),
        ("empty", None),
    ]
    with torch.device("meta"):
        module = Buffers()
    actual = saved(tmp_path, init.spec_from(module, rules))
    assert actual["positions"][2] == np.arange(4).tobytes()
    assert set(actual) == {
        *(f"norm.{name}" for name in nn.BatchNorm1d(3).state_dict()),
        "positions",
        "scale",
    }


def test_arguments_that_are_not_models():
    for model in (None, {}, nn.Linear, torch.ones(3)):
        with pytest.raises(
            TypeError, match=re.escape("a model must be a torch.nn.Module or a Keras layer")
        ):
            checkpoint.spec_from(model)


def test_fsdp_s_parameters_have_their_global_shape():
    dist = torch.distributed
    if not dist.is_available():
        pytest.skip("torch is built without distributed")
    from torch.distributed.fsdp import fully_shard
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=1, world_size=4)
    try:
        mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (4,))
        with torch.device("meta"):
            module = nn.Sequential(nn.Linear(8, 12), nn.Linear(12, 4))
        plain = init.spec_from(module)
        fully_shard(module, mesh=mesh)
        assert module[0].weight.to_local().shape == (3, 8)
        assert init.spec_from(module) == plain
    finally:
        dist.destroy_process_group()


def test_hugging_face_loads_what_is_saved(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_embd=32, n_layer=3, n_head=4, vocab_size=97, n_positions=16)
    with torch.device("meta"):
        model = transformers.GPT2LMHeadModel(config)
    rules = [
        ("*.c_proj.weight", ("normal_", {"std": 0.01})),
        ("*.c_*.weight", ("normal_", {"std": 0.02})),
        ("*.bias", "zeros_"),
    ]
    spec = checkpoint.spec_from(model, rules)
    assert "lm_head.weight" not in spec["tensors"]
    checkpoint.save(spec, tmp_path / "gpt2", seed=42, max_shard_size="50KB")
    config.save_pretrained(tmp_path / "gpt2")
    assert len(list((tmp_path / "gpt2").glob("model-*-of-*.safetensors"))) > 2
    loaded, report = transformers.GPT2LMHeadModel.from_pretrained(
        tmp_path / "gpt2", output_loading_info=True
    )
    assert not any(report.values()), report
    expected = init.initialize(transformers.GPT2LMHeadModel(config), 42, rules)
    assert state(loaded) == state(expected)
    assert loaded.lm_head.weight.data_ptr() == loaded.transformer.wte.weight.data_ptr()


def test_hugging_face_loads_a_llama_in_bfloat16(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=64, intermediate_size=112, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=320, dtype="bfloat16",
    )  # fmt: skip
    folder = tmp_path / "llama"
    spec = SPECS / "llama_small.json"
    checkpoint.save(spec, folder, seed=42, max_shard_size="100KB")
    config.save_pretrained(folder)
    loaded, report = transformers.LlamaForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
    rules = [("*norm.weight", "ones_"), ("*", ift.TruncatedNormal(stddev=0.02))]
    assert (
        checkpoint.spec_from(model, rules)["tensors"].keys()
        == json.loads(spec.read_text())["tensors"].keys()
    )
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == torch.bfloat16
        expected = ift.TruncatedNormal(stddev=0.02, seed=ift.Seed(42).named(name))(
            tuple(tensor.shape), "bfloat16"
        )
        assert "norm" in name or bits(tensor) == expected.tobytes()
        assert "norm" not in name or (tensor == 1).all()
