"""Seeds and streams: known answers for names, errors, and round trips by JSON and pickle."""

import copy
import json
import pickle
import random
import threading

import numpy as np
import pytest

from initfast.core.seeds import (
    ReusedSeedWarning,
    Seed,
    SeedGenerator,
    deserialize_seed,
    given_seed,
    live_seed,
    serialize_seed,
)

# `printf %s NAME | b2sum -l 64` prints the 8 bytes; the stream is their little-endian number.
STREAMS = {
    "layer/kernel": "ed926d70fc84edf2",
    "decoder/3/mlp/kernel": "8a1342bcc6ea883b",
    "größe": "f4f8e155c9329ae9",
    "a/b": "0debd2558bca8fa0",
}

NOT_WORDS = [
    -1,
    2**64,
    True,
    np.True_,
    1.5,
    1.0,
    np.float32(1),
    "1",
    b"1",
    None,
    np.array(3),
    [3],
    float("nan"),
]


@pytest.mark.parametrize(("name", "digest"), STREAMS.items())
def test_a_name_is_the_stream_of_its_blake2b(name, digest):
    assert Seed(42).named(name).stream == int.from_bytes(bytes.fromhex(digest), "little")


def test_names_join_with_a_slash():
    joined = Seed(42).named("a").named("b")
    assert joined == Seed(42).named("a/b")
    assert joined.name == "a/b"
    assert joined.seed == 42
    assert joined != Seed(43).named("a/b")
    assert joined != Seed(42).named("b/a")


def test_a_seed_alone_is_stream_0_without_a_name():
    seed = Seed(7)
    assert (seed.seed, seed.stream, seed.name) == (7, 0, None)
    assert seed == Seed(7, 0) != Seed(7, 1)
    assert seed != 7


@pytest.mark.parametrize(
    "word", [0, 1, 2**32, 2**64 - 1, np.int64(5), np.uint64(2**64 - 1), np.uint8(255)]
)
def test_every_64_bit_word_is_a_seed_and_a_stream(word):
    seed = Seed(word, word)
    assert (seed.seed, seed.stream) == (int(word), int(word))
    assert type(seed.seed) is type(seed.stream) is int


@pytest.mark.parametrize("word", NOT_WORDS)
def test_nothing_else_is(word):
    with pytest.raises(ValueError, match=r"seed must be an integer in \[0, 2\*\*64\); received"):
        Seed(word)
    with pytest.raises(ValueError, match=r"stream must be an integer in \[0, 2\*\*64\); received"):
        Seed(1, word)


@pytest.mark.parametrize("name", ["", None, 3, b"a"])
def test_a_name_is_text(name):
    with pytest.raises(ValueError, match="name must be a non-empty string; received"):
        Seed(1).named(name)


def test_a_name_does_not_undo_a_stream_chosen_by_number():
    with pytest.raises(
        ValueError,
        match=r"a Seed with a stream number cannot have a name.*; received Seed\(1, stream=2\)",
    ):
        Seed(1, 2).named("a")


def test_seeds_are_immutable_and_hashable():
    seed = Seed(3)
    for change in (
        lambda: setattr(seed, "seed", 4),
        lambda: setattr(seed, "_seed", 4),
        lambda: delattr(seed, "_seed"),
    ):
        with pytest.raises(AttributeError):
            change()
    assert len({Seed(3), Seed(3), Seed(3).named("a"), Seed(3).named("a"), Seed(3, 1)}) == 3


@pytest.mark.parametrize("seed", [Seed(3), Seed(3, 9), Seed(3).named("a/ü'\"")])
def test_a_seed_survives_pickle_json_copy_and_repr(seed):
    copies = [
        pickle.loads(pickle.dumps(seed)),
        copy.deepcopy(seed),
        Seed.from_config(json.loads(json.dumps(seed.get_config()))),
        deserialize_seed(json.loads(json.dumps(serialize_seed(seed)))),
        eval(repr(seed), {"Seed": Seed}),
    ]
    for same in copies:
        assert same == seed
        assert same.name == seed.name


