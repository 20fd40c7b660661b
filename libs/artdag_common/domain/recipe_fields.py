"""The small parts of a recipe: text, mappings without unknown keys, CIDs, and names that its registry explains."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from artdag_common.cid import is_cid, parse_cid
from artdag_common.domain.recipe_document import Located
from artdag_common.domain.recipe_problems import Problems

ENTRY = ("cid", "hash", "url", "description")

Assets = Callable[[str], str | None] | Mapping[str, str]


class FieldReader:
    """Reads parts. What is wrong is noted in ``problems``; something empty stands for it."""

    def __init__(self, problems: Problems, assets: Assets) -> None:
        """``assets`` are those that the recipe's own registry need not list."""
        self.problems = problems
        self.effects: dict[str, str] = {}  # CIDs by name, as the registry gives them; empty: it gives none
        self._assets: dict[str, str] = {}
        self._known = assets

    def mapping(self, item: Located, path: str) -> dict[str, Located]:
        if isinstance(item.value, dict):
            return item.value
        self.problems.add(item, path, f"{path.rpartition('.')[2]!r} is a mapping of names to values", item.plain())
        return {}

    def refuse_unknown(
        self, item: Located, path: str, known: Collection[str], allowed: Collection[str] | None = None
    ) -> None:
        """Note keys that nobody knows; and, where ``allowed`` is given, of the known ones those out of place."""
        for key, value in item.value.items() if isinstance(item.value, dict) else ():
            inner = f"{path}.{key}" if path else key
            if key not in known:
                self.problems.add(value, inner, f"unknown key {key!r}", key, known)
            elif allowed is not None and key not in allowed and path:
                self.problems.add(value, inner, f"{key!r} has no meaning beside the other keys here", value.plain())

    def text(self, mapping: Mapping[str, Located], key: str, longest: int, path: str = "") -> str:
        """Return a text. Numbers are taken as they are written, so that ``version: 1.10`` stays 1.10."""
        item = mapping.get(key)
        if item is None or item.value is None:
            return ""
        if isinstance(item.value, dict | list | bool):
            self.problems.add(item, f"{path}{key}", f"{key!r} is text", item.plain())
            return ""
        if len(item.raw) > longest and not self.problems.about(f"{path}{key}"):
            self.problems.add(item, f"{path}{key}", f"{key!r} has at most {longest:,} characters", item.raw)
        return item.raw

    def registry(self, top: Mapping[str, Located]) -> None:
        if "registry" not in top:
            return
        registry = self.mapping(top["registry"], "registry")
        self.refuse_unknown(top["registry"], "registry", {"assets", "effects"})
        for kind, found in (("assets", self._assets), ("effects", self.effects)):
            entries = self.mapping(registry[kind], f"registry.{kind}") if kind in registry else {}
            for name, entry in entries.items():
                found[name] = self._entry(entry, f"registry.{kind}.{name}", legacy=kind == "effects")

    def _entry(self, entry: Located, path: str, legacy: bool) -> str:
        """Return the CID of an entry. A hash of old times says nothing about a built-in effect: it is ignored."""
        if legacy and entry.value is None:
            return ""
        fields = self.mapping(entry, path)
        self.refuse_unknown(entry, path, {*ENTRY})
        given = [key for key in ("cid", "hash") if key in fields]
        if len(given) == 2:
            self.problems.add(fields["hash"], f"{path}.hash", "'hash' is the old name of 'cid': give one of them")
        elif not given and not legacy:
            self.problems.add(entry, f"{path}.cid", "the 'cid' is missing")
        elif given and not (legacy and given == ["hash"] and not is_cid(fields["hash"].raw)):
            return self.cid(fields[given[0]], f"{path}.{given[0]}")
        return ""

    def asset(self, item: Located, path: str) -> str:
        """Return the CID of an asset: by its name in the registry or on this server, or given as a CID."""
        name = item.value
        if not isinstance(name, str):
            self.problems.add(item, path, "an asset is named by text", item.plain())
        elif name in self._assets:
            return self._assets[name]  # empty: its entry has a problem already
        elif is_cid(name):
            return parse_cid(name)
        elif found := self._known(name) if callable(self._known) else self._known.get(name):
            return parse_cid(found)
        else:
            known = {*self._assets, *(() if callable(self._known) else self._known)}
            self.problems.add(item, path, "no asset of this name, in registry.assets or on this server", name, known)
        return ""

    def cid(self, item: Located, path: str) -> str:
        if isinstance(item.value, str) and is_cid(item.value):
            return parse_cid(item.value)
        rule = "not a CID: give the 59 characters that begin with 'bafy' or 'bafk', or the 46 that begin with 'Qm'"
        self.problems.add(item, path, rule, item.plain())
        return ""
