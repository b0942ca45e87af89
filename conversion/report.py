"""What a proof found: one line a check, as a table on screen, as JSON beside the model, as Markdown in its card."""

from dataclasses import dataclass, field
from typing import Any

from foundation.cli import UserError


@dataclass(frozen=True)
class Check:
    """One thing that was compared.

    `difference` is the largest absolute difference seen and `limit` what was allowed; both None where the comparison is
    exact by its nature (bytes, names, token ids).
    """

    name: str
    passed: bool
    detail: str = ""
    difference: float | None = None
    limit: float | None = None


@dataclass
class Report:
    source: str
    architecture: str
    checks: list[Check] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def largest_difference(self) -> float:
        return max((check.difference for check in self.checks if check.difference is not None), default=0.0)

    def table(self) -> str:
        rows = [("check", "result", "largest difference", "detail")]
        rows += [(c.name, "ok" if c.passed else "FAILED", _measured(c), c.detail) for c in self.checks]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)

    def markdown(self) -> str:
        lines = ["| check | result | largest difference | detail |", "|---|---|---|---|"]
        lines += [f"| {c.name} | {'ok' if c.passed else 'FAILED'} | {_measured(c)} | {c.detail} |" for c in self.checks]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "architecture": self.architecture,
            "passed": self.passed,
            "largest_difference": self.largest_difference,
            "checks": [vars(check) for check in self.checks],
        }


class VerificationError(UserError):
    """A converted model is not its source; `report` holds every check."""

    def __init__(self, report: Report):
        self.report = report
        failed = [f"{c.name} ({c.detail or _measured(c)})" for c in report.checks if not c.passed]
        super().__init__(
            f"the proof failed in {len(failed)} of {len(report.checks)} checks against {report.source!r}:"
            f" {'; '.join(failed)}; do not use this model"
        )


def _measured(check: Check) -> str:
    if check.difference is None or check.limit is None:
        return ""
    return f"{check.difference:.1e} (limit {check.limit:.1e})"
