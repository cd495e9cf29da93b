"""Run the command line in separate processes, for the `cli` fixture.

Starting Python and importing initfast takes 0.3 s each time. multiprocessing's fork server does
both once, and then forks a process for each command line, with the same entry point, file
descriptors and exit codes, in some 20 ms.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Result(NamedTuple):
    """The exit code and the output of a command line."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        return self.stdout.decode()

    @property
    def err(self) -> str:
        return self.stderr.decode()


class Program:
    """The command `initfast`; each call runs in a separate process."""

    def __init__(self) -> None:
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(["__main__", "initfast.cli"])

    def __call__(
        self,
        *arguments: object,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        input: str | bytes = b"",
        timeout: float = 60,
        check: bool = False,
        real: bool = False,
    ) -> Result:
        """Run `initfast *arguments` and wait for its end.

        Args:
            env: variables to add to the environment. They act from the start of Python, so this
                implies `real`.
            cwd: the directory to run in; by default the current one.
            input: text or bytes on stdin.
            timeout: seconds until it is killed and TimeoutError is raised.
            check: whether to raise AssertionError if the exit code is not 0.
            real: start a new `python -m initfast`. This is for inherited properties such as a umask
                or resource limits, for pipes as stdin and stdout, and to check that it works.
        """
        texts = [str(argument) for argument in arguments]
        data = input.encode() if isinstance(input, str) else input
        if real or env is not None:
            result = self._started(texts, env or {}, cwd, data, timeout)
        else:
            result = self._forked(texts, cwd, data, timeout)
        if check and result.code:
            raise AssertionError(f"initfast {' '.join(texts)}: {result.code}\n{result.err}")
        return result

    def start(
        self, *arguments: object, env: Mapping[str, str] | None = None, **options: object
    ) -> subprocess.Popen:
        """Start `python -m initfast *arguments`; `options` are those of Popen."""
        command = [sys.executable, "-m", "initfast", *map(str, arguments)]
        return subprocess.Popen(command, env={**os.environ, **(env or {})}, **options)

    def _started(self, texts, env, cwd, data, timeout) -> Result:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with self.start(*texts, env=env, cwd=cwd, **pipes) as process:
            try:
                out, err = process.communicate(data, timeout)
            except subprocess.TimeoutExpired as error:
                process.kill()
                raise TimeoutError(str(error)) from None
        return Result(process.returncode, out, err)

    def _forked(self, texts, cwd, data, timeout) -> Result:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "0").write_bytes(data)
            arguments = (texts, os.path.abspath(cwd or "."), dict(os.environ), folder)
            process = self._processes.Process(target=_main, args=arguments)
            process.start()
            process.join(timeout)
            if process.exitcode is None:
                process.kill()
                process.join()
                raise TimeoutError(f"initfast {' '.join(texts)} took more than {timeout} s")
            output = [(folder / stream).read_bytes() for stream in "12"]
            return Result(process.exitcode, *output)


def _main(texts: list[str], cwd: str, environment: dict[str, str], folder: Path) -> None:
    """Run the command line in a process of the fork server."""
    for stream, flags in enumerate((os.O_RDONLY, *[os.O_WRONLY | os.O_CREAT | os.O_APPEND] * 2)):
        os.dup2(os.open(folder / str(stream), flags), stream)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    from initfast.cli import main

    sys.exit(main(texts))
