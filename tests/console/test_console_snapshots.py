"""Pictures of the console in its states; the clock stands still, nothing blinks."""

import pytest
from console_states import NOW, console, done, empty, failed, hostile, paused, running, with_job
from publish_states import deploy_done, deploy_failed, deploy_migrating, deploying, rolling_back
from watch_states import (
    alerts_raised,
    guard_killed,
    watch_canary,
    watch_failing,
    watch_rolled_back,
    watch_undecided,
    watching,
)

NARROW, WIDE = (80, 24), (160, 48)

CASES = {
    "running_wide": (running, WIDE, (), {}),
    "running_narrow": (running, NARROW, (), {}),
    "running_light_wide": (running, WIDE, (), {"theme": "mobius-light"}),
    "running_ansi_wide": (running, WIDE, (), {"theme": "mobius-ansi"}),
    "running_ascii_narrow": (running, NARROW, (), {"ascii_only": True}),
    "backups_narrow": (running, NARROW, ("1",), {}),
    "metrics_narrow": (running, NARROW, ("3",), {}),
    "review_narrow": (running, NARROW, ("4", "down", "down"), {}),
    "logs_narrow": (running, NARROW, ("6",), {}),
    "jobs_narrow": (running, NARROW, ("7",), {}),
    "paused_narrow": (paused, NARROW, (), {}),
    "failed_narrow": (failed, NARROW, (), {}),
    "done_wide": (done, WIDE, (), {}),
    "empty_wide": (empty, WIDE, (), {}),
    "empty_narrow": (empty, NARROW, (), {}),
    "production_asks_narrow": (
        lambda: running(store=empty().store, environment="production"), NARROW, ("M", "p", "r"), {}),
    "asks_to_cancel_wide": (running, WIDE, ("C",), {}),
    "read_only_narrow": (lambda: running(read_only=True), NARROW, (), {}),
    "help_narrow": (running, NARROW, ("question_mark",), {}),
    "palette_narrow": (running, NARROW, ("colon",), {}),
    "hostile_wide": (hostile, WIDE, ("4",), {}),
    "hostile_logs_narrow": (hostile, NARROW, ("6",), {}),
    "worker_stopped_narrow": (
        lambda: running(worker_alive=False, store=with_job(state="interrupted").store), NARROW, (), {}),
    "database_gone_narrow": (
        lambda: running(problem="the database cannot be used: disk I/O error", stale_since=NOW - 60), NARROW, (), {}),
    "backup_chosen_wide": (done, WIDE, ("1", "down"), {}),
    "deploying_wide": (deploying, WIDE, (), {}),
    "deploying_narrow": (deploying, NARROW, (), {}),
    "deploying_short_wide": (deploying, (120, 24), (), {}),
    "deploy_migrating_narrow": (deploy_migrating, NARROW, (), {}),
    "deploy_failed_narrow": (deploy_failed, NARROW, (), {}),
    "deploy_failed_light_wide": (deploy_failed, WIDE, (), {"theme": "mobius-light"}),
    "deploy_done_ansi_narrow": (deploy_done, NARROW, (), {"theme": "mobius-ansi"}),
    "deploy_done_ascii_narrow": (deploy_done, NARROW, (), {"ascii_only": True}),
    "asks_to_cancel_deploy_narrow": (deploying, NARROW, ("C",), {}),
    "rollback_without_database_narrow": (rolling_back, NARROW, (), {}),
    "watch_narrow": (watching, NARROW, ("5",), {}),
    "watch_wide": (watching, WIDE, (), {}),
    "watch_keys_wide": (watching, WIDE, ("5",), {}),
    "watch_ansi_narrow": (watching, NARROW, ("5",), {"theme": "mobius-ansi"}),
    "watch_failing_narrow": (watch_failing, NARROW, ("5",), {}),
    "watch_failing_light_wide": (watch_failing, WIDE, (), {"theme": "mobius-light"}),
    "watch_asks_to_accept_narrow": (watch_failing, NARROW, ("5", "Y"), {}),
    "watch_undecided_narrow": (watch_undecided, NARROW, ("5",), {}),
    "watch_rolled_back_narrow": (watch_rolled_back, NARROW, ("5",), {}),
    "watch_rolled_back_wide": (watch_rolled_back, WIDE, (), {}),
    "guard_dead_narrow": (guard_killed, NARROW, ("5",), {}),
    "canary_wide": (watch_canary, WIDE, (), {}),
    "alerts_narrow": (alerts_raised, NARROW, ("3",), {}),
    "alerts_ansi_wide": (alerts_raised, WIDE, (), {"theme": "mobius-ansi"}),
    "tiny": (running, (20, 5), (), {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_picture(snap_compare, case):
    state, size, keys, options = CASES[case]
    assert snap_compare(console(state(), **options), terminal_size=size, press=keys)


def test_no_color_picture(snap_compare, monkeypatch):
    """NO_COLOR: the terminal's own two colours, states by mark, bold and reverse."""
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(console(running(environment="production"), theme="mobius-ansi"), terminal_size=NARROW)
