"""`mobius smoke`: does the service do what it is for."""

from __future__ import annotations

import click

from mobius_tui.cli.call import Call, takes_common_options
from mobius_tui.cli.layout import hanging
from mobius_tui.cli.output import data_width, show, show_json
from mobius_tui.errors import EnvironmentFailed, ProcessingFailed
from mobius_tui.operations.smoke import Check, SmokeReport, run_smoke

_OF_THE_WORKER = {"health", "metrics", "prometheus"}


@click.command("smoke")
@takes_common_options
@click.option("--quick", is_flag=True, help="Only health, library access and sample dHash.")
@click.pass_obj
def smoke(call: Call, quick: bool) -> int:
    """Smoke tests: health, library access, sample dHash; without --quick also metrics, migration, backups and logs.

    The live library is only read. Exit 0 when all passed, 2 when one failed, 3 when the worker did not answer and
    nothing else is wrong.
    """
    ws = call.open(writes=not quick)
    report = run_smoke(ws, quick=quick, on_check=_silent if call.json else _shown)
    if call.json:
        show_json(report.to_json())
    else:
        for line in _summary(report):
            show(line, "bad" if report.failed else "good")
    refuse_failed(report)
    return 0


def refuse_failed(report: SmokeReport) -> None:
    """Raise what makes the exit code of a report with failures.

    Raises:
        EnvironmentFailed: The worker did not answer, and nothing else failed.
        ProcessingFailed: Another test failed.
    """
    if not report.failed:
        return
    failed = [check for check in report.checks if not check.ok]
    said = f"{report.failed} of {report.total} smoke tests failed: {', '.join(check.name for check in failed)}"
    if not report.reachable and {check.name for check in failed} <= _OF_THE_WORKER:
        todo = report.fix or "see `mobius worker status` and `mobius logs`"
        todo = f"`{todo}`" if todo.startswith("mobius ") else todo
        raise EnvironmentFailed(f"{said}; the worker did not answer", fix=f"{todo}, then run it again")
    raise ProcessingFailed(said, fix="`mobius doctor` and `mobius logs` say more")


def _silent(_: Check) -> None:
    """With --json the report is the only data."""


def _shown(check: Check) -> None:
    mark = "passed" if check.ok else "FAILED"
    head = f"{mark}  {check.name:<16}  {check.seconds:6.2f} s  "
    for line in hanging(head, check.sentence, width=data_width()):
        show(line, "" if check.ok else "bad")


def _summary(report: SmokeReport) -> list[str]:
    return [
        f"total {report.total}, passed {report.passed}, failed {report.failed}, "
        f"success rate {report.success_rate * 100:.0f} %"
    ]
