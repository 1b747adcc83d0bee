"""Events as lines: used by the migration pane for one run and by the logs for everything."""

from __future__ import annotations

from rich.cells import cell_len

from mobius_tui.console.glyphs import Glyphs
from mobius_tui.console.lines import Line, Span, columns, fit, fit_middle, outside
from mobius_tui.console.snapshot import Snapshot
from mobius_tui.console.views.view import Detail, labelled, long_time
from mobius_tui.store.events import Event
from mobius_tui.system.clock import clock_text


def fit_message(message: str, width: int) -> str:
    """A message in a width; a long path (``failed  PATH  REASON``) gives way in its middle, the rest at its end."""
    text = outside(message)
    parts = text.split("  ")
    if cell_len(text) > width and len(parts) > 2:
        parts[1] = fit_middle(parts[1], min(cell_len(parts[1]), width // 2))
        text = "  ".join(parts)
    return fit(text, width)


def level_mark(level: str, glyphs: Glyphs) -> Span:
    """The mark of a level: a state never shows by colour alone."""
    if level == "error":
        return glyphs.bad, "bad"
    if level == "warning":
        return glyphs.warn, "warn"
    return " ", ""


def event_line(event: Event, width: int, glyphs: Glyphs, _: Snapshot) -> Line:
    """Time, mark and message."""
    mark, role = level_mark(event.level, glyphs)
    return columns([(clock_text(event.at), "muted"), (mark, role), (fit_message(event.message, width - 11), role)], 1)


def event_line_with_source(event: Event, width: int, glyphs: Glyphs, snapshot: Snapshot) -> Line:
    """Time, mark, level, component and message; the last two words go when there is little room."""
    if width < 60:
        return event_line(event, width, glyphs, snapshot)
    mark, role = level_mark(event.level, glyphs)
    message = fit_message(event.message, width - 31)
    return columns(
        [
            (clock_text(event.at), "muted"),
            (mark, role),
            (fit(outside(event.level), 7), role or "muted"),
            (fit(outside(event.component), 11, ellipsis=glyphs.middle), "muted"),
            (message, role),
        ],
        1,
    )


def event_words(event: Event) -> str:
    """What a filter searches."""
    return f"{event.level} {event.component} {event.event} {event.message} {event.run_id}"


def event_detail(event: Event, _: Snapshot) -> list[Detail]:
    """Everything about an event."""
    return [
        labelled("time", long_time(event.at)),
        labelled("level", event.level),
        labelled("component", event.component),
        labelled("event", event.event),
        labelled("run", event.run_id),
        labelled("message", event.message),
        *(labelled(name, value) for name, value in event.fields.items()),
    ]
