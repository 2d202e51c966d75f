"""Error tree of edge-fer.

Every error that a user can cause or meet is an `EdgeFerError`. Its message is one line that says what
was wrong and what to do; the command line prints it without a traceback and exits with `exit_code`.
"""


class EdgeFerError(Exception):
    """Base of all expected failures: the work failed."""

    exit_code = 1


class UsageError(EdgeFerError):
    """An argument, option or name is wrong; nothing was attempted."""

    exit_code = 2


class DataError(EdgeFerError):
    """Labelled data, an image or a video cannot be read or does not say what it should."""


class ContractError(EdgeFerError):
    """A model file is corrupt, has no contract, or its contract and graph disagree."""


class BackendError(EdgeFerError):
    """An interpreter refused the model or computed something else than the contract records."""


class BackendUnavailableError(BackendError):
    """The interpreter asked for is not installed or cannot work in this environment."""


class DetectorUnavailableError(EdgeFerError):
    """The face detector asked for cannot work in this environment."""


class SourceError(EdgeFerError):
    """A frame source cannot be opened, or failed while it was read."""


class SourceStalledError(SourceError):
    """A live source delivered no frame for longer than its stall timeout."""


class SinkError(EdgeFerError):
    """Results cannot be written where the user asked for them."""
