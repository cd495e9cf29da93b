"""Write a whole model to disk as Hugging Face's loaders read it: `.safetensors`, in shards.

    from initfast import checkpoint

    checkpoint.save(checkpoint.spec_from(model), "folder", seed=42)
    checkpoint.save("gpt2.json", "gpt2.safetensors", seed=42, dtype="bfloat16")

Every tensor is drawn from the stream of its name, so that it does not depend on what else the
model has, on the shards, or on how many processes write them. `initfast model` is the same on the
command line."""

from __future__ import annotations

import sys
from typing import Any

from initfast.core.types import DTypeLike
from initfast.files.checkpoint import expected, plan, save, write

__all__ = ["expected", "plan", "save", "spec_from", "write"]


def spec_from(model: Any, rules: Any = (), *, dtype: DTypeLike = None) -> dict[str, Any]:
    """Return the spec of a PyTorch module or a built Keras model, as `json.dump` takes it.

    `save(spec_from(model), path, seed=s)` writes what `initfast.torch.initialize(model, s,
    buffers=True)`, or `initfast.keras.initialize(model, s)`, would give the model.

    Args:
        model: the module or model; a module may be on the meta device.
        rules, dtype: as for `initfast.torch.spec_from` or `initfast.keras.spec_from`.

    Raises:
        TypeError: the model is neither.
    """
    # Who has a model has imported its engine. Keras first: on the torch backend its layers are
    # modules too.
    keras, torch = sys.modules.get("keras"), sys.modules.get("torch")
    if keras is not None and isinstance(model, keras.layers.Layer):
        from initfast.keras import specs as of_keras

        return of_keras.spec_from(model, rules or None, dtype=dtype)
    if torch is not None and isinstance(model, torch.nn.Module):
        from initfast.torch import specs as of_torch

        return of_torch.spec_from(model, rules, dtype=dtype)
    raise TypeError(
        f"a model must be a torch.nn.Module or a Keras layer; received {type(model).__name__}"
    )
