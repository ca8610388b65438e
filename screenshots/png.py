"""Draws the pictures of this directory as PNG files in ``build/``, to be looked at: ``make screenshots-png``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from resvg import render, usvg

HERE: Final = Path(__file__).resolve().parent
BUILD: Final = HERE.parent / "build"
FONT: Final = "DejaVu Sans Mono"
"""Pictures name a font of the web, which is not loaded; this one has all signs of the screen."""


def main() -> None:
    """Make a PNG file of every picture."""
    options = usvg.Options.default()
    options.load_system_fonts()
    options.font_family = FONT
    BUILD.mkdir(exist_ok=True)
    for path in sorted(HERE.glob("*.svg")):
        tree = usvg.Tree.from_str(path.read_text().replace("Fira Code", FONT), options)
        target = BUILD / f"{path.stem}.png"
        target.write_bytes(bytes(render(tree, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))))
        print(target.relative_to(HERE.parent))


if __name__ == "__main__":
    main()
