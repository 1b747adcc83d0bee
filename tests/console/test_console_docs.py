"""The key table in docs/console.md is the registry's."""

from pathlib import Path

from mobius_tui.console.actions import registry

PAGE = Path(__file__).parents[2] / "docs" / "console.md"


def key_table() -> str:
    """The table as it has to stand in the page."""
    rows = [
        f"| `{action.shown}` | `{action.name}` | {action.description} | {'yes' if action.writes else ''} |"
        for action in registry()
    ]
    return "\n".join(["| key | action | what it does | changes something |", "|---|---|---|---|", *rows])


def test_every_key_is_in_the_docs_as_it_is():
    assert key_table() in PAGE.read_text("utf-8"), f"put this into {PAGE.name}:\n{key_table()}"
