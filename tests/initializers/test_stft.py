"""Fourier kernels: values computed by hand, by Keras and by SciPy; messages."""

import builtins
import inspect
import math
import os

import numpy as np
import pytest

from initfast.initializers.stft import STFT


def keras():
    os.environ["KERAS_BACKEND"] = "jax"
    return pytest.importorskip("keras")


def test_signature_and_config():
    signature = {"side": "real", "window": "hann", "scaling": "density", "periodic": False}
    config = {"side": "real", "window": "hann", "periodic": False, "scaling": "density"}
    parameters = inspect.signature(STFT).parameters
    assert [(name, p.default) for name, p in parameters.items()] == list(signature.items())
    assert list(STFT().get_config().items()) == list(config.items())
    assert STFT.from_config({}).get_config() == config
    theirs = keras().initializers.STFT
    assert {
        name: p.default for name, p in inspect.signature(theirs).parameters.items()
    } == signature
    assert list(theirs().get_config().items()) == list(config.items())


# cos(2 pi t k / 4) and -sin(2 pi t k / 4), without a window.
@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ("real", [[1, 1, 1], [1, 0, -1], [1, -1, 1], [1, 0, -1]]),
        ("imag", [[0, 0, 0], [0, -1, 0], [0, 0, 0], [0, 1, 0]]),
    ],
)
def test_stft_by_hand(side, expected):
    np.testing.assert_allclose(STFT(side, window=None)((4, 1, 3))[:, 0], expected, atol=1e-7)


@pytest.mark.parametrize("side", ["real", "imag"])
@pytest.mark.parametrize("window", ["hann", "hamming", None, np.arange(1.0, 10.0), [1] * 9])
@pytest.mark.parametrize("scaling", ["density", "spectrum", None])
@pytest.mark.parametrize("periodic", [False, True])
def test_stft_is_that_of_keras(side, window, scaling, periodic):
    pytest.importorskip("scipy")
    theirs = np.asarray(keras().initializers.STFT(side, window, scaling, periodic)((9, 1, 17)))
    ours = STFT(side, window, scaling, periodic)((9, 1, 17))
    # Keras' angles are float32 numbers up to 26, with errors up to 1e-6.
    np.testing.assert_allclose(ours, theirs, atol=3e-6 * max(1.0, np.abs(theirs).max()), rtol=0)
    assert ours.shape == theirs.shape


@pytest.mark.parametrize("length", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("window", ["hann", "hamming", "blackman", "cosine"])
def test_windows_are_those_of_scipy(window, periodic, length):
    get_window = pytest.importorskip("scipy.signal").get_window
    expected = get_window(window, length, periodic)
    actual = STFT(window=window, scaling=None, periodic=periodic)((length, 1, 2), "float64")[
        :, 0, 0
    ]
    np.testing.assert_allclose(actual, expected, atol=1e-15)


def test_windows_by_hand():
    assert STFT(window="hann", scaling=None)((3, 1, 2), "float64")[:, 0, 0].tolist() == [
        0.0,
        1.0,
        0.0,
    ]
    np.testing.assert_allclose(
        STFT(scaling=None, periodic=True)((4, 1, 2))[:, 0, 0], [0, 0.5, 1, 0.5], atol=1e-7
    )
    np.testing.assert_allclose(
        STFT(window="hamming", scaling=None)((3, 1, 2))[:, 0, 0], [0.08, 1, 0.08], atol=1e-7
    )
    np.testing.assert_allclose(STFT(window=[3, 4])((2, 1, 2))[:, 0, 0], [0.6, 0.8], atol=1e-7)
    np.testing.assert_allclose(
        STFT(window=[1, -3], scaling="spectrum")((2, 1, 2))[:, 0, 0], [0.25, -0.75], atol=1e-7
    )


def test_other_windows_need_scipy(monkeypatch):
    load = builtins.__import__

    def without_scipy(name, *arguments, **keywords):
        if name.startswith("scipy"):
            raise ImportError(name)
        return load(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_scipy)
    with pytest.raises(ImportError, match=r"window 'blackman' needs SciPy.* pip install scipy"):
        STFT(window="blackman")
    assert STFT(window="hann")((4, 1, 3)).shape == (4, 1, 3)


def test_an_unknown_window_is_refused_at_once():
    pytest.importorskip("scipy")
    with pytest.raises(ValueError, match="hannn"):
        STFT(window="hannn")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: STFT("both"), r"side should be 'real' or 'imag', not both"),
        (lambda: STFT(scaling="power"),
         r"Scaling is invalid, it must be `None`, 'density' or 'spectrum'. Received scaling=power"),
        (lambda: STFT(window=[1, 2, 3])((4, 1, 3)),
         r"The shape of `window` must be equal to \[frame_length\].Received: window shape=\(3,\)"),
        (lambda: STFT(window=[0, 0])((2, 1, 3)), r"window must not be zero everywhere unless scaling is None; received"),
        (lambda: STFT(window=[1, math.nan]), r"window must be finite; received"),
        (lambda: STFT(window=[1j]), r"window must hold real numbers; received complex numbers"),
        (lambda: STFT()((4, 2, 3)), r"shape must be \(frame_length, 1, bins\) with bins >= 2; received \(4, 2, 3\)"),
        (lambda: STFT()((4, 3)), r"shape must be .*; received \(4, 3\)"),
        (lambda: STFT()((4, 1, 1)), r"shape must be .*; received \(4, 1, 1\)"),
        (lambda: STFT()((4, 1, 3), "int32"), r"floating dtype"),
    ],
)  # fmt: skip
def test_messages(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("periodic", ["no", 1, None])
def test_periodic_is_a_boolean(periodic):
    with pytest.raises(TypeError, match=f"periodic must be True or False; received {periodic!r}"):
        STFT(periodic=periodic)


def test_kernels_too_large_for_memory():
    # The period is 2 (bins - 1) = 8 frames, and 2**39 is a multiple of it.
    kernel = STFT(window=None)
    assert (
        kernel.block((2**40, 1, 5), 2**39 + 1).tolist()
        == kernel.block((2**40, 1, 5), 1).tolist()
        != [[1.0] * 5]
    )
