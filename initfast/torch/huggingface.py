"""`spec_of_config`: from a config.json of Hugging Face's transformers to the spec of its model,
which is built on the meta device.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

import torch

from initfast.core.regular import open_regular
from initfast.core.text import line, short
from initfast.torch.specs import spec_from

# Keys that count modules, unlike keys for the sizes of modules.
_COUNTS = re.compile(r"(layer|expert|depth|block)s?$")
_MOST_MODULES = 10_000


def spec_of_config(
    path: str | os.PathLike[str], dtype: str | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the spec of the model that a config describes, and the config to write next to it.

    The config defines the class and the dtype of the model. Its weights are drawn from what the
    model's own `_init_weights` uses.

    Args:
        path: the path of a config.json.
        dtype: replaces the dtype of the config, also in the returned one.

    Raises:
        ImportError: transformers is not installed.
        ValueError: the file is not a config that transformers can build.
        OSError: the file cannot be read.
    """
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            "--config needs transformers: pip install initfast[transformers]"
        ) from error
    with open_regular(path) as file:
        text = file.read()
    try:
        config_values = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"a config must be JSON; received {os.fspath(path)!r}: {line(error)}"
        ) from None
    if not isinstance(config_values, dict) or not isinstance(config_values.get("model_type"), str):
        raise ValueError(
            "a config must have the model_type of a Hugging Face model; received "
            f"{os.fspath(path)!r}"
        )
    if "auto_map" in config_values:
        raise ValueError(
            f"{os.fspath(path)!r} has auto_map, so its model needs code from outside of "
            "transformers, which initfast does not run: build the model on the meta device, and "
            "pass initfast.torch.spec_from(model) to checkpoint.save"
        )
    _check_counts(config_values)
    try:
        model, config = _build(transformers, config_values)
    except Exception as error:  # wrong values in a config raise errors of all kinds in transformers
        raise ValueError(
            f"transformers cannot build the model of {os.fspath(path)!r}: {line(error)}"
        ) from error
    tensor_dtype = dtype or getattr(config, "dtype", None) or "float32"
    name = str(tensor_dtype).removeprefix("torch.")
    config_to_write = {**config_values, "architectures": [type(model).__name__]}
    if dtype is not None:
        config_to_write.pop("torch_dtype", None)
        config_to_write["dtype"] = dtype
    return spec_from(model, dtype=name), config_to_write


def _check_counts(config: dict[str, Any]) -> None:
    """Raise ValueError if a config has more modules than any real model. Each needs memory, even on
    the meta device.
    """
    queue = list(config.items())  # not recursive, because a config may be deeply nested
    while queue:
        key, value = queue.pop()
        if isinstance(value, dict):
            queue += value.items()
        elif isinstance(value, list):
            queue += ((key, each) for each in value)
        elif isinstance(value, int) and value > _MOST_MODULES and _COUNTS.search(key):
            raise ValueError(
                f"{short(key)} of a config may be at most {_MOST_MODULES}; received {value}"
            )


def _build(transformers: Any, config_values: dict[str, Any]) -> tuple[Any, Any]:
    """Return the model of a config on the meta device, and the config."""
    config = transformers.AutoConfig.for_model(**config_values)
    # Other implementations may be downloaded as code. They do not change the weights.
    config._attn_implementation = config._experts_implementation = "eager"
    with torch.device("meta"):
        return _class_of(transformers, config)(config), config


def _class_of(transformers: Any, config: Any) -> Any:
    """Return the class that the config names, else the language model or bare model of its type."""
    for name in config.architectures or ():
        kind = getattr(transformers, name, None) if isinstance(name, str) else None
        if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
            raise ValueError(
                f"transformers {transformers.__version__} has no model class {short(name)}, which "
                "the config names in its architectures"
            )
        return kind
    for auto in (transformers.AutoModelForCausalLM, transformers.AutoModel):
        if type(config) in auto._model_mapping:
            return auto._model_mapping[type(config)]
    raise ValueError(f"transformers has no model for the model_type {config.model_type!r}")
