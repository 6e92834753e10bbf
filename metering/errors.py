"""What a store may refuse."""


class NotFound(Exception):
    """No such thing, or it belongs to someone else."""


class SessionClosed(Exception):
    """The session takes no more turns."""


class EmailTaken(Exception):
    """Another account has this email."""


class KeyEnded(Exception):
    """The key was revoked, has expired, or was rotated before."""


class StoreUnavailable(Exception):
    """The store did not acknowledge. Trying again is safe."""


class StoreTooNew(Exception):
    """The store was migrated by a newer version of this program."""
