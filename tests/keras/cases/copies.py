"""Copies of an initializer have separate streams, the same in every process."""

import copy
import json
import pickle

import pytest
from keras_tools import BACKEND, array, keras, same

import initfast as ift
import initfast.keras as ik
from initfast.keras.copies import stream_of_copy

SHAPE = (6, 5)


def plain(seed):
    return ift.HeNormal(seed=seed)(SHAPE)


def copied(initializer):
    """Return a copy of an initializer, made as MultiHeadAttention makes it."""
    return initializer.__class__.from_config(initializer.get_config())


def test_the_first_draw_has_the_stream_of_the_seed_and_later_ones_numbered_streams():
    origin = ik.HeNormal(seed=42)
    first, second = copied(origin), copied(origin)
    third = copied(first)
    assert same(second(SHAPE), plain(42))
    assert same(third(SHAPE), plain(ift.Seed(42).named("copy 1")))
    assert same(origin.clone()(SHAPE), plain(ift.Seed(42).named("copy 2")))
    assert same(origin(SHAPE), plain(ift.Seed(42).named("copy 3")))
    assert same(first(SHAPE), plain(ift.Seed(42).named("copy 4")))


def test_earlier_objects_of_the_session_do_not_matter():
    for _ in range(2):
        origin = ik.HeNormal(seed=42)
        pair = [copied(origin)(SHAPE) for _ in range(2)]
        assert same(pair[0], plain(42)) and same(pair[1], plain(ift.Seed(42).named("copy 1")))


def test_parts_of_a_copy_are_parts_of_its_whole():
    origin = ik.HeNormal(seed=42)
    origin(SHAPE)
    other = copied(origin)
    part = other.block(SHAPE, slice(2, 4))
    assert part.tobytes() == array(other(SHAPE))[2:4].tobytes()
    assert part.tobytes() != origin.block(SHAPE, slice(2, 4)).tobytes()


def test_json_gives_an_equal_initializer():
    origin = ik.HeNormal(seed=ift.Seed(42).named("decoder"))
    origin(SHAPE)
    config = json.loads(json.dumps(origin.get_config()))
    assert same(ik.HeNormal.from_config(config)(SHAPE), plain(ift.Seed(42).named("decoder")))
    serialized = json.loads(json.dumps(keras.initializers.serialize(origin)))
    assert same(keras.initializers.get(serialized)(SHAPE), plain(ift.Seed(42).named("decoder")))


def test_pickles_and_deep_copies_keep_the_stream():
    origin = ik.HeNormal(seed=42)
    for other in (pickle.loads(pickle.dumps(origin)), copy.deepcopy(origin)):
        assert same(other(SHAPE), plain(42))
    assert type(pickle.loads(pickle.dumps(origin.get_config()))) is dict


def test_a_generator_is_shared():
    origin = ik.HeNormal(seed=ift.SeedGenerator(42))
    pair = [copied(origin)(SHAPE), copied(origin)(SHAPE)]
    assert same(pair[0], plain(ift.Seed(42, 0))) and same(pair[1], plain(ift.Seed(42, 1)))


@pytest.mark.parametrize("seed", [7, None])
def test_initializers_share_the_counter_of_a_keras_generator(seed):
    generator = keras.random.SeedGenerator(seed)
    key = int(array(generator.state)[0])
    assert key == seed or seed is None
    first, second = ik.HeNormal(seed=generator), ik.RandomNormal(seed=generator)
    values = [first(SHAPE), copied(second)(SHAPE), first(SHAPE)]
    assert same(values[0], plain(ift.Seed(key)))
    if seed is None:  # as in Keras, its config has no seed
        count = 2
    else:
        assert same(values[1], ift.RandomNormal(seed=ift.Seed(key, 1))(SHAPE))
        count = 3
    assert same(values[2], plain(ift.Seed(key, count - 1)))
    assert array(generator.state).tolist() == [key, count] and first.seed.counter == count
    loaded = keras.initializers.get(json.loads(json.dumps(keras.initializers.serialize(first))))
    assert seed is None or same(loaded(SHAPE), plain(ift.Seed(key)))
    assert first.block(SHAPE, ...).tobytes() == plain(ift.Seed(key, count)).tobytes()


def compiled(function):
    """Return the function compiled by the backend, if the backend can compile."""
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    return function


def test_a_generator_of_keras_counts_while_a_function_is_compiled():
    generator = keras.random.SeedGenerator(7)
    initializer = ik.HeNormal(seed=generator)
    assert same(compiled(lambda: initializer(SHAPE))(), plain(7))
    assert array(generator.state).tolist() == [7, 1]
    assert same(initializer(SHAPE), plain(ift.Seed(7, 1)))


def test_only_keras_classes_accept_a_keras_generator():
    with pytest.raises(ValueError, match="`seed` argument should be an instance"):
        ik.HeNormal(seed=object())
    with pytest.raises(ValueError, match="`seed` argument should be an instance"):
        ift.HeNormal(seed=keras.random.SeedGenerator(3))


def test_a_seed_of_none_is_drawn_again_for_each_copy():
    keras.utils.set_random_seed(1)
    origin = ik.HeNormal()
    seeds = [origin.seed, copied(origin).seed, copied(origin).seed]
    assert len(set(seeds)) == 3
    keras.utils.set_random_seed(1)
    again = ik.HeNormal()
    assert [again.seed, copied(again).seed, copied(again).seed] == seeds


def test_another_seed_in_the_config_is_another_seed():
    origin = ik.HeNormal(seed=42)
    origin(SHAPE)
    config = origin.get_config()
    config["seed"] = 43
    assert same(ik.HeNormal.from_config(config)(SHAPE), plain(43))


@pytest.mark.parametrize("seed", [ift.Seed(1), ift.Seed(1).named("a"), ift.Seed(1, stream=5)])
def test_streams_of_copies_differ(seed):
    streams = {stream_of_copy(seed, place).stream for place in range(100)}
    assert len(streams) == 100 and stream_of_copy(seed, 0) == seed
