"""`initfast info`: which version, which kernels, how many threads, and why."""

import argparse
import json

import initfast


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Print what `initfast.show_config` knows."""
    found = initfast.show_config(mode="dicts")
    assert found is not None
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    backends = found["backends"]
    rows = {
        "version": found["version"],
        "stream version": found["stream_version"],
        "backend": f"{backends['active']} ({backends['why']})",
        "available": ", ".join(backends["available"]),
        "compiled": ", ".join(backends["compiled"]),
        "threads": found["threads"]["why"],
        "compiler": found["compiler"],
        "running on": f"Python {found['python']}, NumPy {found['numpy']}, {found['system']}",
        "cpu": found["cpu"],
        "beside it": ", ".join(f"{name} {version}" for name, version in found["packages"].items())
        or "nothing",
        "variables": ", ".join(f"{name}={value}" for name, value in found["variables"].items())
        or "none",
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {value}")
