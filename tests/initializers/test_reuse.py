"""Warnings about a second array from one stream: when they come, and the line they point to."""

import copy
import json
import pickle
import warnings

import numpy as np
import pytest

import initfast as ift
from initfast import ReusedSeedWarning, Seed, SeedGenerator

SHAPE = (3, 4)


def empty():
    return np.empty(SHAPE, "float32")


def from_config(init):
    return type(init).from_config(init.get_config())


COPIES = [from_config, ift.HeNormal.clone, copy.copy, copy.deepcopy]
CALLS = [lambda init: init(SHAPE), lambda init: init.fill(empty())]


def warned_lines(caught):
    """Return the lines of this file that the warnings point to."""
    assert all((w.category, w.filename) == (ReusedSeedWarning, __file__) for w in caught)
    with open(__file__, encoding="utf-8") as file:
        lines = file.read().splitlines()
    return [lines[warning.lineno - 1].strip() for warning in caught]


@pytest.mark.parametrize("seed", [None, 42, Seed(42).named("a"), Seed(42, 7)])
@pytest.mark.parametrize("first", CALLS)
@pytest.mark.parametrize("kind", [ift.HeNormal, ift.Orthogonal])
def test_a_second_buffer_warns_once_at_its_line(kind, first, seed):
    init, buffers = kind(seed=seed), [empty() for _ in range(3)]
    values = first(init)
    with pytest.warns(ReusedSeedWarning, match=r"both hold the same values.*named\(") as caught:
        for buffer in buffers:
            init.fill(buffer)  # the line
    assert warned_lines(caught) == ["init.fill(buffer)  # the line"]
    assert (values == buffers[0]).all()


@pytest.mark.parametrize("duplicate", COPIES)
@pytest.mark.parametrize("call", CALLS)
def test_copies_warn(duplicate, call):
    init = ift.HeNormal(seed=42)
    copies = [duplicate(init), duplicate(duplicate(init))]
    values = [call(init)]
    with pytest.warns(ReusedSeedWarning, match="or a copy of it") as caught:
        values += [call(each) for each in copies]
    assert len(caught) == 1


def test_intended_repetitions_do_not_warn():
    init, out, wide = ift.HeNormal(seed=42), empty(), np.empty((2, *SHAPE), "float32")
    for _ in range(3):
        init.fill(out)  # the same memory
        init.fill(out[::1].view(), SHAPE)
        init.fill(out[:2], SHAPE, np.s_[:2])
        init.fill(wide[0], SHAPE, ...)  # an explicit index, even that of the whole array
        init.fill_run(empty().reshape(-1), SHAPE, 0)
        init.block(SHAPE, ...)
        init.rows(SHAPE, range(3))
    for again in (
        pickle.loads(pickle.dumps(init)),
        ift.HeNormal.from_config(json.loads(json.dumps(init.get_config()))),
        ift.deserialize(ift.serialize(init)),
        ift.HeNormal(seed=42),
        init.with_seed(42),
        init.with_seed(Seed(42).named("a")),
    ):
        again(SHAPE)
    moving = ift.HeNormal(seed=SeedGenerator(42))
    for each in (moving, copy.copy(moving), moving, ift.HeNormal().clone(), ift.HeNormal().clone()):
        each.fill(empty())
    zeros = ift.Zeros()
    zeros.fill(empty())
    zeros.fill(empty())


def test_a_refused_fill_is_not_an_array():
    init = ift.HeNormal(seed=42)
    with pytest.raises(ValueError, match="received"):
        init.fill(np.empty(3, "int8"))
    init.fill(empty())


def test_a_config_in_process_is_a_plain_dict_to_others():
    config = ift.HeNormal(seed=42).get_config()
    assert config == {"seed": 42, "input_axes": None, "output_axes": None}
    assert type(pickle.loads(pickle.dumps(config))) is dict
    assert type(ift.serialize(ift.HeNormal(seed=42))["config"]) is dict


def test_the_warning_can_be_an_error():
    init = ift.HeNormal(seed=42)
    init(SHAPE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ReusedSeedWarning):
            init(SHAPE)
