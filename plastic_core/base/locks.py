"""Locks around what libraries do in one thread at a time: several runs may share a process."""

from __future__ import annotations

import threading
from typing import Final

#: Held while torch.fx follows a function, for it changes torch for all threads meanwhile; and by
#: what must not happen then, such as a call of what torch.compile made.
TRACING: Final = threading.RLock()

#: Held around the netCDF library.
NETCDF: Final = threading.Lock()

#: Held around matplotlib, whose settings belong to the process.
DRAWING: Final = threading.Lock()

#: Held around ast.parse: up to Python 3.12 its trees of two threads share one counter of depth.
PARSING: Final = threading.Lock()
