"""The package uses its own loggers, which are silent by default, and changes no other logging."""

import logging
import subprocess
import sys

import initfast as ift
from initfast.cli import main
from initfast.core import threads


def test_silent_unless_asked():
    code = (
        "import logging, initfast; before = logging.getLogger().handlers[:];"
        "initfast.HeNormal(seed=1)((4, 4));"
        "initfast.backends.use('portable'); logging.getLogger('initfast').error('unheard');"
        "assert logging.getLogger().handlers == before == []"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout + process.stderr == ""


def test_one_null_handler_and_no_level():
    logger = logging.getLogger("initfast")
    assert [type(handler) for handler in logger.handlers] == [logging.NullHandler]
    assert (logger.level, logger.propagate) == (logging.NOTSET, True)


def test_what_was_chosen_and_why(caplog, monkeypatch):
    threads._forget()
    monkeypatch.setenv("INITFAST_NUM_THREADS", "3")
    before = ift.backends.active()
    with caplog.at_level(logging.DEBUG, "initfast"), ift.backends.use("portable"):
        threads.get_num_threads()
    threads._forget()
    assert caplog.record_tuples == [
        ("initfast.backends", logging.DEBUG, f"backend portable instead of {before}"),
        (
            "initfast.core.threads",
            logging.DEBUG,
            "a large fill uses 3 threads: INITFAST_NUM_THREADS",
        ),
    ]


def test_where_a_write_begins_and_how_it_ends(caplog, tmp_path):
    out = tmp_path / "w.npy"
    with caplog.at_level(logging.INFO, "initfast"):
        assert (
            main(["fill", str(out), "--shape", "10x8", "--init", "he_normal", "--seed", "1"]) == 0
        )
    assert caplog.messages == [f"{out}: 320 bytes written, 0 already in place"]
