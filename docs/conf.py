"""How the documentation becomes a site: Sphinx reads the Markdown pages, and nothing is fetched from anywhere.

Owns the site's look and the directive that shows a picture of the product. It must never name a font, script or
style of another host.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

project = "Erios"
language = "en"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "Erios"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_theme_options: dict[str, Any] = {"footer_icons": []}
html_static_path = ["style"]
html_css_files = ["pictures.css"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
pictures_dir = "../build/pictures"

WIDTHS = (1280, 390)
"""Widths of the two pictures of a page, in pixels: a desk's and a phone's."""


class Picture(SphinxDirective):
    """A page of the product: its name in ``docs/pictures.py``, and what one sees on it."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        folder = Path(self.env.srcdir, self.config.pictures_dir)
        missing = [path for path in (self._file(folder, width) for width in WIDTHS) if not path.is_file()]
        if missing:
            raise self.error(f"no picture {missing[0].name} in {folder}: run `make site`, which takes them")
        return [nodes.raw("", self._html(), format="html")]

    def _file(self, folder: Path, width: int) -> Path:
        return folder / f"{self.arguments[0]}-{width}.png"

    def _html(self) -> str:
        said = html.escape(" ".join(self.content))
        desk, phone = (
            f"{'../' * self.env.docname.count('/')}_static/{self._file(Path(), width).name}" for width in WIDTHS
        )
        return (
            f'<figure class="screen"><a href="{desk}"><picture><source media="(max-width: 40em)" srcset="{phone}">'
            f'<img src="{desk}" alt="{said}" loading="lazy"></picture></a><figcaption>{said}</figcaption></figure>'
        )


def setup(app: Sphinx) -> None:
    """The directive, the pictures' folder, and the state diagrams as plain text."""
    app.add_config_value("pictures_dir", pictures_dir, "env", str)
    app.add_directive("picture", Picture)
    app.add_lexer("mermaid", TextLexer)
    app.connect("config-inited", _serve_pictures)


def _serve_pictures(app: Sphinx, config: Any) -> None:
    if Path(app.srcdir, config.pictures_dir).is_dir():
        config.html_static_path.append(config.pictures_dir)
