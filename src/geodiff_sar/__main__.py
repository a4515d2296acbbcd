"""``python -m geodiff_sar``: the same as the ``geodiff-sar`` command."""

from geodiff_sar.cli import main

if __name__ == "__main__":
    main()
