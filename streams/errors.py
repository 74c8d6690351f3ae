"""Every error Tallystream raises on purpose.

The class says whose fault it is and what the process should do; the message says what the
operator does next, in one line.

    TallystreamError                 exit 1
    ├── UsageError                   exit 2   the command line or a file the user wrote
    ├── ConfigurationError           exit 2   a setting is missing, unknown or invalid
    ├── DependencyUnavailable        exit 3   a server does not answer, refuses, or lacks a permission
    ├── NotFound                     exit 1   what was asked for does not exist
    ├── ContractViolation            exit 1   a schema, topic or partition count breaks its contract
    ├── PositionLost                 exit 1   an offset or log position we need no longer exists
    ├── Fenced                       exit 1   another process took over; stop without acknowledging
    └── RecordError                  never leaves a lane: becomes an exception record
        ├── PoisonRecord                      bytes that are no record at all
        ├── SchemaMismatch                    unknown schema id, or a schema the reader can't use
        └── InvalidValue                      decoded, but breaks a rule of its mapping
"""

from __future__ import annotations


class TallystreamError(Exception):
    """Root of all errors raised on purpose; its text is one line that says what to do."""

    exit_code = 1
    retriable = False


class UsageError(TallystreamError):
    """The command line, or a file written by the user, can't be understood."""

    exit_code = 2


class ConfigurationError(TallystreamError):
    """A setting is missing, unknown or invalid."""

    exit_code = 2


class DependencyUnavailable(TallystreamError):
    """A server does not answer, refuses us, or lacks a permission or setting we need."""

    exit_code = 3
    retriable = True


class NotFound(TallystreamError):
    """What was asked for does not exist."""


class ContractViolation(TallystreamError):
    """A schema, topic or partition count differs from what its contract says."""


class PositionLost(TallystreamError):
    """An offset or log position that we must continue from no longer exists; never skipped silently."""


class Fenced(TallystreamError):
    """Another process took over this lane or source; this one stops without acknowledging."""


class RecordError(TallystreamError):
    """The upstream record's fault: it is dead-lettered with its bytes, its neighbours go on.

    ``exception_class`` is one of the exception classes of the exception topic.
    """

    exception_class = "POISON"


class PoisonRecord(RecordError):
    """Bytes that are not a record: no framing, or the payload does not decode."""

    exception_class = "POISON"


class SchemaMismatch(RecordError):
    """The schema id is unknown to the registry, or its schema can't be read as ours."""

    exception_class = "SCHEMA"


class InvalidValue(RecordError):
    """The record decodes, but a value breaks a rule of its mapping or contract."""

    exception_class = "INVALID_VALUE"
