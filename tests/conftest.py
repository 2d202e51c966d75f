"""What every test relies on."""

from __future__ import annotations

import signal

# A shell's background job ignores Ctrl-C, and what the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
