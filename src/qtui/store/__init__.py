"""The memory of runs: what is written to disk of a run, and how it is read again."""