def test_a_generator_counts_streams_from_the_plain_seed():
    generator = SeedGenerator(7)
    assert [generator.next() for _ in range(3)] == [Seed(7), Seed(7, 1), Seed(7, 2)]
    assert (generator.seed, generator.counter) == (7, 3)


def test_a_generator_shared_by_threads_gives_every_stream_once():
    generator, streams = SeedGenerator(1), []

    def draw():
        mine = [generator.next().stream for _ in range(2000)]
        streams.extend(mine)

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(streams) == list(range(16000))


def test_a_pickled_generator_goes_on_and_a_config_starts_again():
    generator = SeedGenerator(7)
    generator.next()
    assert pickle.loads(pickle.dumps(generator)).next() == Seed(7, 1)
    assert copy.deepcopy(generator).next() == Seed(7, 1)
    assert SeedGenerator.from_config(generator.get_config()).next() == Seed(7)
    assert deserialize_seed(json.loads(json.dumps(serialize_seed(generator)))).next() == Seed(7)
    assert generator.next() == Seed(7, 1)


def test_the_config_of_a_generator_is_that_of_keras():
    assert SeedGenerator(7).get_config() == {"seed": 7, "name": "seed_generator"}
    assert SeedGenerator().get_config() == {"seed": None, "name": "seed_generator"}
    assert SeedGenerator(np.int64(7), name="mine").get_config() == {"seed": 7, "name": "mine"}
    keras_wrote = {
        "module": "keras.random",
        "class_name": "SeedGenerator",
        "config": {"seed": 7, "name": "seed_generator_3"},
        "registered_name": None,
    }
    assert deserialize_seed(keras_wrote).next() == Seed(7)


def test_the_label_of_a_generator_does_not_choose_the_stream():
    assert SeedGenerator(7, name="a").next() == SeedGenerator(7, name="b").next()


def test_python_random_governs_what_none_draws():
    random.seed(5)
    first = [SeedGenerator().seed, live_seed(None).seed]
    random.seed(5)
    assert [SeedGenerator().seed, live_seed(None).seed] == first
    assert first[0] != first[1]
    # All 64 bits are in use: the chance that none of 64 draws sets a given bit is 2**-64.
    together = 0
    for _ in range(64):
        together |= live_seed(None).seed
    assert together == 2**64 - 1


def test_what_an_initializer_is_given():
    seed, generator = Seed(1).named("a"), SeedGenerator(2)
    assert given_seed(None) is None
    assert given_seed(seed) is live_seed(seed) is seed
    assert given_seed(generator) is live_seed(generator) is generator
    assert type(given_seed(np.uint64(3))) is int
    assert live_seed(3) == Seed(3)
    assert given_seed(serialize_seed(seed)) == seed


@pytest.mark.parametrize(
    "seed",
    [
        *(word for word in NOT_WORDS if word is not None),
        {},
        {"class_name": "Dense", "config": {}},
        {"seed": 1},
    ],
)
def test_the_message_for_a_wrong_seed_is_that_of_keras(seed):
    with pytest.raises(
        ValueError, match=r"`seed` argument should be an instance of .* Received: seed="
    ):
        given_seed(seed)


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        (
            Seed,
            {"seed": 1, "steam": 2},
            "the config of Seed takes 'seed', 'stream', 'name'; received 'steam'",
        ),
        (Seed, {"name": "a"}, "the config of Seed must hold 'seed'"),
        (
            SeedGenerator,
            {"seeds": 1},
            "the config of SeedGenerator takes 'seed', 'name'; received 'seeds'",
        ),
    ],
)
def test_a_config_says_what_it_takes(kind, config, message):
    with pytest.raises(ValueError, match=message):
        kind.from_config(config)


def test_the_warning_is_a_user_warning():
    assert issubclass(ReusedSeedWarning, UserWarning)
