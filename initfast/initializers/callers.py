"""Refuse calls from Keras, which mistakes `initfast.HeNormal` for its own class of that name."""

from __future__ import annotations

import sys

__all__ = ["refuse_keras"]

# Packages whose frames may lie between Keras and the initializer that it calls.
_INTERMEDIATE = ("initfast.initializers.", "jax.", "tensorflow.")


def refuse_keras(initializer: object) -> None:
    """Raise TypeError if Keras' own code calls the initializer, to build, copy or save a layer.

    Keras would use its own class of the same name in a loaded or cloned model, give the kernels of
    MultiHeadAttention the fans of a convolution, and make query, key and value equal. The message
    contains the expression to write instead.
    """
    if "keras" not in sys.modules:
        return
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(_INTERMEDIATE):
        frame = frame.f_back
    if not frame.f_globals.get("__name__", "").startswith("keras."):
        return
    kind = type(initializer)
    if kind.__module__ == "initfast":
        remedy = f"pass initfast.keras.{initializer!r}"
    else:
        base = next(each.__name__ for each in kind.__mro__ if each.__module__ == "initfast")
        remedy = f"derive {kind.__name__} from initfast.keras.{base}"
    raise TypeError(
        f"a Keras layer needs an initializer of initfast.keras: import initfast.keras, and {remedy}"
        f"; received {initializer!r}, which Keras would replace with its own class of that name"
    )
