"""Models of Hugging Face's transformers by their config, on the meta device."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

from initfast.torch.specs import spec_from


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
    text = Path(path).read_text(encoding="utf-8")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"a config must be JSON; received {os.fspath(path)!r}: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("model_type"), str):
        raise ValueError(
            "a config must have the model_type of a Hugging Face model; received "
            f"{os.fspath(path)!r}"
        )
    if "auto_map" in found:
        raise ValueError(
            "a config whose model is code of its own is not built; received auto_map in "
            f"{os.fspath(path)!r}: build the model on the meta device and pass what spec_from "
            "returns to checkpoint.save"
        )
    config = transformers.AutoConfig.for_model(**found)
    with torch.device("meta"):
        model = _class_of(transformers, config)(config)
    wanted = dtype or getattr(config, "dtype", None) or "float32"
    name = str(wanted).removeprefix("torch.")
    written = {**found, "architectures": [type(model).__name__]}
    if dtype is not None:
        written.pop("torch_dtype", None)
        written["dtype"] = dtype
    return spec_from(model, dtype=name), written


def _class_of(transformers: Any, config: Any) -> Any:
    """The class that the config names, else the one for its language model or bare model."""
    for name in config.architectures or ():
        kind = getattr(transformers, name, None)
        if kind is None:
            raise ValueError(
                f"transformers {transformers.__version__} has no class {name!r}, which the config "
                "names in its architectures"
            )
        return kind
    for auto in (transformers.AutoModelForCausalLM, transformers.AutoModel):
        if type(config) in auto._model_mapping:
            return auto._model_mapping[type(config)]
    raise ValueError(f"transformers has no model for the model_type {config.model_type!r}")
