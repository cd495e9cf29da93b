"""Models of transformers: `initialize` and `initfast model --config` draw from the same distributions
as their constructors, and `from_pretrained` finds every weight.
"""

from __future__ import annotations

import json
import math
import os
import warnings

import pytest

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # from its imports
    transformers = pytest.importorskip("transformers", minversion="5")

import initfast.torch as init  # noqa: E402
from initfast.cli.program import main  # noqa: E402
from initfast.files import formats  # noqa: E402

# The same model is made several times on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::initfast.ReusedSeedWarning")
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
TEXT = {**SIZES, **IDS, "vocab_size": 100}
GROUPED = {**TEXT, "num_key_value_heads": 2}
VISION = {**SIZES, "image_size": 16, "patch_size": 8}
SPEECH = {
    **IDS,
    "d_model": 64,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 96,
    "vocab_size": 100,
    "max_source_positions": 1100,  # more values than a JSON spec may list
    "max_target_positions": 20,
    "decoder_start_token_id": 1,
}
MODELS = {
    "gpt2": ("GPT2LMHeadModel", {"n_embd": 64, "n_layer": 2, "n_head": 4, **TEXT}),
    "llama": ("LlamaForCausalLM", GROUPED),
    "whisper": ("WhisperForConditionalGeneration", SPEECH),
    "bert": ("BertForPreTraining", TEXT),
    "qwen3": ("Qwen3ForCausalLM", {**GROUPED, "head_dim": 16, "tie_word_embeddings": True}),
    "mistral": ("MistralForCausalLM", GROUPED),
    "mixtral": ("MixtralForCausalLM", {**GROUPED, "num_local_experts": 4}),
    "t5": ("T5ForConditionalGeneration", {"d_model": 64, "d_ff": 96, "d_kv": 16, **TEXT}),
    "vit": ("ViTForImageClassification", VISION),
    "clip": (
        "CLIPModel",
        {
            "text_config": {**TEXT, "max_position_embeddings": 20},
            "vision_config": VISION,
            "projection_dim": 32,
        },
    ),
    "mamba": (
        "MambaForCausalLM",
        {**IDS, "hidden_size": 64, "state_size": 8, "num_hidden_layers": 2, "vocab_size": 100},
    ),
}
QUICK = ("gpt2", "llama", "whisper")
ALL = [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in MODELS]


@pytest.fixture(autouse=True)
def quiet():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def parts(name):
    kind, arguments = MODELS[name]
    config = transformers.AutoConfig.for_model(name, **arguments)
    return getattr(transformers, kind), config


def initfast(*arguments):
    """Return the exit code of a command, run in this process, which has imported transformers."""
    try:
        return main(list(map(str, arguments)))
    except SystemExit as end:
        return end.code


def on_meta(kind, config):
    with torch.device("meta"):
        return kind(config)


def tensors(model):
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def alike(actual, expected):
    """Check that constants are equal, and means, deviations and zeros of random values alike."""
    assert tensors(actual).keys() == tensors(expected).keys()
    for name, ours in tensors(actual).items():
        a, b = ours.detach().double(), tensors(expected)[name].detach().double()
        if len(b.unique()) == 1 or torch.equal(a, b):
            assert torch.equal(a, b), name
            continue
        assert (a == 0).sum() == (b == 0).sum(), name
        error = b.std() / math.sqrt(b.numel())
        assert abs(a.mean() - b.mean()) < 7 * error, name
        assert abs(a.std() - b.std()) < 6 * error, name


@pytest.mark.parametrize("name", ALL)
def test_values_match_an_unpatched_build(name):
    kind, config = parts(name)
    torch.manual_seed(0)
    expected = kind(config)
    rules = init.rules_from(expected)
    model = init.initialize(on_meta(kind, config), seed=1)
    alike(model, expected)
    for other in (
        init.initialize(kind(config), seed=1, rules=init.rules_from(lambda: kind(config))),
        init.initialize(on_meta(kind, config), seed=1, rules=rules),
    ):
        for (key, ours), theirs in zip(
            tensors(model).items(), tensors(other).values(), strict=True
        ):
            assert torch.equal(ours, theirs), key


@pytest.mark.parametrize("name", ALL)
def test_from_pretrained_finds_every_weight(tmp_path, name):
    kind, config = parts(name)
    config.architectures = [kind.__name__]
    config.save_pretrained(tmp_path)
    folder = tmp_path / "out"
    arguments = ("model", "--config", tmp_path / "config.json", "--out", folder, "--seed", 1)
    assert initfast(*arguments) == 0
    config_copy = json.loads((folder / "config.json").read_text())
    assert config_copy == json.loads((tmp_path / "config.json").read_text())
    loaded, info = kind.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    model = init.initialize(on_meta(kind, config), seed=1)
    for key, value in tensors(model).items():
        assert torch.equal(value, tensors(loaded)[key]), key
    assert initfast(*arguments, "--resume") == 0
    assert initfast("verify", folder, "--config", tmp_path / "config.json") == 0
    assert initfast("verify", folder, "--config", tmp_path / "config.json", "--seed", 2) == 1


