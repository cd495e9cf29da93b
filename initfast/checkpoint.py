"""Write a whole model to disk as `.safetensors` files that Hugging Face's loaders read.

    from initfast import checkpoint

    checkpoint.save(checkpoint.spec_from(model), "folder", seed=42)
    checkpoint.save("gpt2.json", "gpt2.safetensors", seed=42, dtype="bfloat16")

Each tensor uses the stream of its name, so its values do not depend on the other tensors, on the
shards, or on the number of processes that write them. On the command line, `initfast model` does
the same."""

from __future__ import annotations

import sys
from typing import Any

from initfast.core.types import DTypeLike
from initfast.files.checkpoint import expected, plan, save, write

__all__ = ["expected", "plan", "save", "spec_from", "write"]


def spec_from(model: Any, rules: Any = (), *, dtype: DTypeLike = None) -> dict[str, Any]:
    """Return the spec of a PyTorch module or a built Keras model, as `json.dump` takes it.

    `save(spec_from(model), path, seed=s)` writes what `initfast.torch.initialize(model, s,
    buffers=True)`, or `initfast.keras.initialize(model, s)`, would write into the model.

    Args:
        model: the module or model; a module may be on the meta device.
        rules, dtype: the arguments of `initfast.torch.spec_from` or `initfast.keras.spec_from`.

    Raises:
        TypeError: if the model is not one of these.
    """
    # A caller with a model has imported its engine. Keras first, because with the torch backend its
    # layers are also torch modules.
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
