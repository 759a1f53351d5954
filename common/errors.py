"""Errors reported in one line."""


class Failed(Exception):
    """A run cannot continue; the message says why."""
