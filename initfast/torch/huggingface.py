"""Models of Hugging Face's transformers by their config, on the meta device."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import torch

from initfast.core.regular import open_regular
from initfast.core.text import line, short
from initfast.torch.specs import spec_from

# Keys that say how many modules there are, and not how large they are.
_COUNTS = re.compile(r"(layer|expert|depth|block)s?$")
_MOST_MODULES = 10_000


def spec_of_config(
    path: str | os.PathLike[str], dtype: str | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the spec of the model that a config describes, and the config for its folder.

    The model's own `_init_weights` says what its weights are drawn from, and the config which
    class and dtype it has.

    Args:
        path: of a config.json.
        dtype: replaces that of the config, also in the one returned.

    Raises:
        ImportError: transformers is not installed.
        ValueError: the file is not a config that transformers knows.
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
        found = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"a config must be JSON; received {os.fspath(path)!r}: {line(error)}"
        ) from None
    if not isinstance(found, dict) or not isinstance(found.get("model_type"), str):
        raise ValueError(
            "a config must have the model_type of a Hugging Face model; received "
            f"{os.fspath(path)!r}"
        )
    if "auto_map" in found:
        raise ValueError(
            "a config that brings its model's code is not built; received auto_map in "
            f"{os.fspath(path)!r}: build the model on the meta device and pass what spec_from "
            "returns to checkpoint.save"
        )
    _check_counts(found)
    try:
        model, config = _built(transformers, found)
    except Exception as error:  # whatever the values of a config lead to in transformers
        raise ValueError(
            f"transformers cannot build the model of {os.fspath(path)!r}: {line(error)}"
        ) from error
    wanted = dtype or getattr(config, "dtype", None) or "float32"
    name = str(wanted).removeprefix("torch.")
    written = {**found, "architectures": [type(model).__name__]}
    if dtype is not None:
        written.pop("torch_dtype", None)
        written["dtype"] = dtype
    return spec_from(model, dtype=name), written


def _check_counts(config: dict[str, Any]) -> None:
    """Refuse a config of more modules than any model has: each takes memory, on meta too.

    Raises:
        ValueError: naming the key.
    """
    rest = list(config.items())  # by hand: a config may be nested as deeply as Python recurses
    while rest:
        key, value = rest.pop()
        if isinstance(value, dict):
            rest += value.items()
        elif isinstance(value, list):
            rest += ((key, each) for each in value)
        elif isinstance(value, int) and value > _MOST_MODULES and _COUNTS.search(key):
            raise ValueError(
                f"{short(key)} of a config may be at most {_MOST_MODULES}; received {value}"
            )


def _built(transformers: Any, found: dict[str, Any]) -> tuple[Any, Any]:
    """Return the model of a config on the meta device, and the config."""
    config = transformers.AutoConfig.for_model(**found)
    # Others may be fetched from the network, as code; none of them has to do with the weights.
    config._attn_implementation = config._experts_implementation = "eager"
    with torch.device("meta"):
        return _class_of(transformers, config)(config), config


def _class_of(transformers: Any, config: Any) -> Any:
    """Return the class that the config names, else the one for its language model or bare model."""
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
