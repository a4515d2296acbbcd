"""What a person sees: one rich console, progress bars, the error block."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from geodiff_sar.core.errors import GeodiffError

console = Console(stderr=True, highlight=False)
"""Messages and progress go to standard error, so that standard output holds results only."""


def progress_bar(enabled: bool = True) -> Progress:
    """A progress display: description, bar, count, time used and time left; free text in field ``note``.

    Not ``enabled``, it shows nothing, so that it may stand inside another one.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=False,
        disable=not enabled,
    )


def say(message: str) -> None:
    """Print one line for the user."""
    console.print(message, markup=False, soft_wrap=True)


def warn(message: str) -> None:
    """Print one line that the user should not miss."""
    console.print(f"note: {message}", style="yellow", markup=False, soft_wrap=True)


def print_error(error: GeodiffError) -> None:
    """Print a user's mistake in one block: subject, found, rule, remedy."""
    console.print("error: ", style="bold red", end="")
    console.print(str(error), markup=False, soft_wrap=True)
