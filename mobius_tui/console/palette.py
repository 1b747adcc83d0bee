"""Roles of text turned into styles of a theme."""

from __future__ import annotations

from dataclasses import dataclass

from rich.style import Style
from textual.theme import Theme as TextualTheme

from mobius_tui.console.glyphs import ASCII, UNICODE, Glyphs
from mobius_tui.console.themes import Theme

_BOLD = {
    "strong",
    "live",
    "title_active",
    "production",
    "alarm",
    "production_alarm",
    "bad",
    "key",
    "tab_active",
    "border_active",
}
_REVERSED = {"cursor", "tab_active", "choice_active"}


@dataclass(frozen=True, slots=True)
class Look:
    """How the console looks: its characters and a style for each role of text."""

    glyphs: Glyphs
    styles: dict[str, Style]

    def style(self, role: str) -> Style:
        """The style of a role; plain text for an unknown one."""
        return self.styles.get(role) or self.styles[""]


def look_of(theme: Theme, *, ascii_only: bool = False) -> Look:
    """The look of a theme, with Unicode or ASCII characters."""
    c = theme.colors
    background = c["background"]
    pairs = {
        "": (c["foreground"], background),
        "strong": (c["strong"], background),
        "muted": (c["muted"], background),
        "border": (c["border"], background),
        "border_active": (c["focus"], background),
        "title": (c["foreground"], background),
        "title_active": (c["focus"], background),
        "accent": (c["accent"], background),
        "live": (c["warn"], background),
        "ok": (c["ok"], background),
        "warn": (c["warn"], background),
        "bad": (c["bad"], background),
        "bar": (c["bar"], background),
        "rest": (c["rest"], background),
        "key": (c["key"], background),
        "header": (c["header_foreground"], c["header_background"]),
        "production": (c["production_foreground"], c["production_background"]),
        "alarm": (c["background"], c["bad"]),
        "production_alarm": (c["production_background"], c["production_foreground"]),  # seen on a red ground, too
        "cursor": (c["cursor_foreground"], c["cursor_background"]),
        "tab_active": (c["cursor_foreground"], c["cursor_background"]),
        "choice_active": (c["cursor_foreground"], c["cursor_background"]),
    }
    styles: dict[str, Style] = {}
    for role, (front, back) in pairs.items():
        style = Style(color=front, bgcolor=back, bold=role in _BOLD)
        if theme.ansi and role in _REVERSED:
            style += Style(reverse=True)
        if theme.ansi and role == "muted":
            style += Style(dim=True)
        if theme.ansi and role == "header":
            style += Style(reverse=True)
        if theme.ansi and role == "production":  # reversed twice with colours, once under NO_COLOR: marked in both
            style = Style(color=back, bgcolor=front, bold=True, reverse=True)
        if theme.ansi and role == "alarm":
            style = Style(color=back, bgcolor=front, bold=True, reverse=True)
        styles[role] = style
    return Look(ASCII if ascii_only else UNICODE, styles)


def textual_theme(theme: Theme) -> TextualTheme:
    """The theme for the toolkit's own widgets: the text field, and the ground under everything."""
    c = {key: _toolkit_color(value) for key, value in theme.colors.items()}
    return TextualTheme(
        name=theme.name,
        primary=c["focus"],
        secondary=c["accent"],
        warning=c["warn"],
        error=c["bad"],
        success=c["ok"],
        accent=c["accent"],
        foreground=c["foreground"],
        background=c["background"],
        surface=c["background"],
        panel=c["background"],
        boost=c["background"],
        dark=theme.dark,
        ansi=theme.ansi,
        variables={
            "ansi-background": "ansi_default",  # the toolkit's own style sheet needs them in a theme with ansi colours
            "ansi-foreground": "ansi_default",
            "input-cursor-background": c["foreground"],
            "input-cursor-foreground": c["background"],
            "input-cursor-text-style": "reverse" if theme.ansi else "none",
        },
    )


def _toolkit_color(value: str) -> str:
    return value if value.startswith("#") else f"ansi_{value}"
