"""Reads a document for what a strict policy would keep from working, and for where it leads."""

from __future__ import annotations

from html.parser import HTMLParser


class Inline(HTMLParser):
    """What was found in the documents that were fed.

    Attributes:
        found: scripts, styles and handlers that stand in them.
        links: addresses that they lead to.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at an element."""
        given = dict(attrs)
        if (tag == "script" and "src" not in given and given.get("type") != "application/json") or tag == "style":
            self.found.append(f"<{tag}>")
        self.found += [f"<{tag} {name}>" for name in given if name == "style" or name.startswith(("on", "hx-on"))]
        self.found += [f"<{tag} {name}={value}>" for name, value in attrs if (value or "").startswith("javascript:")]
        if tag == "a" and given.get("href"):
            self.links.add(given["href"] or "")
