"""The two files that src/fit.py writes agree, and hold the coefficients that it computes."""

import re
import sys
from pathlib import Path

import pytest
from tiers import sample

import coefficients

SOURCES = Path(__file__).parent.parent.parent / "src"
TABLE = re.compile(r"static const (float|double) (\w+)\[\] = \{([^}]*)\};")


def test_header_and_module_agree() -> None:
    in_header = {}
    for kind, name, body in TABLE.findall((SOURCES / "coefficients.h").read_text()):
        words = [word.strip() for word in body.split(",") if word.strip()]
        assert all(word.endswith("f") for word in words) == (kind == "float")
        in_header[name] = tuple(
            float.fromhex(word.rstrip("f") if kind == "float" else word) for word in words
        )
    in_module = {name: value for name, value in vars(coefficients).items() if name.isupper()}
    assert in_header == in_module
    assert len(in_header) == 16


@pytest.mark.parametrize("name", sample(["log_f32", "sin_f32", "cos_f32"], "sin_f32"))
def test_fit_reproduces(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SOURCES))
    sys.modules.pop("fit", None)
    import fit  # type: ignore[import-not-found]

    row = next(row for row in fit.TABLE if row.name == name)
    assert tuple(fit.coefficients(row)[0]) == getattr(coefficients, name.upper())
