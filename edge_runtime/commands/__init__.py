"""The verbs of `edge-fer`, one module each with `run(args) -> exit status`."""
