"""Build `initfast._kernels`: one extension from one Cython file and every C file of `src/`.

Each backend chooses its instruction set by a target pragma of its own, so no file needs flags of
its own and one wheel serves every CPU. `INITFAST_WERROR=1` builds with warnings as errors; CI does.
"""

import os
import sysconfig
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# The values promised by the stream rest on these: no fused or reordered arithmetic but what the
# source writes.
GCC_FLAGS = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-fast-math", "-fno-math-errno"]
# Python's own flags ask for debugging information, which would be nine tenths of the file.
GCC_FLAGS += ["-fvisibility=hidden", "-pthread", "-g0"]
GCC_LINK_FLAGS = ["-pthread", "-lm"]
GCC_STRICT_FLAGS = ["-Wall", "-Wextra", "-Werror"]
MSVC_FLAGS = ["/std:c11", "/O2", "/fp:precise"]
MSVC_STRICT_FLAGS = ["/W3", "/WX"]

STRICT = os.environ.get("INITFAST_WERROR", "0") not in ("", "0")

# The stable ABI needs Py_buffer, which entered it in 3.11; free-threaded CPython has no stable ABI
# yet.
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
LIMITED_API = "0x030B0000"
LIMITED_API_TAG = "cp311"


class BuildExt(build_ext):
    """The ordinary command, with the flags of the compiler it found."""

    def build_extensions(self) -> None:
        msvc = self.compiler.compiler_type == "msvc"
        flags = MSVC_FLAGS if msvc else GCC_FLAGS
        strict = MSVC_STRICT_FLAGS if msvc else GCC_STRICT_FLAGS
        for extension in self.extensions:
            extension.extra_compile_args = flags + (strict if STRICT else [])
            extension.extra_link_args = [] if msvc else GCC_LINK_FLAGS
        super().build_extensions()


kernels = Extension(
    "initfast._kernels",
    sources=["initfast/_kernels.pyx", *sorted(str(path) for path in Path("src").glob("*.c"))],
    include_dirs=["src"],
    depends=sorted(str(path) for path in Path("src").glob("*.h")),
    define_macros=[] if FREE_THREADED else [("Py_LIMITED_API", LIMITED_API)],
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
