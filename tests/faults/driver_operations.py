"""The operations whose system calls are counted, each the product's own function as the verb calls it."""

import json
import time
from contextlib import closing
from unittest import mock

import judging
from driver_clock import CLOCK

from mobius_tui.errors import MobiusError
from mobius_tui.guard import launch
from mobius_tui.guard.canary import watch_canary
from mobius_tui.guard.files import all_open
from mobius_tui.guard.launch import heal_guard
from mobius_tui.guard.model import Baseline, CatalogueLook, HealthLook, Measurement
from mobius_tui.launch.health import Health
from mobius_tui.operations.backup import backup_now, clean_backups, verify_backups
from mobius_tui.operations.deploy import deploy as deploying
from mobius_tui.operations.deploy.course import Surroundings
from mobius_tui.operations.deploy.options import DeployOptions
from mobius_tui.operations.options import default_options
from mobius_tui.operations.run import run_in_foreground
from mobius_tui.operations.smoke import run_smoke
from mobius_tui.recovery.atomic import write_atomic
from mobius_tui.rollback.options import RollbackOptions
from mobius_tui.rollback.recover import recover
from mobius_tui.rollback.run import roll_back
from mobius_tui.store.database import open_database
from mobius_tui.system import clock


def backup(ws):
    """`mobius backup create`."""
    return backup_now(ws, "by hand").name


def migrate(ws):
    """`mobius migrate`: one batch, in place, after a backup."""
    with closing(open_database(ws.database)) as connection:
        job = run_in_foreground(ws, connection, "migrate", default_options(ws).to_json())
    return ended(job)


def ended(job):
    """The answer of a finished job; one that failed ends the process as the verb does."""
    if job.exit_code:
        failed = MobiusError(job.error)
        failed.exit_code = job.exit_code
        raise failed
    return dict(job.summary)


def deploy(ws, **given):
    """`mobius deploy --no-watch`, with a service that says it is well."""
    with closing(open_database(ws.database)) as connection:
        options = {**DeployOptions(**given).to_json(), "foreground": True}
        job = run_in_foreground(ws, connection, "deploy", options)
    return ended(job)


def deploy_with_watch(ws):
    """`mobius deploy`: it plans a watch, which the guard takes up once the deploy is over."""
    return deploy(ws, watch=True)


def deploy_with_canary(ws):
    """`mobius deploy --canary 50`, its watch measured by a service that is well; says what the canary was."""
    CANARIES.clear()
    return {**deploy(ws, watch=True, canary=50.0, canary_seconds=10.0), "canaries": list(CANARIES)}


def rollback(ws):
    """`mobius rollback --force`."""
    outcome = roll_back(ws, RollbackOptions(force=True), confirm=lambda _: True, say=print, environ={})
    return {"emergency": outcome.emergency, "changed": outcome.changed, "code": outcome.exit_code}


def recovery(ws):
    """What every writing start does first."""
    return [f"{settled.run} {settled.outcome}" for settled in recover(ws, print)]


def recovery_with_watch(ws):
    """What every writing start does first, the guard included; that is not started here, only told."""
    with mock.patch.object(launch, "_start", lambda *_: (0, 0)):
        return [*recovery(ws), heal_guard(ws, {})]


def clean(ws):
    """`mobius backup clean`."""
    return [decision.backup.name for decision in clean_backups(ws, dry_run=False) if not decision.keep]


def years_of_backups(ws):
    """Backups that a schedule made: some of them no rule keeps."""
    now = CLOCK.at
    for days in (900, 800, 700, 600, 500, 400, 40, 35, 3, 2, 1):
        CLOCK.start(now - days * 86400)
        backup_now(ws, "by schedule")


def edit(ws):
    """The application writes its catalogue."""
    document = json.loads(ws.catalogue.read_bytes())
    document["images"][0]["title"] = "another title"
    ws.catalogue.write_text(json.dumps(document, indent=1))


def verify(ws):
    """`mobius backup verify --all`."""
    return [verdict.state for verdict in verify_backups(ws, every=True)]


def look(ws):
    """`mobius migrate --dry-run`: fingerprints come into the database, nothing is published."""
    with closing(open_database(ws.database)) as connection:
        return ended(run_in_foreground(ws, connection, "dry-run", default_options(ws).to_json()))


def around():
    """The surroundings of a deploy: waits cost nothing, the service is healthy, smoke tests are the quick ones."""
    return Surroundings(
        sleep=lambda seconds: time.sleep(seconds),
        monotonic=lambda: time.monotonic(),
        ask=healthy,
        smoke=lambda ws: run_smoke(ws, quick=True, ask=healthy),
        baseline=lambda _: Baseline(
            at=clock.now(), source="probes", samples=100, failure_rate=0.0, p95_ms=10.0, queue=0
        ),
        watch_canary=lambda *given: watched(*given),
        start_guard=lambda ws, planned: next(watch for watch in all_open(ws) if watch.path == planned),
    )


class Well:
    """Measures a service that is well, and keeps what the catalogue was."""

    def __init__(self, live):
        self.live = live

    def measure(self, number, elapsed_s, merged=1):
        data = self.live.read_bytes()
        CANARIES.append(judging.settled(data))
        return Measurement(
            number, clock.now(), elapsed_s, merged, HealthLook(True, "healthy"), "probes", 100, 0, (10.0,) * 100,
            queue=0, catalogue=CatalogueLook(True, "as it was", sha256=judging.sha256(self.live)),
        )  # fmt: skip


class Ticking:
    """The machine's clock as a watch asks it, made up; it moves by two measurements at each wait."""

    def __init__(self):
        self.passed = 0.0

    def boot_id(self):
        return "boot"

    def seconds(self):
        return self.passed

    def now(self):
        return clock.now()

    def sleep(self, _):
        self.passed += 2.0


def watched(ws, plan, note, checkpoint):
    """The product's own watch of a canary."""
    ticking = Ticking()
    return watch_canary(ws, plan, note, checkpoint, collector=Well(ws.catalogue), clock=ticking, sleep=ticking.sleep)


CANARIES = []


def healthy(_):
    return Health("healthy", {"status": "healthy"}, "the service says it is healthy", 0.0)


deploying.Surroundings = around


def write(ws):
    """One file replaced, as every writer of a catalogue does it."""
    return write_atomic(ws.catalogue, [(ws.root / "new.json").read_bytes()])


OPERATIONS = {
    "backup": backup,
    "migrate": migrate,
    "write": write,
    "deploy": deploy,
    "rollback": rollback,
    "recover": recovery,
    "deploy with watch": deploy_with_watch,
    "deploy with canary": deploy_with_canary,
    "recover with watch": recovery_with_watch,
    "clean": clean,
    "edit": edit,
    "verify": verify,
    "look": look,
    "years of backups": years_of_backups,
}
