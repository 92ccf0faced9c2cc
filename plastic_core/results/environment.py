"""What a run was made with, for its record: versions, machine and threads."""

from __future__ import annotations

import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch


def environment(threads: int | None) -> dict[str, Any]:
    """Return versions, machine and threads."""
    return {
        "plastic-learning": version("plastic-learning"),
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "threads": threads or torch.get_num_threads(),
    }


def _processor() -> str | None:
    """Return what the processor calls itself, where the system says so."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or None
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    return found[1] if found else platform.processor() or None


def _git_commit() -> str | None:
    """Return the commit of the source that runs, where that is a git checkout of its own."""
    source = Path(__file__).resolve().parents[1]
    try:
        out = subprocess.run(
            ["git", "-C", str(source), "log", "-1", "--format=%H", "--", str(source)],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return out.stdout.strip() or None
