"""The command line: a thin skin over the Python functions, one file for each command."""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, UnknownOptionError

from plastic_core.base.errors import PlasticError
from plastic_core.base.spec import SpecError
from plastic_core.base.streams import open_closed_streams
from plastic_core.cli import (
    bench_command,
    check_command,
    compare_command,
    export_command,
    install_command,
    meta_command,
    new_command,
    plugins_command,
    predict_command,
    report_command,
    reproduce_command,
    rules_command,
    run_command,
    search_command,
    store_command,
    sweep_command,
    tasks_command,
)
from plastic_core.version import __version__

EXAMPLES = """\
plastic: synaptic plasticity rules, from one equation to a learning curve

  plastic run                                          20 networks learn the embedded digits
  plastic run --rule oja+bp --task mnist-mlp --layers 10   the paper's deep network on MNIST
  plastic rules show oja                               a rule's equation and parameters

'plastic --help' lists all commands."""


def main() -> None:
    """Run the command line and exit: 0 done, 1 faults found, 2 mistaken input, 130 interrupted."""
    open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows only ASCII
    gc.set_threshold(100_000)  # what is imported stays: it is not to be looked at again and again,
    code = execute(sys.argv[1:])
    gc.freeze()  # nor once more at the end
    sys.exit(code)


def execute(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    if not arguments:
        print(EXAMPLES)
        return 0
    try:
        code = _app(arguments)(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
        sys.stdout.flush()
    except PlasticError as error:
        print(f"plastic: {_text_of(error)}", file=sys.stderr)
        return 2
    except CycloptsError as error:
        command = " ".join(("plastic", *error.command_chain)) if error.command_chain else "plastic"
        print(
            f"plastic: {error}{_theta_instead(error, arguments)}\n"
            f"  '{command} --help' shows what is accepted",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt as interrupt:  # its text, where it has one, says how to go on
        how = str(interrupt) or (
            "'plastic run --resume --out DIR' continues a run, and a sweep goes on when the same "
            "command is given again"
        )
        print(f"plastic: interrupted; {how}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(
            f"plastic: standard output cannot be written: {error.strerror}; what the command made "
            "is where it says, or is made by the same command",
            file=sys.stderr,
        )
        return 2
    return code if isinstance(code, int) else 0


def _text_of(error: PlasticError) -> str:
    """Return the message; of a spec, whose fields are flags, without the name of its class."""
    if not isinstance(error, SpecError):
        return str(error)
    one = error.faults.startswith(": ")
    return error.faults.removeprefix(": ") if one else f"the spec{error.faults}"


# What other tools call the coefficient of an update.
_RATES = ("--learning-rate", "--lr", "--rate", "--eta", "--theta")


def _theta_instead(error: CycloptsError, arguments: Sequence[str]) -> str:
    """Return how a learning rate is written, where one was given as a flag."""
    if not isinstance(error, UnknownOptionError):
        return ""
    for given, after in zip(arguments, [*arguments[1:], ""], strict=True):
        flag, equals, value = given.partition("=")
        if flag in _RATES and flag == (error.token.keyword or error.token.value).split("=")[0]:
            value = value if equals else after
            theta = value if value[:1].isdigit() else "0.1"
            return f" Each rule has a rate of its own, theta: write --set bp.theta={theta}"
    return ""


def _app(arguments: Sequence[str]) -> App:
    app = App(
        name="plastic",
        help="Synaptic plasticity rules, from one equation to a learning curve.",
        version=__version__,
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
    )
    # the flags of these depend on the task, which is looked up only where they are used
    app.command(run_command.make_app(arguments[1:] if arguments[0] == "run" else None))
    app.command(sweep_command.make_app(arguments[1:] if arguments[0] == "sweep" else None))
    app.command(compare_command.app)
    app.command(reproduce_command.app)
    app.command(report_command.app)
    app.command(predict_command.app)
    app.command(export_command.app)
    app.command(search_command.make_app(arguments[1:] if arguments[0] == "search" else None))
    app.command(meta_command.make_app(arguments[1:] if arguments[0] == "meta" else None))
    app.command(store_command.app)
    app.command(rules_command.app)
    app.command(tasks_command.app)
    app.command(plugins_command.app)
    app.command(new_command.rule_app)
    app.command(new_command.task_app)
    app.command(install_command.install_app)
    app.command(install_command.uninstall_app)
    app.command(check_command.app)
    app.command(bench_command.app)
    return app
