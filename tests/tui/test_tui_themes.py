"""Themes: complete, readable where they say so, and changed while the dashboard is on the screen."""

from __future__ import annotations

import pytest
from rich.style import Style
from scenes import diamond
from stage import Stage, staged

from qtui.tui.roles import AUTO, THEME_NAMES, Role
from qtui.tui.theme import THEMES, Theme, theme_for

EVERY = pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)


def colours(theme: Theme) -> set[str]:
    """The names of the colours in which a theme writes."""
    return {name_of(style) for style in theme.styles.values()} - {""}


def name_of(style: Style) -> str:
    return style.color.name if style.color is not None and not style.color.is_default else ""


def test_themes_are_offered_by_their_names() -> None:
    assert tuple(THEMES) == THEME_NAMES
    assert [theme.name for theme in THEMES.values()] == list(THEMES)


@EVERY
def test_a_theme_has_a_style_for_every_role(theme: Theme) -> None:
    assert set(theme.styles) == set(Role)


@EVERY
def test_a_theme_uses_the_terminal_s_own_palette(theme: Theme) -> None:
    for style in (*theme.styles.values(), theme.selected, theme.selected_blurred):
        for colour in (style.color, style.bgcolor):
            assert colour is None or colour.is_default or colour.is_system_defined


@EVERY
def test_bad_news_do_not_look_like_good_ones(theme: Theme) -> None:
    for bad in (Role.ERROR, Role.TIMEOUT, Role.LOUD_ERROR, Role.LOUD_TIMEOUT, Role.LOUD_STOPPING):
        for good in (Role.SUCCESS, Role.CACHED, Role.PRIMARY, Role.TEXT):
            assert theme.style(bad) != theme.style(good) or (theme.name == "mono" and good is Role.PRIMARY)


@EVERY
def test_what_waits_for_a_person_does_not_look_like_a_failure(theme: Theme) -> None:
    ask, fail = theme.style(Role.WARNING), theme.style(Role.ERROR)
    assert name_of(ask) != name_of(fail) or (theme.name in ("cvd", "mono") and ask != fail)


PALETTES = {
    "xterm": "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5 "
    "7f7f7f ff0000 00ff00 ffff00 5c5cff ff00ff 00ffff ffffff",
    "vga": "000000 aa0000 00aa00 aa5500 0000aa aa00aa 00aaaa aaaaaa "
    "555555 ff5555 55ff55 ffff55 5555ff ff55ff 55ffff ffffff",
    "tango": "000000 cc0000 4e9a06 c4a000 3465a4 75507b 06989a d3d7cf "
    "555753 ef2929 8ae234 fce94f 729fcf ad7fa8 34e2e2 eeeeec",
    "vscode": "000000 cd3131 0dbc79 e5e510 2472c8 bc3fbc 11a8cd e5e5e5 "
    "666666 f14c4c 23d18b f5f543 3b8eea d670d6 29b8db e5e5e5",
    "macos": "000000 990000 00a600 999900 0000b2 b200b2 00a6b2 bfbfbf "
    "666666 e50000 00d900 e5e500 0000ff e500e5 00e5e5 e5e5e5",
}  # fmt: skip
BLACK, WHITE = "000000", "ffffff"
READABLE = 2.3
"""Green on white is 2.2 in the palette of xterm, and nobody wants to read it."""


def luminance(colour: str) -> float:
    """As WCAG has it."""
    shares = (int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4))
    red, green, blue = (each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4 for each in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(style: Style, palette: list[str], background: str) -> float:
    """Between a text and what is behind it."""
    text = palette[style.color.number or 0] if style.color is not None else (WHITE if background == BLACK else BLACK)
    behind = palette[style.bgcolor.number or 0] if style.bgcolor is not None else background
    darker, lighter = sorted((luminance(text), luminance(behind)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(
    ("name", "background"), [("dark", BLACK), ("light", WHITE), ("cvd", BLACK), ("cvd", WHITE), ("mono", WHITE)]
)
@pytest.mark.parametrize("palette", PALETTES)
def test_all_that_is_written_can_be_read(name: str, background: str, palette: str) -> None:
    for role, style in THEMES[name].styles.items():
        assert contrast(style, PALETTES[palette].split(), background) >= READABLE, role


def test_no_meaning_hangs_on_red_and_green() -> None:
    cvd = THEMES["cvd"]
    behind = {style.bgcolor.name for style in cvd.styles.values() if style.bgcolor is not None}
    assert not [name for name in (*colours(cvd), *behind) if "red" in name or "green" in name]
    assert name_of(cvd.style(Role.SUCCESS)) == "bright_blue"
    assert cvd.style(Role.LOUD_ERROR).bgcolor == Style(bgcolor="yellow").bgcolor


def test_mono_has_no_colours() -> None:
    assert not colours(THEMES["mono"])


@pytest.mark.parametrize(
    ("told", "theme"),
    [("", "dark"), ("15;0", "dark"), ("0;15", "light"), ("0;default;15", "light"), ("0;7", "light"), ("x", "dark")],
)
def test_the_terminal_s_background_decides_unless_a_theme_is_named(told: str, theme: str) -> None:
    assert theme_for(AUTO, {"COLORFGBG": told}).name == theme
    assert theme_for("cvd", {"COLORFGBG": told}).name == "cvd"


def styles_of(stage: Stage, text: str) -> list[Style]:
    return [segment.style for segment in stage.segments() if segment.text.strip() == text and segment.style]


async def test_t_goes_to_the_next_theme_and_paints_everything_anew() -> None:
    session = diamond()
    session.completes("fetch")
    async with staged(session) as stage:
        await stage.shows("run")
        for name in ("light", "cvd", "mono", "dark"):
            await stage.press("T")
            await stage.shows(f"theme: {name}")
            colour = name_of(THEMES[name].style(Role.PRIMARY))
            await stage.until(
                lambda colour=colour: all(name_of(style) == colour for style in styles_of(stage, "run")),  # type: ignore[misc]
                f"run in {colour or 'no colour'}",
            )
            drawn = {name_of(segment.style) for segment in stage.segments() if segment.style}
            assert (drawn <= {""}) == (name == "mono")  # borders, too


async def test_without_colours_there_are_no_themes() -> None:
    async with staged(diamond(), color=False) as stage:
        await stage.press("T")
        await stage.shows("colours are off")
        assert stage.app.palette.name == "mono"
