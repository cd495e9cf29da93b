"""Initialise PyTorch tensors, shards of DTensors and whole models with initfast.

The functions of `torch.nn.init` are available under their own names, with the same arguments, fans
and in-place semantics, plus `seed=` and `name=`. `initialize` fills a model's parameters, each from
the stream of its name. `patch` makes torch draw with initfast while a model is built. `rules_from`
returns a model's own initialisation as rules. `spec_from` describes a model for `initfast model`.
`diagnose` and `coordinate_check` measure a model.

    >>> import torch, initfast.torch
    >>> layer = torch.nn.Linear(64, 32)
    >>> weight = initfast.torch.trunc_normal_(layer.weight, std=0.02, seed=42, name="layer.weight")
    >>> rules = {"weight": "trunc_normal_(std=0.02)", "bias": "zeros_"}
    >>> initfast.torch.initialize(layer, seed=42, rules=rules) is layer
    True
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("initfast.torch needs PyTorch: pip install torch") from error

from initfast.torch.coordinates import coordinate_check
from initfast.torch.diagnosis import diagnose
from initfast.torch.init import (
    calculate_gain,
    constant_,
    dirac_,
    eye_,
    kaiming_normal_,
    kaiming_uniform_,
    normal_,
    ones_,
    orthogonal_,
    sparse_,
    trunc_normal_,
    uniform_,
    xavier_normal_,
    xavier_uniform_,
    zeros_,
)
from initfast.torch.modules import initialize
from initfast.torch.packed import blocks
from initfast.torch.ruleset import rules_from
from initfast.torch.specs import spec_from
from initfast.torch.substitution import patch

__all__ = [
    "blocks",
    "calculate_gain",
    "constant_",
    "coordinate_check",
    "diagnose",
    "dirac_",
    "eye_",
    "initialize",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "patch",
    "rules_from",
    "sparse_",
    "spec_from",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]
