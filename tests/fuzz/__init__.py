"""Bad input for every parser that reads what edge-fer did not write: `python -m tests.fuzz --help`."""
