"""Text from users and files for messages: shortened, without line breaks and terminal escapes."""

from __future__ import annotations

__all__ = ["line", "printable", "short"]

_VALUE, _LINE = 200, 500  # characters


def printable(text: str) -> str:
    """Return the text with every character that is not printable escaped as in a Python string."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def line(text: object) -> str:
    """Return a text as one line of at most 500 characters, shortened in the middle."""
    full = str(text)
    if len(full) > _LINE:
        full = f"{full[: _LINE - 100]} ... {full[-90:]}"
    return printable(full)


def short(value: object) -> str:
    """Return the `repr` of a value, shortened to 200 characters."""
    try:
        text = repr(value[:_VALUE] if isinstance(value, str) else value)
    except RecursionError:
        return "an object that is nested too deeply"
    except ValueError:  # Python does not convert thousands of digits
        return "a number of thousands of digits"
    too_long = len(text) > _VALUE or (isinstance(value, str) and len(value) > _VALUE)
    return printable(f"{text[: _VALUE - 3]}..." if too_long else text)
