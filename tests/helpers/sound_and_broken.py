"""Sound models with the initialisation of their library, and broken versions of them.

`python tests/helpers/sound_and_broken.py` prints the table in initfast/signal/README.md."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from initfast.torch import diagnose

STATIC = {"use_cache": False}


class Case(NamedTuple):
    """A version of a model with the expected verdict: a level, the failed criterion, and words of
    the reason."""

    model: str
    version: str
    make: Callable[[], tuple[nn.Module, Any]]
    level: str = "GOOD"
    letter: str = ""
    words: str = ""


def _matrices(module: nn.Module) -> list[nn.Parameter]:
    return [each for each in module.parameters() if each.ndim >= 2]


def standard(module: nn.Module) -> None:
    """Draw all weights from N(0, 1)."""
    for each in _matrices(module):
        nn.init.normal_(each)


def zeros(module: nn.Module) -> None:
    """Set all weights to 0."""
    for each in _matrices(module):
        nn.init.zeros_(each)


def _by(scale: Callable[[nn.Module], float]) -> Callable[[nn.Module], None]:
    def draw(module: nn.Module) -> None:
        for part in module.modules():
            if isinstance(part, (nn.Linear, nn.Conv2d)):
                nn.init.normal_(part.weight, 0.0, scale(part))

    return draw


def _fan(part: nn.Module, axis: int, groups: int) -> float:
    shape = part.weight.shape
    return (
        shape[axis]
        * math.prod(shape[2:])
        * (shape[0] // groups if axis == 0 else 1)
        / (shape[0] if axis == 0 else 1)
    )


he_fan_in = _by(lambda part: math.sqrt(2.0 / _fan(part, 1, getattr(part, "groups", 1))))
he_fan_out = _by(lambda part: math.sqrt(2.0 / _fan(part, 0, getattr(part, "groups", 1))))
he_ungrouped = _by(lambda part: math.sqrt(2.0 / _fan(part, 0, 1)))


def tokens(count: int = 24) -> dict[str, Any]:
    return {"input_ids": torch.randint(500, (4, count)), **STATIC}


def images(size: int = 32) -> dict[str, Any]:
    return {"pixel_values": torch.randn(4, 3, size, size)}


def gpt2(
    change: Callable[[nn.Module], None] = lambda _: None, layers: int = 12, width: int = 128
) -> tuple[nn.Module, Any]:
    import transformers as tf

    config = tf.GPT2Config(
        n_layer=layers, n_embd=width, n_head=2, vocab_size=500, n_positions=64,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = tf.GPT2LMHeadModel(config)
    change(model)
    return model, tokens()


def unscaled(module: nn.Module) -> None:
    """Draw GPT-2's projections into the residual stream without the factor 1 / sqrt(2 layers)."""
    for name, each in module.named_parameters():
        if name.endswith("c_proj.weight"):
            nn.init.normal_(each, 0.0, 0.02)


def llama(change: Callable[[nn.Module], None] = lambda _: None) -> tuple[nn.Module, Any]:
    import transformers as tf

    config = tf.LlamaConfig(
        hidden_size=128, intermediate_size=352, num_hidden_layers=8, num_attention_heads=4,
        vocab_size=500,
    )  # fmt: skip
    model = tf.LlamaForCausalLM(config)
    change(model)
    return model, tokens()


def vit(change: Callable[[nn.Module], None] = lambda _: None) -> tuple[nn.Module, Any]:
    import transformers as tf

    config = tf.ViTConfig(
        hidden_size=128, num_hidden_layers=12, num_attention_heads=4, intermediate_size=512,
        image_size=32, patch_size=8,
    )  # fmt: skip
    model = tf.ViTForImageClassification(config)
    change(model)
    return model, images()


def resnet50(change: Callable[[nn.Module], None] = lambda _: None) -> tuple[nn.Module, Any]:
    import transformers as tf

    sizes = [64, 128, 256, 512]  # a quarter of the usual widths
    config = tf.ResNetConfig(embedding_size=16, hidden_sizes=sizes, depths=[3, 4, 6, 3])
    model = tf.ResNetForImageClassification(config)
    change(model)
    return model, images(64)


