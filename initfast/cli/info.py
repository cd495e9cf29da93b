"""`initfast info`: show versions, kernels and threads."""

import argparse
import json
from collections.abc import Mapping

import initfast
from initfast.core.text import line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> None:
    """Print the result of `initfast.show_config`."""
    config = initfast.show_config(mode="dicts")
    assert config is not None
    if arguments.json:
        print(json.dumps(config, indent=2))
        return
    backends = config["backends"]
    rows = {
        "version": config["version"],
        "stream version": config["stream_version"],
        "backend": f"{backends['active']} ({backends['why']})",
        "available": ", ".join(backends["available"]),
        "compiled": ", ".join(backends["compiled"]),
        "threads": config["threads"]["why"],
        "compiler": config["compiler"],
        "running on": f"Python {config['python']}, NumPy {config['numpy']}, {config['system']}",
        "cpu": config["cpu"],
        "packages": _join(config["packages"], " "),
        "variables": _join(config["variables"], "="),
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {line(value)}")


def _join(pairs: Mapping[str, str], sign: str) -> str:
    return ", ".join(f"{name}{sign}{value}" for name, value in pairs.items()) or "none"
