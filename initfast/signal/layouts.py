"""The inputs that a unit of a layer reads: all of them, or one patch of an image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from initfast.core.types import Array

__all__ = ["KERNEL", "Dense", "Images", "layouts"]

KERNEL = 3
"""Height and width of the kernels of convolutions."""


class Dense(NamedTuple):
    """A dense layer: a unit reads all inputs of a sample."""

    features: int

    def shape(self, units: int) -> tuple[int, ...]:
        """Return the shape of the kernel for an initializer."""
        return (self.features, units)

    def outputs(self, units: int) -> int:
        """Return the number of outputs of the layer for one sample."""
        return units

    def unfold(self, x: Array) -> Array:
        """Return the rows that the kernel multiplies, for inputs (..., samples, features)."""
        return x

    def fold(self, rows: Array) -> Array:
        """Return the gradient with respect to the inputs, given the gradient with respect to the
        rows: the transpose of `unfold`."""
        return rows


class Images(NamedTuple):
    """A convolution of KERNEL x KERNEL without padding: a unit reads each patch of the image. A
    sample is a row of height * width * channels numbers, the channels last."""

    height: int
    width: int
    channels: int

    def convolved(self, units: int) -> Images:
        """Return the layout of the images that the layer returns."""
        return Images(self.height - KERNEL + 1, self.width - KERNEL + 1, units)

    def shape(self, units: int) -> tuple[int, ...]:
        return (KERNEL, KERNEL, self.channels, units)

    def outputs(self, units: int) -> int:
        images = self.convolved(units)
        return images.height * images.width * units

    def unfold(self, x: Array) -> Array:
        """Return one row per patch: (..., samples * patches, KERNEL**2 * channels)."""
        images = x.reshape(*x.shape[:-1], *self)
        window = (KERNEL, KERNEL)
        patches = np.lib.stride_tricks.sliding_window_view(images, window, axis=(-3, -2))
        last = np.moveaxis(patches, -3, -1)  # the channels after height and width
        return last.reshape(*x.shape[:-2], -1, KERNEL * KERNEL * self.channels)

    def fold(self, rows: Array) -> Array:
        output = self.convolved(self.channels)
        patches = rows.reshape(
            *rows.shape[:-2], -1, output.height, output.width, KERNEL, KERNEL, self.channels
        )
        images = np.zeros((*patches.shape[:-5], *self), rows.dtype)
        for i in range(KERNEL):
            for j in range(KERNEL):
                part = images[..., i : i + output.height, j : j + output.width, :]
                part += patches[..., i, j, :]
        return images.reshape(*images.shape[:-3], -1)


def layouts(
    shape: tuple[int, ...], hidden: tuple[int, ...], *, convolutional: bool
) -> list[Dense | Images]:
    """Return the layouts of the hidden layers and of the last one, which is dense.

    Args:
        shape: of one sample of the data.
        hidden: units or channels of the hidden layers.
        convolutional: whether the hidden layers are convolutions.

    Raises:
        ValueError: the samples are not images, or the images are too small.
    """
    if not convolutional:
        return [Dense(features) for features in (int(np.prod(shape)), *hidden)]
    if len(shape) not in (2, 3):
        raise ValueError(
            "a convolutional network needs images: x of shape (samples, height, width) or "
            f"(samples, height, width, channels); received samples of shape {shape}"
        )
    result: list[Dense | Images] = []
    image = Images(shape[0], shape[1], shape[2] if len(shape) == 3 else 1)
    for units in hidden:
        if min(image.height, image.width) < KERNEL:
            most = (min(shape[:2]) - 1) // (KERNEL - 1)
            raise ValueError(
                f"hidden must have at most {most} convolutions of {KERNEL}x{KERNEL} for images of "
                f"{shape[0]}x{shape[1]}, because each reduces height and width by {KERNEL - 1}; "
                f"received {len(hidden)}"
            )
        result.append(image)
        image = image.convolved(units)
    return [*result, Dense(image.height * image.width * image.channels)]
