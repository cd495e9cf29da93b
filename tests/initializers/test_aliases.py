"""The other names of the classes, compared with the names of the registry and of Keras."""

import importlib.util
import inspect
import os

import pytest

import initfast
from initfast.initializers import aliases
from initfast.initializers.registry import ALL_OBJECTS

ALIASES = [
    "constant", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "identity", "lecun_normal",
    "lecun_uniform", "ones", "orthogonal", "random_normal", "random_uniform", "stft", "truncated_normal",
    "variance_scaling", "zeros", "IdentityInitializer", "OrthogonalInitializer", "STFTInitializer",
]  # fmt: skip
# Names that only `get` accepts.
STRINGS_ONLY = {"initializer", "normal", "one", "uniform", "zero"}


def test_the_table_is_complete():
    assert len(ALIASES) == 19
    assert sorted(aliases.__all__) == sorted(ALIASES)
    assert set(ALIASES) | STRINGS_ONLY == {
        string for string, kind in ALL_OBJECTS.items() if string != kind.__name__
    }


@pytest.mark.parametrize("name", ALIASES)
def test_an_alias_is_the_class(name):
    assert name in initfast.__all__
    assert getattr(initfast, name) is getattr(aliases, name) is ALL_OBJECTS[name]
    # A module of this name would also be an attribute of the package, and the order of imports would
    # decide which one counts.
    assert importlib.util.find_spec(f"initfast.{name}") is None


def test_every_public_name_exists_once():
    assert len(set(initfast.__all__)) == len(initfast.__all__)
    assert all(hasattr(initfast, name) for name in initfast.__all__)


def test_the_names_are_those_of_keras():
    os.environ["KERAS_BACKEND"] = "jax"
    theirs = vars(pytest.importorskip("keras").initializers)
    classes = {name: kind.__name__ for name, kind in theirs.items() if inspect.isclass(kind)}
    assert set(ALIASES) == {name for name, kind in classes.items() if name != kind}
    assert {name: getattr(initfast, name).__name__ for name in classes} == classes


def test_a_script_for_keras_runs():
    import initfast as initializers

    assert (
        initializers.he_normal(seed=1)((2, 3)).tobytes()
        == initfast.HeNormal(seed=1)((2, 3)).tobytes()
    )
    assert initializers.zeros()((2, 3)).tolist() == [[0.0] * 3] * 2