def test_dtypes_and_refusals(capsys, tmp_path):
    kind, config = parts("gpt2")
    path = tmp_path / "config.json"
    config.dtype = torch.bfloat16
    path.write_text(config.to_json_string())
    folder = tmp_path / "out"
    assert initfast("model", "--config", path, "--out", folder, "--seed", 1) == 0
    dtypes = {tensor.dtype for tensor in formats.read(folder / "model.safetensors").tensors}
    assert dtypes == {"BF16"}
    again = ("model", "--config", path, "--out", folder, "--seed", 1, "--dtype", "float32")
    assert initfast(*again) == 1
    assert "config.json' exists and differs: use --force" in capsys.readouterr().err
    assert initfast(*again, "--force") == 0
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float32"
    assert kind.from_pretrained(folder).dtype == torch.float32

    for arguments, message in (
        (("model", "--out", folder), "SPEC.json or --config is required"),
        (
            ("model", path, "--config", path, "--out", folder),
            "--config cannot be combined with SPEC.json",
        ),
        (("model", "--config", path, "--out", "m.safetensors"), "--config needs a folder"),
        (("model", path, "--out", folder), "with --config"),
    ):
        assert initfast(*arguments) == 2
        assert message in capsys.readouterr().err
    for text, message in (
        ("[]", "model_type"),
        ("{", "a config must be JSON"),
        ('{"model_type": "gpt2", "auto_map": {}}', "auto_map"),
        ('{"model_type": "gpt2", "architectures": ["Gone"]}', "has no model class 'Gone'"),
        ('{"model_type": "no_such"}', "no_such"),
    ):
        path.write_text(text)
        assert initfast("model", "--config", path, "--out", tmp_path / "none") == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["pipeline"]}, "no model class 'pipeline'"),
        ({"architectures": ["GPT2Config"]}, "no model class 'GPT2Config'"),
        ({"architectures": [["x"]]}, "no model class"),
        ({"architectures": 3}, "cannot build the model"),
        ({"hidden_size": "x" * 10**5}, "cannot build the model"),
        ({"n_head": 0, "num_attention_heads": 0}, "cannot build the model"),
        ({"cls": 1}, "cannot build the model"),
        ({"model_type": "x" * 10**5}, "cannot build the model"),
        ({"dtype": "no_such"}, ""),
        ({"n_layer": 10**9}, "'n_layer' of a config may be at most 10000; received 1000000000"),
        ({"vision": {"depths": [1, 10**9]}}, "'depths' of a config may be at most 10000"),
    ],
)
def test_an_untrusted_config(capsys, tmp_path, change, message):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "gpt2", **MODELS["gpt2"][1], **change}))
    assert initfast("model", "--config", path, "--out", tmp_path / "none", "--seed", 1) == 2
    error = capsys.readouterr().err
    assert message in error
    assert max(map(len, error.splitlines())) < 1000
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("text", ['{"a":' * 60_000, b"\xff", '{"a": ' + "9" * 5000 + "}", ""])
def test_an_untrusted_config_that_is_not_one(capsys, tmp_path, text):
    path = tmp_path / "config.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert initfast("model", "--config", path, "--out", tmp_path / "none") == 2
    assert "a config must be JSON" in capsys.readouterr().err


def test_an_untrusted_config_fetches_no_code(tmp_path, monkeypatch):
    """A config may name attention code, which transformers would download."""

    def fetch(*_, **__):
        raise AssertionError

    monkeypatch.setattr(transformers.modeling_utils, "lazy_import_flash_attention", fetch)
    path = tmp_path / "config.json"
    for name in ("kernels-community/flash-attn", "no/such", "flash_attention_2"):
        arguments = {"model_type": "gpt2", **MODELS["gpt2"][1], "attn_implementation": name}
        path.write_text(json.dumps(arguments))
        folder = tmp_path / name.replace("/", "_")
        assert initfast("model", "--config", path, "--out", folder, "--seed", 1) == 0


def pipe(path):
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (pipe, "must be a regular file"),
        (os.mkdir, "must be a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "must be a regular file"),
        (lambda path: path.write_text("{"), "exists and differs: use --force"),
        (lambda path: path.write_text("{" * 10**5), "exists and differs: use --force"),
        (lambda path: path.write_bytes(b"\xff"), "exists and differs: use --force"),
    ],
)
def test_untrusted_files_in_the_place_of_the_config(capsys, tmp_path, make, message):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "gpt2", **MODELS["gpt2"][1]}))
    (tmp_path / "out").mkdir()
    make(tmp_path / "out" / "config.json")
    arguments = ("model", "--config", path, "--out", tmp_path / "out", "--seed", 1)
    assert initfast(*arguments) == 1
    assert message in capsys.readouterr().err
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["config.json"]
    assert initfast("model", "--config", tmp_path / "out" / "config.json", "--out", "x") in (1, 2)


def test_a_config_is_not_written_through_a_link(capsys, tmp_path):
    path, folder = tmp_path / "config.json", tmp_path / "out"
    path.write_text(json.dumps({"model_type": "gpt2", **MODELS["gpt2"][1]}))
    folder.mkdir()
    (tmp_path / "precious").write_text("precious")
    (folder / "config.json.partial").symlink_to(tmp_path / "precious")
    assert initfast("model", "--config", path, "--out", folder, "--seed", 1) == 1
    assert "is a symbolic link" in capsys.readouterr().err
    assert (tmp_path / "precious").read_text() == "precious"
