"""What the advisor has to say."""

from __future__ import annotations

from dataclasses import dataclass

SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True)
class Finding:
    """One piece of advice about a call.

    Attributes:
        severity: "error", the call is or will be refused; "warning", wrong results or waste are likely; "info", worth
            knowing, also what makes no difference.
        code: short name of the rule, stable.
        reason: what was seen.
        fix: what to do.
        argument: the argument it is about.
        saves: bytes that the fix saves, 0 when it saves none or that is unknown.
    """

    severity: str
    code: str
    reason: str
    fix: str
    argument: str = ""
    saves: int = 0

    def __str__(self) -> str:
        return f"{self.severity}: [{self.code}] {self.reason}; {self.fix}"


def by_severity(findings: list[Finding]) -> list[Finding]:
    """Errors first; what saves more before what saves less."""
    return sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), -f.saves))
