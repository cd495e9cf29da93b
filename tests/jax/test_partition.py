"""Compiled draws on eight devices: one program for all cases, because JAX must start with them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiers import sample

pytest.importorskip("jax")

PROGRAM = Path(__file__).parent / "cases" / "partition.py"
CASES = re.findall(r"^@case\ndef (\w+)", PROGRAM.read_text(encoding="utf-8"), re.MULTILINE)


QUICK = (
    "initializers", "odd_blocks", "uneven", "sharded_keys", "explicit_mesh", "shard_map", "scalars",
    "large_arrays_take_the_memory_of_their_shards", "orthogonal_is_refused", "the_older_partitioner_is_refused",
    "uneven_out_sharding_is_refused",
)  # fmt: skip


@pytest.fixture(scope="module")
def results(request):
    """Run the program with the cases of this tier, and return its results."""
    cases = [
        item.callspec.params["case"] for item in request.session.items if item.path == request.path
    ]
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    process = subprocess.run(
        [sys.executable, str(PROGRAM), *cases], capture_output=True, text=True, env=environment
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.mark.parametrize("case", sample(CASES, *QUICK))
def test_eight_devices(results, case):
    assert not results[case], results[case]
