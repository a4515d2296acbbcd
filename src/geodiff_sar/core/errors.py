"""The one family of exceptions for users' mistakes."""

from collections.abc import Sequence


def listed(names: Sequence[str], limit: int = 20) -> str:
    """Names for a message, separated by commas; of more than ``limit`` the first ones and how many there are besides."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


class GeodiffError(ValueError):
    """A mistake that the user can mend.

    The command line prints it in one block without a traceback and exits with code 2.

    Args:
        subject: the file, option or key at fault.
        found: what was found there.
        rule: what has to hold.
        remedy: what to do now.
    """

    def __init__(self, subject: object, found: str, rule: str, remedy: str):
        self.subject, self.found, self.rule, self.remedy = str(subject), found, rule, remedy
        super().__init__(f"{subject}: {found}\n  rule:   {rule}\n  remedy: {remedy}")


class FileError(GeodiffError):
    """A file that is missing, damaged or of the wrong kind."""


class OptionError(GeodiffError):
    """An option, configuration key or prompt flag with a value that cannot be used."""


class DataError(GeodiffError):
    """Data whose content breaks a rule: shapes, ranges, captions, splits."""


class NumericalError(GeodiffError):
    """NaN or Inf where finite numbers are required; the run stops at once."""


class Interrupted(Exception):
    """A long job was asked to stop and has stopped in good order; the command line exits with code 130."""
