"""From an exception to a sentence on standard error and an exit code.

Owns the mapping of the wings' errors to the families of ``erios.errors``. It knows wing errors by name, so
that mapping one imports no wing, and it must never show the message of an exception it does not know: such a
message may hold a patient's value.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from erios.errors import (
    INTERRUPTED,
    BusyError,
    EriosError,
    InputError,
    InternalError,
    MachineError,
    RefusedError,
    StorageError,
    UsageError,
    ValidationBlocked,
)
from erios.logs import write_fault

WINGS: dict[str, type[EriosError]] = {
    "etl.errors.InputError": InputError,
    "etl.errors.PrivacyError": UsageError,
    "etl.errors.StorageError": StorageError,
    "etl.errors.BusyError": BusyError,
    "etl.errors.ReleaseError": InputError,
    "etl.errors.GateRefused": ValidationBlocked,
    "etl.errors.ReconciliationError": InternalError,
    "validation.errors.SuiteError": UsageError,
    "etl.task_runner.TaskError": InternalError,
    "experiments.errors.BundleError": UsageError,
    "experiments.errors.ProfileError": UsageError,
    "experiments.errors.DataError": InputError,
    "experiments.errors.ClusterError": MachineError,
    "experiments.errors.RankError": MachineError,
    "experiments.errors.ForbiddenError": RefusedError,
    "experiments.errors.TrackingError": StorageError,
    "experiments.errors.CheckpointError": InputError,
    "experiments.errors.ExperimentError": InputError,
    "experiments.network_guard.OutgoingCallError": RefusedError,
    "etl.dicom.errors.SeriesRefusedError": InputError,
    "etl.views.definition.ViewError": UsageError,
    "etl.views.fhirpath.errors.PathError": UsageError,
}
"""A wing's error class → the family whose exit code it takes; its ``str()`` is already the sentence."""


def run(command: Any) -> int:
    """Run a command of the command line and answer its exit code; every error becomes one sentence."""
    _keep_libraries_quiet()
    try:
        command(prog_name="erios")
    except SystemExit as done:
        return _code_of(done)
    except KeyboardInterrupt:
        return _stop_interrupted()
    except BaseException as error:
        failure = to_error(error)
        print(f"erios: {failure.sentence}", file=sys.stderr)
        return failure.exit_code
    return 0


def to_error(error: BaseException) -> EriosError:
    """The family member that stands for ``error``; an unknown one is logged without its message."""
    if isinstance(error, EriosError):
        return error
    for parent in type(error).__mro__:
        family = WINGS.get(f"{parent.__module__}.{parent.__qualname__}")
        if family is not None:
            return family(str(error))
    return _machine_fault(error) or _internal(error)


def _machine_fault(error: BaseException) -> EriosError | None:
    """What the machine refuses, wherever it happens: no space, no permission, no Java."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"the disk is full{_at(error)}: free some space and run the command again; the last release is untouched"
        )
    if isinstance(error, PermissionError):
        return StorageError(f"no permission{_at(error)}: check the owner and mode of the folder")
    if "JAVA_GATEWAY_EXITED" in _conditions(error):
        from erios.workflows.spark_session import NO_JAVA

        return MachineError(NO_JAVA)
    return None


def _at(error: OSError) -> str:
    return f" at {error.filename}" if isinstance(error.filename, str) else ""


def _conditions(error: BaseException) -> str:
    """PySpark's name of the fault, which holds no values; empty for other exceptions."""
    condition = getattr(error, "getCondition", None)
    return str(condition() or "") if callable(condition) else ""


def _internal(error: BaseException) -> InternalError:
    name = type(error).__name__
    try:
        log = write_fault(_log_folder(), error)
    except OSError:
        return InternalError(f"internal error ({name}), and its log could not be written")
    return InternalError(f"internal error ({name}); report the code locations in {log}, which hold no values")


def _log_folder() -> Path:
    """``<home>/logs``; beside the working folder's default home when the settings themselves are at fault."""
    try:
        from erios.settings import load_settings

        return load_settings().home / "logs"
    except Exception:  # the settings are broken too: the fault's log must still find a place
        return Path(os.environ.get("ERIOS_HOME", "var")) / "logs"


def _keep_libraries_quiet() -> None:
    """Library log records and warnings may quote values: none reaches the terminal."""
    logging.getLogger().addHandler(logging.NullHandler())
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def _stop_interrupted() -> int:
    print("erios: interrupted; the last release is untouched", file=sys.stderr)
    return INTERRUPTED


def _code_of(done: SystemExit) -> int:
    """The integer of a SystemExit; Ctrl-C inside a command arrives here as 130."""
    if done.code == INTERRUPTED:
        return _stop_interrupted()
    return done.code if isinstance(done.code, int) else int(done.code is not None)
