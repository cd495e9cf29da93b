"""Build `initfast._kernels`: one extension from one Cython file and every C file of `src/`.

Each backend chooses its instruction set by a target pragma, so no file needs separate
flags and one wheel serves every CPU. The files are compiled in parallel, the longest first.
`INITFAST_WERROR=1` builds with warnings as errors; CI does."""

import os
import sysconfig
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# The values promised by the stream rest on these: no fused or reordered arithmetic but what the
# source writes.
FLAGS = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-fast-math", "-fno-math-errno"]
# Python's own flags ask for debugging information, which would be nine tenths of the file.
FLAGS += ["-fvisibility=hidden", "-pthread", "-g0"]
LINK_FLAGS = ["-pthread", "-lm"]
STRICT_FLAGS = ["-Wall", "-Wextra", "-Werror"]

STRICT = os.environ.get("INITFAST_WERROR", "0") not in ("", "0")

# The stable ABI needs Py_buffer, which entered it in 3.11; free-threaded CPython has no stable ABI
# yet.
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
LIMITED_API = "0x030B0000"
LIMITED_API_TAG = "cp311"

# What takes longest to compile, so that no core is left with it at the end.
LONGEST = ["backend_avx2", "backend_avx512", "backend_neon", "backend_portable", "_kernels"]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class BuildExt(build_ext):
    """The ordinary command, but the files are compiled in parallel, and each is named when it is
    done.
    """

    def build_extensions(self) -> None:
        compile_serially = self.compiler.compile

        def compile_in_parallel(sources: list[str], **options: object) -> list[str]:
            def compile_one(source: str) -> list[str]:
                began = time.monotonic()
                objects = compile_serially([source], **options)
                print(f"compiled {source} in {time.monotonic() - began:.1f} s", flush=True)
                return objects

            ranks = {name: rank for rank, name in enumerate(LONGEST)}
            longest_first = sorted(
                sources, key=lambda source: ranks.get(Path(source).stem, len(LONGEST))
            )
            print(f"compiling {len(sources)} files on {cores()} cores", flush=True)
            with ThreadPoolExecutor(cores()) as pool:
                return [
                    path for objects in pool.map(compile_one, longest_first) for path in objects
                ]

        self.compiler.compile = compile_in_parallel
        super().build_extensions()


kernels = Extension(
    "initfast._kernels",
    sources=["initfast/_kernels.pyx", *sorted(str(path) for path in Path("src").glob("*.c"))],
    include_dirs=["src"],
    depends=sorted(str(path) for path in Path("src").glob("*.h")),
    define_macros=[] if FREE_THREADED else [("Py_LIMITED_API", LIMITED_API)],
    extra_compile_args=FLAGS + (STRICT_FLAGS if STRICT else []),
    extra_link_args=LINK_FLAGS,
    py_limited_api=not FREE_THREADED,
)

setup(
    ext_modules=cythonize(
        [kernels],
        build_dir="build/cython",
        compiler_directives={"language_level": 3, "freethreading_compatible": True},
    ),
    cmdclass={"build_ext": BuildExt},
    options={} if FREE_THREADED else {"bdist_wheel": {"py_limited_api": LIMITED_API_TAG}},
)
