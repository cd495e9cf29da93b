"""Other people's text in messages: cut, and without line breaks or terminal escapes."""

from __future__ import annotations

__all__ = ["line", "printable", "short"]

_VALUE, _LINE = 200, 500  # characters


def printable(text: str) -> str:
    """Return the text with everything that is not printable as in a string of Python."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def line(text: object) -> str:
    """Return a text as one line of at most 500 characters, cut in the middle."""
    found = str(text)
    if len(found) > _LINE:
        found = f"{found[: _LINE - 100]} ... {found[-90:]}"
    return printable(found)


def short(value: object) -> str:
    """Return the `repr` of a value, cut to 200 characters."""
    try:
        shown = repr(value[:_VALUE] if isinstance(value, str) else value)
    except RecursionError:
        return "an object that is nested too deeply"
    except ValueError:  # Python refuses to write thousands of digits
        return "a number of thousands of digits"
    cut = len(shown) > _VALUE or (isinstance(value, str) and len(value) > _VALUE)
    return printable(f"{shown[: _VALUE - 3]}..." if cut else shown)
