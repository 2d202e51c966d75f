"""The whole pipeline for a long time: `python -m tests.soak --minutes 60 --out FOLDER`."""
