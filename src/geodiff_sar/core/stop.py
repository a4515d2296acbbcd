"""Stopping in good order."""

import signal


class StopSignal:
    """Turns SIGINT and SIGTERM into a flag, so that a run stops after the step with a checkpoint.

    A second signal raises KeyboardInterrupt. Outside the main thread signals stay with the caller.
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "StopSignal":
        self._old = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._old[number] = signal.signal(number, self._ask)
            except ValueError:  # not in the main thread
                break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
