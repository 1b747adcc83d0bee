"""The registry of actions: what each writes, when it can, and that a read-only console has none that writes."""

from pathlib import Path

import pytest
from console_states import done, empty, failed, job, paused, running, store, with_job, workspace

from mobius_tui.console.actions import footer_actions, label_of, registry
from mobius_tui.errors import BadInput
from mobius_tui.store.database import open_database
from mobius_tui.store.jobs import add_job, find_job, list_jobs
from mobius_tui.system.processes import process_token

ACTIONS = {action.name: action for action in registry()}


@pytest.fixture
def ws(tmp_path):
    return workspace(tmp_path)


@pytest.fixture
def database(ws):
    connection = open_database(ws.database)
    yield connection
    connection.close()


def test_no_key_means_two_things():
    keys = [key for action in registry() for key in action.keys]
    assert len(keys) == len(set(keys))
    names = [action.name for action in registry()]
    assert len(names) == len(set(names))


def test_read_only_has_no_action_that_writes():
    looking = registry(read_only=True)
    assert [a.name for a in looking if a.writes or a.call or a.act or a.plan or a.question] == []
    assert {action.name for action in registry()} - {a.name for a in registry(read_only=True)} == {
        "dry_run", "migrate", "pause", "cancel", "backup", "start_worker", "deploy", "rollback", "verify", "pin",
        "restore", "clean", "answer", "watch", "accept", "extend", "snapshot", "auto", "acknowledge",
    }  # fmt: skip


def test_what_writes_is_done_in_one_way_and_says_what_it_does():
    for action in registry():
        ways = [way for way in (action.call, action.act, action.plan) if way is not None]
        assert len(ways) == int(action.writes), action.name
        assert action.description.endswith("."), action.name


def test_keys_that_change_the_catalogue_have_a_capital_and_a_question():
    for name in ("migrate", "cancel", "deploy", "rollback", "clean", "restore", "answer", "accept", "auto"):
        assert ACTIONS[name].shown.isupper()
        assert ACTIONS[name].question or ACTIONS[name].plan
    assert "not decoded again" in " ".join(ACTIONS["cancel"].question(running()).lines)


def test_production_wants_its_name_typed():
    assert ACTIONS["migrate"].question(running(environment="production")).typed == "production"
    assert ACTIONS["migrate"].question(running()).typed == ""


@pytest.mark.parametrize("kind", ["dry-run", "migrate"])
def test_asking_for_a_run_puts_a_job_in_the_queue(ws, database, kind):
    action = ACTIONS["dry_run" if kind == "dry-run" else "migrate"]
    said = action.call(ws, database, empty())
    (asked,) = list_jobs(database)
    assert (asked.kind, asked.state, asked.requested_by, asked.owner) == (kind, "queued", "ada", "")
    assert asked.options["dry_run"] is (kind == "dry-run")
    assert f"{kind} {asked.id}" in said


def test_a_second_run_is_refused_whatever_the_screen_showed(ws, database):
    ACTIONS["dry_run"].call(ws, database, empty())
    with pytest.raises(BadInput, match="already"):
        ACTIONS["migrate"].call(ws, database, empty())
    assert len(list_jobs(database)) == 1


@pytest.mark.parametrize("state", ["queued", "running", "paused", "interrupted"])
def test_a_run_under_way_keeps_another_from_starting_and_says_whose_it_is(state):
    why = ACTIONS["migrate"].able(with_job(state=state))
    assert "ada" in why
    assert state in why


@pytest.mark.parametrize("snapshot", [done(), failed(), empty()])
def test_a_run_can_start_when_none_is_under_way(snapshot):
    assert ACTIONS["migrate"].able(snapshot) is None
    assert ACTIONS["pause"].able(snapshot) == "nothing runs that could be paused"
    assert ACTIONS["cancel"].able(snapshot) == "nothing runs that could be cancelled"


def test_pause_and_resume(ws, database):
    row = add_job(database, "migrate", {}, "bob", owner=process_token())
    shown = running(store=store(jobs=(find_job(database, row.id),)))
    ACTIONS["pause"].call(ws, database, shown)
    assert (find_job(database, row.id).wanted, find_job(database, row.id).wanted_by) == ("pause", "ada")
    shown = running(store=store(jobs=(find_job(database, row.id),)))
    assert label_of(ACTIONS["pause"], shown) == "resume"
    ACTIONS["pause"].call(ws, database, shown)
    assert find_job(database, row.id).wanted == "run"


def test_cancel_means_the_job_under_way_and_not_one_that_waits(ws, database):
    first = add_job(database, "migrate", {}, "bob", owner=process_token())
    add_job(database, "backup", {}, "bob")
    shown = running(store=store(jobs=tuple(list_jobs(database))))
    said = ACTIONS["cancel"].call(ws, database, shown)
    assert find_job(database, first.id).wanted == "cancel"
    assert "asked to end" in said
    assert "already" in ACTIONS["cancel"].able(running(store=store(jobs=tuple(list_jobs(database)))))


def test_cancelling_what_waits_ends_it_at_once(ws, database):
    row = add_job(database, "backup", {}, "bob")
    said = ACTIONS["cancel"].call(ws, database, running(store=store(jobs=tuple(list_jobs(database)))))
    assert find_job(database, row.id).state == "cancelled"
    assert "is cancelled" in said


def test_a_job_that_ended_meanwhile_is_a_sentence(ws, database):
    with pytest.raises(BadInput):
        ACTIONS["pause"].call(ws, database, running(store=store(jobs=(job(id=99),))))


def test_backup_is_a_job_and_not_asked_for_twice(ws, database):
    ACTIONS["backup"].call(ws, database, empty())
    (asked,) = list_jobs(database)
    assert (asked.kind, asked.reason) == ("backup", "by hand")
    with pytest.raises(BadInput):
        ACTIONS["backup"].call(ws, database, empty())


def test_without_a_database_nothing_can_be_asked_for():
    for name in ("dry_run", "migrate", "backup", "pause", "cancel"):
        assert ACTIONS[name].able(running(problem="the disk is full")) == ("the disk is full"), name


def test_the_footer_offers_only_what_can_be_done():
    shown = [action.name for action in footer_actions(registry(), running())]
    assert shown == ["pause", "cancel", "backup", "rollback", "watch", "filter", "palette", "help", "quit"]
    shown = [a.name for a in footer_actions(registry(), running(pane="Backups", chosen=running().backups[1].name))]
    assert shown[:6] == ["verify", "pin", "restore", "clean", "backup", "rollback"]
    assert label_of(ACTIONS["pause"], paused()) == "resume"
    stopped = [action.name for action in footer_actions(registry(), running(worker_alive=False))]
    assert stopped[0] == "start_worker"


def test_later_features_are_absent():
    words = " ".join(f"{a.name} {a.label} {a.description}" for a in registry()).lower()
    for later in ("reject", "quarantine", "keep left"):
        assert later not in words
    assert not {"v", "a", "x"} & {key for action in registry() for key in action.keys}


def test_no_file_of_the_console_opens_the_catalogue():
    folder = Path(__file__).parents[2] / "mobius_tui" / "console"
    for path in folder.rglob("*.py"):
        text = path.read_text()
        assert "mobius_tui.catalogue" not in text, path
        if "widgets" in path.parts or "screens" in path.parts or "views" in path.parts:
            assert "sqlite3" not in text and "threading" not in text, path