def zero_gamma(module: nn.Module) -> None:
    """Set the last normalisation of each branch to 0, as in Goyal et al. 2017."""
    for part in module.modules():
        if type(part).__name__ == "ResNetBottleNeckLayer":
            nn.init.zeros_(part.layer[-1].normalization.weight)


def convnext(change: Callable[[nn.Module], None] = lambda _: None) -> tuple[nn.Module, Any]:
    import transformers as tf

    config = tf.ConvNextConfig(depths=[2, 2, 4, 2], hidden_sizes=[24, 48, 96, 192])
    model = tf.ConvNextForImageClassification(config)
    change(model)
    return model, images(64)


def efficientnet(change: Callable[[nn.Module], None] = lambda _: None) -> tuple[nn.Module, Any]:
    import transformers as tf

    config = tf.EfficientNetConfig(
        image_size=32, width_coefficient=0.5, depth_coefficient=0.5, hidden_dim=640, num_labels=10
    )
    model = tf.EfficientNetForImageClassification(config)
    change(model)
    return model, images()


def gammas_of_one(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)


class Tagger(nn.Module):
    """Two LSTM layers over embedded tokens, with orthogonal recurrent kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(200, 64)
        self.lstm = nn.LSTM(64, 128, num_layers=2, batch_first=True)
        self.head = nn.Linear(128, 10)
        for name, each in self.lstm.named_parameters():
            if "weight_hh" in name:
                for gate in each.chunk(4):
                    nn.init.orthogonal_(gate)
            elif "weight_ih" in name:
                nn.init.xavier_uniform_(each)
            else:
                nn.init.zeros_(each)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.lstm(self.embed(x))[0])
        return out


def lstm(change: Callable[[nn.Module], None] = lambda _: None) -> tuple[nn.Module, Any]:
    model = Tagger()
    change(model)
    return model, torch.randint(200, (8, 20))


def mlp(change: Callable[[nn.Module], None] = he_fan_in) -> tuple[nn.Module, Any]:
    """Return a network with growing widths, so that fan_in and fan_out differ."""
    widths = [32, 64, 128, 256, 512, 1024]
    parts: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        parts += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    model = nn.Sequential(*parts, nn.Linear(1024, 10))
    for each in model.parameters():
        nn.init.zeros_(each)
    change(model)
    return model, torch.randn(64, 32)


def separable(change: Callable[[nn.Module], None] = he_fan_in) -> tuple[nn.Module, Any]:
    """Return a network of alternating depthwise and pointwise convolutions."""
    parts: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1), nn.ReLU()]
    for _ in range(4):
        parts += [nn.Conv2d(64, 64, 3, padding=1, groups=64), nn.ReLU()]
        parts += [nn.Conv2d(64, 64, 1), nn.ReLU()]
    model = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    change(model)
    return model, torch.randn(8, 3, 24, 24)


class Residual(nn.Module):
    """The block x + branch(x), without a normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.branch(x)
        return out


def residual_mlp(
    change: Callable[[nn.Module], None] = lambda _: None, depth: int = 12
) -> tuple[nn.Module, Any]:
    blocks = [Residual(128) for _ in range(depth)]
    model = nn.Sequential(nn.Linear(32, 128), *blocks, nn.Linear(128, 10))
    he_fan_in(model)
    change(model)
    return model, torch.randn(64, 32)


def fixup(module: nn.Module) -> None:
    """Set the last layer of each branch to 0, as in Zhang et al. 2019."""
    for part in module.modules():
        if isinstance(part, Residual):
            nn.init.zeros_(part.branch[-1].weight)
            nn.init.zeros_(part.branch[-1].bias)


BIG, DEAD = ("POOR", "f", "multiply the mean square"), ("UNUSABLE", "g", "stay equal (zeros)")
NOTHING = ("UNUSABLE", "f", "the signal becomes 0")
GROWS = ("POOR", "f", "residual stream grows")
LOST = ("POOR", "f", "residual stream falls")

