"""The only code that joins packages and decides what is written where. One file per workflow."""
