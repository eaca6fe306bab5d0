"""`turnup`, the command line: one command per task, help that teaches, errors that name field and remedy."""

from turnup.app.cli.main import main

__all__ = ["main"]
