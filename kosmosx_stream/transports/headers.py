"""Headers of our own that several endpoints take."""

from kosmosx_stream.transports.query import Text

SESSION = Text(
    name="X-Kosmosx-Session",
    says="The open session that this turn joins; its session is in the same header of the answer.",
)
