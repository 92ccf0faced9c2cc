"""A process that has imported what `plastic` needs, and forks for each call of the command line.

Run by its path. Each line that it reads is a function below with its arguments as JSON;
`tests.processes.ForkServer` writes them. The answer is what the function returns.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import site
import sys
import threading
import traceback

# What commands load, most of it late. None of it begins a thread, which would not be forked.
IMPORTS = (
    *(
        "dask.array",
        "distributed",
        "matplotlib.backends.backend_agg",
        "netCDF4",
        "optuna",
    ),
    *("torch._dynamo", "xarray"),
    *(
        "plastic_core.cli",
        "plastic_core.figures",
        "plastic_core.experiments.run",
        "plastic_core.testing",
    ),
    *("plastic_core.experiments.meta.meta_learning", "plastic_core.experiments.searching.search"),
)


def main():
    """Answer each line, until there are none."""
    del sys.path[0]  # the folder of this file
    for name in IMPORTS:
        importlib.import_module(name)
    gc.freeze()  # a child looks through what is its own
    known = {"fork": fork, "ended": ended}
    while line := sys.stdin.readline():
        function, arguments = json.loads(line)
        print(json.dumps(known[function](**arguments)), flush=True)


def fork(**call):
    """Begin a process with a call of the command line, and return its id."""
    child = os.fork()
    if child == 0:
        begin(**call)
    return child


def ended(child, wait):
    """Return the exit code, negative where a signal ended the process; None while it runs."""
    found, status = os.waitpid(child, 0 if wait else os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def begin(module, arguments, first, folder, environment, out, err):
    """Be `python -m module`, as a new process in this folder and environment would."""
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, out, os.O_WRONLY),
        (2, err, os.O_WRONLY),
    ):
        os.dup2(os.open(path, flags), descriptor)
    sys.stdin = os.fdopen(0)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    paths = environment.get("PYTHONPATH", "")
    sys.path[:0] = [folder, *paths.split(os.pathsep)] if paths else [folder]
    for packages in site.getsitepackages():
        site.addsitedir(packages)  # what was installed since
    sys.argv[1:] = arguments
    exec(first, {})
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    # what an interpreter does at its end, but for taking all modules apart
    try:
        threading._shutdown()
        atexit._run_exitfuncs()
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