CASES = [
    Case("GPT-2", "as transformers draws it", gpt2),
    Case("GPT-2", "96 layers", lambda: gpt2(layers=96, width=64)),
    Case("GPT-2", "96 layers, no residual scaling",
         lambda: gpt2(unscaled, layers=96, width=64), *GROWS),
    Case("GPT-2", "N(0, 1)", lambda: gpt2(standard), *BIG),
    Case("GPT-2", "zeros", lambda: gpt2(zeros), *DEAD),
    Case("LLaMA-like", "as transformers draws it", llama),
    Case("LLaMA-like", "N(0, 1)", lambda: llama(standard), *BIG),
    Case("LLaMA-like", "zeros", lambda: llama(zeros), *DEAD),
    Case("ViT", "as transformers draws it", vit),
    Case("ViT", "N(0, 1)", lambda: vit(standard), *BIG),
    Case("ViT", "zeros", lambda: vit(zeros), *DEAD),
    Case("ResNet-50", "as transformers draws it (He, fan_out)", resnet50),
    Case("ResNet-50", "He, last gamma of each branch 0", lambda: resnet50(zero_gamma)),
    Case("ResNet-50", "N(0, 1)", lambda: resnet50(standard), *BIG),
    Case("ResNet-50", "zeros", lambda: resnet50(zeros), *DEAD),
    Case("ConvNeXt", "as transformers draws it", convnext),
    Case("ConvNeXt", "N(0, 1)", lambda: convnext(standard), *BIG),
    Case("ConvNeXt", "zeros", lambda: convnext(zeros), *DEAD),
    Case("EfficientNet", "gammas of 1, else as transformers draws it",
         lambda: efficientnet(gammas_of_one)),
    Case("EfficientNet", "as transformers draws it: gammas N(0, 0.02)", efficientnet, *LOST),
    Case("EfficientNet", "zeros", lambda: efficientnet(zeros), *DEAD),
    Case("LSTM", "orthogonal recurrent kernels", lstm),
    Case("LSTM", "N(0, 1)", lambda: lstm(standard), *BIG),
    Case("LSTM", "zeros", lambda: lstm(zeros), *DEAD),
    Case("MLP 32 to 1024", "He", mlp),
    Case("MLP 32 to 1024", "He, fan_out for fan_in", lambda: mlp(he_fan_out), "POOR", "f",
         "multiplies the mean square"),
    Case("MLP 32 to 1024", "N(0, 1)", lambda: mlp(standard), "POOR", "f", "multiplies the mean square"),
    Case("MLP 32 to 1024", "zeros", lambda: mlp(zeros), *DEAD),
    Case("Depthwise separable", "He", separable),
    Case("Depthwise separable", "He, fan of a depthwise kernel as if ungrouped",
         lambda: separable(he_ungrouped), "POOR", "f", "multiplies the mean square"),
    Case("Residual MLP", "last layer of each branch 0 (Fixup)", lambda: residual_mlp(fixup)),
    Case("Residual MLP", "He, nothing scales the branches", residual_mlp, *GROWS),
]  # fmt: skip


def verdict(case: Case) -> Any:
    """Return the report on a case, from one seed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        model, batch = case.make()
        return diagnose(model, batch)


def as_planted(case: Case, report: Any) -> bool:
    """Return whether a report has the expected verdict."""
    summary = report.summary
    if summary.level != case.level:
        return False
    return not case.letter or (
        report.verdicts[case.letter].passed is False
        and case.words in report.verdicts[case.letter].reason
    )


def row(case: Case, report: Any) -> str:
    why = report.verdicts[case.letter].criterion if case.letter else ""
    return f"| {case.model} | {case.version} | {report.summary.level} | {why} |"


HEAD = ["| Model | Version | Verdict | What fails |", "| --- | --- | --- | --- |"]


def main() -> None:
    print("\n".join(HEAD))
    for case in CASES:
        report = verdict(case)
        problem = "" if as_planted(case, report) else f" UNEXPECTED: {report.summary}"
        print(row(case, report) + problem, flush=True)


if __name__ == "__main__":
    main()
