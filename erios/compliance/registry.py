"""The registry of checks, and the requirements of ``conf/compliance.toml`` with their evidence of now.

Owns the checks by name, and nothing of what they are evidence for. A check reads and never repairs; an error that stops
it is itself a finding. Django must be set up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from erios.errors import EriosError
from erios.governance.compliance import Finding, Framework, Requirement, Status, not_met, read_frameworks
from erios.settings import Settings
from erios.translation import mark
from etl.errors import EtlError

Check = Callable[[Settings], Finding]
CHECKS: dict[str, Check] = {}
"""Name → check; filled by the modules of this package."""


def check(function: Check) -> Check:
    """Register a check under its name."""
    CHECKS[function.__name__] = function
    return function


@dataclass(frozen=True)
class RequirementStatus:
    """A requirement with its evidence of now; ``finding`` is None where the hospital's organisation meets it."""

    requirement: Requirement
    status: Status
    finding: Finding | None


@dataclass(frozen=True)
class FrameworkStatus:
    """A framework with the status of each requirement."""

    framework: Framework
    requirements: tuple[RequirementStatus, ...]

    def count(self, status: Status) -> int:
        return sum(requirement.status is status for requirement in self.requirements)


def current_status(settings: Settings) -> tuple[FrameworkStatus, ...]:
    """Every framework with its evidence of now; a check that several requirements name runs once."""
    frameworks = read_frameworks(settings.requirements, tuple(CHECKS))
    names = {required.check for framework in frameworks for required in framework.requirements if required.check}
    findings = {name: run_check(name, settings) for name in sorted(names)}
    return tuple(FrameworkStatus(each, tuple(_status(r, findings) for r in each.requirements)) for each in frameworks)


def _status(requirement: Requirement, findings: Mapping[str, Finding]) -> RequirementStatus:
    finding = findings.get(requirement.check)
    return RequirementStatus(requirement, finding.status if finding else Status.ORGANISATIONAL, finding)


def run_check(name: str, settings: Settings) -> Finding:
    """The finding of a check; an error that stops it makes the requirement not met, with the error's sentence."""
    try:
        return CHECKS[name](settings)
    except (EriosError, EtlError) as error:
        return not_met(mark("Le contrôle n'a pas abouti : {error}"), error=error)
    except OSError as error:
        return not_met(mark("Le contrôle n'a pas abouti : {error}"), error=error.strerror)
