"""The ``geodiff-sar`` command: parse, call a workflow, print. Loads no heavy library before a command runs."""

import sys

# isort: off
from geodiff_sar.cli import training, tracing, looking, converting, generating, judging  # noqa: F401 - in the order of the help
from geodiff_sar.cli.app import app
# isort: on


def main() -> None:
    """Entry point: hyphen and underscore in option names are the same; users' mistakes exit with code 2."""
    from geodiff_sar.core.errors import GeodiffError, Interrupted

    sys.argv[1:] = [_hyphens(argument) for argument in sys.argv[1:]]
    try:
        app()
    except GeodiffError as error:
        from geodiff_sar.core.console import print_error

        print_error(error)
        sys.exit(2)
    except (RuntimeError, MemoryError) as error:
        from geodiff_sar.core.console import print_error
        from geodiff_sar.core.out_of_memory import memory_message

        told = memory_message(error)
        if told is None:
            raise
        print_error(told)
        sys.exit(2)
    except (Interrupted, KeyboardInterrupt) as stop:
        print(f"stopped: {stop}" if str(stop) else "stopped", file=sys.stderr)
        sys.exit(130)


def _hyphens(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, sign, value = argument.partition("=")
    return name.replace("_", "-") + sign + value
