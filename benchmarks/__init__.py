"""One command per figure: `python -m benchmarks.NAME --json -`."""
