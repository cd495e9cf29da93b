"""Text from users and files in messages."""

import pytest

import initfast as ift
from initfast.core.text import line, printable, short


def test_what_is_printable_stays():
    assert printable("hé 日本") == "hé 日本"
    assert line("hé") == "hé"
    assert short("hé'") == repr("hé'")


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "\udcff", "\u202e", "\x00", "\t"])
def test_what_is_not_printable_is_escaped(text):
    for result in (printable(text), line(text), short(text), short([text])):
        assert result.isprintable()


@pytest.mark.parametrize("value", ["x\n" * 10**6, ["y"] * 10**5, b"z" * 10**6])
def test_length_is_bounded(value):
    assert len(short(value)) <= 800  # each character escaped
    assert len(short("x" * 10**6)) == 200
    assert len(line(value)) <= 2000
    assert line(f"begin {value} end").startswith("begin ")
    assert line(f"begin {value} end").endswith(" end")


def test_what_has_no_text():
    nested = []
    for _ in range(10**5):
        nested = [nested]
    assert short(nested) == "an object that is nested too deeply"
    assert short(10**5000) == "a number of thousands of digits"


@pytest.mark.parametrize(
    "call",
    [
        lambda: ift.get("x" * 10**6),
        lambda: ift.get("x" * 10**6 + "("),
        lambda: ift.get("random_normal(seed=" + "1" * 4000 + ")"),
        lambda: ift.get("uniform(b='" + "x" * 10**6 + "')"),
        lambda: ift.get({"class_name": "x" * 10**6}),
        lambda: ift.get({"class_name": "Zeros", "config": "x" * 10**6}),
        lambda: ift.get(["x"] * 10**5),
        lambda: ift.Zeros()([1] * 10**5),
        lambda: ift.Zeros()([-1] * 10**5),
        lambda: ift.Zeros()(10**5000),
        lambda: ift.Zeros()("x" * 10**6),
        lambda: ift.HeNormal(seed="x" * 10**6),
        lambda: ift.HeNormal(seed=10**5000),
        lambda: ift.Seed(1).named(["x"] * 10**5),
    ],
)
def test_messages_of_the_library_are_bounded(call):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert len(str(caught.value)) < 1500
