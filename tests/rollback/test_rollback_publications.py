"""Which backup is the way back, with the history whole, torn or gone."""

from __future__ import annotations

import pytest
from publishing import Published, sha

from mobius_tui.recovery.backups import create_backup
from mobius_tui.recovery.history import HISTORY_NAME, note_act
from mobius_tui.recovery.journal import JOURNALS, Journal
from mobius_tui.rollback.emergency import keep_displaced
from mobius_tui.rollback.publications import WayBack, way_back
from mobius_tui.rollback.restore import exactly, keeping_others, restore_catalogue


def way(library: Published) -> WayBack:
    found = way_back(library.state, library.backups, library.live)
    assert found is not None
    return found


def back(library: Published, *, keep_new: bool = False) -> WayBack:
    """Roll back as the verb does, history included."""
    library.tick()
    found = way(library)
    target = found.backup.path.read_bytes()
    plan = keeping_others(target, published=found.published) if keep_new else exactly(target)
    done = restore_catalogue(
        library.live, plan, run_id=f"rollback-{library.now[0]:.0f}", emergency=library.emergency, who="t"
    )
    details = {"target": found.backup.name, "target_sha256": sha(target)}
    note_act(library.state, "rollback", "t", before=done.before, after=done.after, details=details)
    return found


def test_the_backup_of_the_publication_that_is_live(library: Published) -> None:
    library.publish()
    second = library.publish()
    create_backup(library.live, library.backups, reason="by hand", who="t")
    found = way(library)
    assert second is not None and found.backup.name == second.name
    assert found.certain
    assert found.published == sha(library.live.read_bytes())


def test_each_rollback_goes_one_further_back_and_the_last_finds_nothing(library: Published) -> None:
    made = [library.publish() for _ in range(3)]
    assert [back(library).backup.name for _ in range(3)] == [backup.name for backup in reversed(made) if backup]
    assert way_back(library.state, library.backups, library.live) is None


def test_a_publication_after_a_rollback_has_its_own_way_back(library: Published) -> None:
    first = library.publish()
    library.publish()
    back(library)
    third = library.publish()
    assert third is not None and way(library).backup.name == third.name
    back(library)
    assert first is not None and way(library).backup.name == first.name


def test_a_rollback_that_kept_others_changes_goes_further_back_too(library: Published) -> None:
    first = library.publish()
    library.publish()
    library.edit()
    back(library, keep_new=True)
    found = way(library)
    assert first is not None and found.backup.name == first.name
    assert found.published is None


def test_others_wrote_since_the_publication(library: Published) -> None:
    library.publish()
    second = library.publish()
    library.edit()
    found = way(library)
    assert second is not None and found.backup.name == second.name
    assert found.certain and found.published is None


def test_publications_without_a_backup_lead_to_the_one_before(library: Published) -> None:
    first = library.publish()
    library.publish(backup=False)
    library.publish(backup=False)
    found = way(library)
    assert first is not None and found.backup.name == first.name
    assert found.published is None


@pytest.mark.parametrize("damage", ["gone", "torn", "garbage"])
def test_without_a_history_the_run_in_the_live_text_tells(library: Published, damage: str) -> None:
    library.publish()
    second = library.publish()
    history = library.state / HISTORY_NAME
    if damage == "gone":
        history.unlink()
    else:
        history.write_bytes(b'{"torn' if damage == "torn" else b"\x00\xff\n[]\n17\n")
    found = way(library)
    assert second is not None and found.backup.name == second.name
    assert found.certain and found.published is None


def test_without_a_history_a_journal_tells(library: Published) -> None:
    library.publish()
    second = library.publish()
    assert second is not None
    run = second.reason.removeprefix("before ")
    (library.state / HISTORY_NAME).unlink()
    second.path.with_name(f"{second.name}.meta.json").unlink()  # its reason is gone
    journal = Journal.create(library.state / JOURNALS, run, kind="deploy")
    journal.note("step", step="backup", state="done", backup=second.name)
    journal.close()
    assert way(library).backup.name == second.name


def test_without_any_record_the_newest_verified_one_that_differs(library: Published) -> None:
    library.publish()
    second = library.publish()
    (library.state / HISTORY_NAME).unlink()
    library.write('{"images": []}')
    library.tick()
    create_backup(library.live, library.backups, reason="by hand", who="t")
    found = way(library)
    assert second is not None and found.backup.name == second.name
    assert not found.certain


@pytest.mark.parametrize("damage", [None, b"", b'{"images": [{"path'])
def test_a_damaged_or_missing_live_file(library: Published, damage: bytes | None) -> None:
    library.publish()
    second = library.publish()
    library.live.unlink() if damage is None else library.write(damage)
    found = way(library)
    assert second is not None and found.backup.name == second.name
    assert found.published is None


def test_a_live_file_damaged_after_a_rollback_gets_the_same_backup_again(library: Published) -> None:
    library.publish()
    library.publish()
    restored = back(library).backup.name
    library.write(b"torn")
    assert way(library).backup.name == restored


def test_emergency_copies_are_never_the_way_back(library: Published) -> None:
    staged = library.live.with_name("staged")
    staged.write_bytes(b'{"images": [{"path": "z"}]}')
    keep_displaced(staged, library.live, library.emergency, run_id="rollback-20261120T120000Z", who="t", reason="")
    assert way_back(library.state, library.backups, library.live) is None


def test_an_encrypted_backup_is_passed_over_with_a_word_why(library: Published) -> None:
    first = library.publish()
    second = library.publish()
    assert first is not None and second is not None
    history = library.state / HISTORY_NAME
    history.write_text(history.read_text().replace(second.name, f"{second.name}.age"))
    for side in ("", ".sha256", ".meta.json"):
        second.path.with_name(second.name + side).replace(second.path.with_name(f"{second.name}.age{side}"))
    found = way(library)
    assert found.backup.name == first.name and not found.certain
    assert "encrypted" in found.how


def test_substitutes_are_of_the_same_content_first_then_older(library: Published) -> None:
    first = library.publish()
    library.tick()
    same = create_backup(library.live, library.backups, reason="by hand", who="t")
    second = library.publish()
    library.tick()
    create_backup(library.live, library.backups, reason="newer, other content", who="t")
    found = way(library)
    assert first is not None and second is not None and found.backup.name == second.name
    assert [backup.name for backup in found.others] == [same.name, first.name]


def test_a_reused_old_backup_has_the_ones_made_since_in_its_place(library: Published) -> None:
    first = library.publish()
    second = library.publish()
    assert first is not None and second is not None
    library.live.write_bytes(first.path.read_bytes())
    library.publish(backup=False)  # its way back is the first backup, which has the content
    found = way(library)
    assert found.backup.name == first.name
    assert [backup.name for backup in found.others] == [second.name]


def test_history_that_leads_in_circles_ends(library: Published) -> None:
    before = library.live.read_bytes()
    one, other = sha(before), sha(b"other")
    for _ in range(3):
        note_act(library.state, "migrate", "t", before=one, after=other)
        note_act(library.state, "migrate", "t", before=other, after=one)
    assert way_back(library.state, library.backups, library.live) is None
