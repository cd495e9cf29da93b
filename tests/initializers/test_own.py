"""A user's initializer, written as documented, works everywhere."""

import copy
import json
import math
import pickle

import numpy as np
import pytest
from own_classes import DepthScaled, Preset, Whole, integers_only

import initfast as ift
from initfast import Seed, SeedGenerator
from initfast.files import specs
from initfast.initializers import streams

HUGE = (10**9, 64)


MAKE = {
    "DepthScaled": lambda seed: DepthScaled(12, seed),
    "Preset": lambda seed: Preset(3, seed),
    "Whole": lambda seed: Whole(2.0, seed),
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
@pytest.mark.parametrize("seed", [42, Seed(42).named("a/b")])
def test_parts_are_those_of_the_whole(make, seed):
    init, shape = make(seed), (30, 8)
    whole = init(shape, "float16")
    assert init.block(shape, np.s_[3:9, ::2], "float16").tobytes() == whole[3:9, ::2].tobytes()
    assert init.rows(shape, [7, 0, 7], "float16").tobytes() == whole[[7, 0, 7]].tobytes()
    moments = []
    out = init.fill(np.empty((4, 8), "float16"), shape, np.s_[:4], moments=moments.append)
    assert out.tobytes() == whole[:4].tobytes()
    assert moments[0].count == 32
    assert init.fill_run(np.empty(9, "float16"), shape, 5).tobytes() == whole.flat[5:14].tobytes()


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_the_seed_reaches_it(make):
    init, shape = make(1), (30, 8)
    for seed in (43, Seed(43).named("a")):
        again = init.with_seed(seed)
        assert type(again) is type(init)
        assert (again(shape) == make(seed)(shape)).all()
        assert again == make(seed) != init
    moving = make(SeedGenerator(5))
    assert not (moving(shape) == moving(shape)).any()


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_the_axes_reach_it(make):
    init, shape = make(1), (30, 8)
    turned = init.with_axes([1], [0])
    np.testing.assert_allclose(turned(shape), init.block(shape, ...) * math.sqrt(30 / 8), rtol=1e-5)
    assert turned.with_axes([0], [1]) is turned
    assert turned != init


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_configs_and_copies(make):
    init, shape = make(Seed(7).named("a")), (30, 8)
    config = init.get_config()
    assert {"seed"} < config.keys()
    copies = [
        type(init).from_config(json.loads(json.dumps(config))),
        init.clone(),
        copy.deepcopy(init),
        pickle.loads(pickle.dumps(init)),
    ]
    for each in copies:
        assert each == init
        assert hash(each) == hash(init)
        assert (each.block(shape, ...) == init.block(shape, ...)).all()
    assert eval(repr(init), {**globals(), type(init).__name__: type(init)}) == init


def test_rows_of_a_huge_table_are_made_alone():
    init = DepthScaled(12, seed=42)
    assert not init.whole_only
    assert init.rows(HUGE, [10**9 - 1]).shape == (1, 64)
    assert init.block(HUGE, np.s_[5:7]).std() < 1e-4


@pytest.mark.parametrize("other", [ift.Zeros(), ift.Orthogonal(), 0.02, None])
def test_for_shape_must_return_a_random_initializer(other):
    class Wrong(ift.RandomInitializer):
        def for_shape(self, shape):
            return other

    with pytest.raises(TypeError, match="for_shape must return a random initializer of initfast"):
        Wrong(1)((2, 2))
    with pytest.raises(NotImplementedError, match="must implement `for_shape"):
        ift.RandomInitializer(1)((2, 2))


def test_arguments_must_be_kept():
    class Forgets(ift.Initializer):
        def __init__(self, gain, seed=None):
            self.seed = seed

    class Hides(Whole):
        def get_config(self):
            return {"gain": self.gain}

    with pytest.raises(TypeError, match="Forgets must store its argument 'gain' in an attribute"):
        Forgets(2.0).with_seed(3)
    with pytest.raises(TypeError, match=r"of Hides must return every argument .* missing: seed"):
        Hides(2.0).with_seed(3)


def test_with_seed_returns_an_initializer_without_seed_itself():
    class Ramp(ift.Initializer):
        def __call__(self, shape, dtype=None):
            return np.arange(math.prod(shape), dtype=dtype or "float32").reshape(shape)

    init = Ramp()
    assert init.with_seed(3) is init
    assert init.with_axes([0], [1]) is init
    assert init.rows((4, 2), [1]).tolist() == [[2.0, 3.0]]


def test_specs_contain_the_resolved_initializer():
    entry = specs.tensor(DepthScaled(12), (96, 8), np.dtype("float32"))
    assert entry["init"]["config"]["stddev"] == pytest.approx((24 * 96) ** -0.5)
    (parsed,) = specs.read({"tensors": {"w": entry}}).entries
    shape, seed = (96, 8), Seed(3).named("w")
    assert (parsed.seeded_initializer(Seed(3))(shape) == DepthScaled(12, seed)(shape)).all()
    with pytest.raises(ValueError, match="serialize takes the initializers of initfast"):
        specs.tensor(Whole(), (96, 8), np.dtype("float32"))


def test_a_spec_of_a_class_without_streams_writes_nothing(tmp_path):
    entry = {"shape": [3, 4], "dtype": "float32"}
    init = integers_only(ift.Initializer)(seed=1)
    tensors = {"a": {**entry, "init": "zeros"}, "b": {**entry, "init": init}}
    with pytest.raises(
        ValueError, match=r"tensor 'b': IntegersOnly.* must accept an initfast.Seed"
    ):
        ift.checkpoint.save({"tensors": tensors}, tmp_path / "out", seed=1)
    assert not any(tmp_path.iterdir())


class Transposed(Whole):
    """An initializer that returns another shape than requested."""

    def __call__(self, shape, dtype=None):
        return super().__call__(shape[::-1], dtype)


@pytest.mark.parametrize(
    "call", [lambda init: init.block((3, 4), np.s_[1:]), lambda init: init.fill(np.ones((3, 4)))]
)
def test_another_shape_is_refused(call):
    with pytest.raises(ValueError, match=r"Transposed must return an array of the requested shape"):
        call(Transposed())


@pytest.mark.parametrize("early", [False, True])
def test_a_stream_must_be_accepted(early):
    init = integers_only(ift.Initializer, early=early)(seed=1)
    streams.check(Whole(seed=1), (3, 4), "float32")
    with pytest.raises(
        ValueError,
        match=r"IntegersOnly\(seed=1\) must accept an initfast.Seed .*default_rng\(\[seed",
    ):
        streams.check(init, (3, 4), "float32")
    assert init((3, 4)).shape == (3, 4)


def test_other_errors_keep_their_message():
    class Square(Whole):
        def __call__(self, shape, dtype=None):
            return {4: super().__call__(shape, dtype)}[shape[0]]

    streams.check(Square(), (4, 4), "float32")
    with pytest.raises(ValueError, match=r"cannot make an array of shape \(3, 4\): KeyError: 3"):
        streams.check(Square(), (3, 4), "float32")


def test_equality():
    generator = SeedGenerator(1)
    assert ift.HeNormal(seed=generator) == ift.HeNormal(seed=generator)
    assert ift.HeNormal(seed=SeedGenerator(1)) != ift.HeNormal(seed=SeedGenerator(1))
    assert ift.HeNormal() != ift.HeNormal()
    assert ift.HeNormal(1) == ift.HeNormal(np.int64(1)) != ift.HeUniform(1)
    assert ift.RandomNormal(0.0, 1.0, 1) != ift.RandomNormal(0.0, 2.0, 1)
    assert ift.Constant([1.0, 2.0]) == ift.Constant([1.0, 2.0]) != ift.Constant([1.0, 3.0])
    assert ift.Zeros() == ift.Zeros() != 0
    assert len({ift.Zeros(), ift.Zeros(), ift.HeNormal(1), ift.HeNormal(1)}) == 2


def test_repr_shows_the_deviation():
    assert repr(ift.RandomNormal(seed=1)) == "RandomNormal(stddev=0.05, seed=1)"
    assert repr(ift.TruncatedNormal(seed=1)) == "TruncatedNormal(stddev=0.05, seed=1)"
    assert repr(ift.RandomUniform(seed=1)) == "RandomUniform(minval=-0.05, maxval=0.05, seed=1)"


@pytest.mark.parametrize("kind", [ift.HeNormal, ift.Orthogonal, ift.Identity])
def test_rows_into_a_buffer(kind):
    init, ids = kind(), [[2, 0], [2, 1]]
    expected = init.rows((5, 5), ids)
    memory = np.full((2, 2, 10), 7.0, "float32")
    out = memory[..., ::2]
    assert init.rows((5, 5), ids, out=out) is out
    assert (out == expected).all() and (memory[..., 1::2] == 7.0).all()
    raw = bytearray(4 * 20)
    init.rows((5, 5), ids, "float32", out=raw)
    assert bytes(raw) == expected.tobytes()
    for wrong, error in ((np.empty((4, 5), "float32"), ValueError), ([1.0], TypeError)):
        with pytest.raises(error, match="received"):
            init.rows((5, 5), ids, out=wrong)
    init.rows((5, 5), ids, out=out)  # a part, a second time
