"""`Explanation`: what holds for a URL, who decided it, what was learned of its host, and what a request would get now.

Knows: names, texts, and how they are shown to people and programs. Credentials are not in it: values of header fields
    that may be secrets are hidden, and so are users and passwords of proxies.
Does not know: configuration and pools; `pools/explain.py` asks them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, NamedTuple

from keeppool.tables import as_html, printable, shortened

#: The version of what `Explanation.to_dict` gives; see `keeppool.stats.SCHEMA`.
SCHEMA: Final = 1
#: Characters of a value that are shown on a line: with a setting's name before it and who decided behind it, 80.
_LONGEST_VALUE: Final = 32
#: Where nothing was said.
BUILT_IN: Final = "default"


class Setting(NamedTuple):
    """What holds, and who says so.

    Attributes:
        topic: What it is about: "limits", "timeout", "way", "tls" or "request".
        name: The field of `Limits`, `Timeout` or `HostConfig`; for header fields with the field's name behind it.
        value: As `repr` writes it, without secrets.
        decided_by: The entry that has the last word, such as `hosts["*.example.com"]`, `defaults`, `limits`,
            `session.verify`, `environment`; `default` where nobody has said anything.
    """

    topic: str
    name: str
    value: str
    decided_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What holds for a URL, as it is now.

    Attributes:
        url: Without user and password.
        origin: Whose connections the URL's requests share, as in `Stats.hosts`.
        entries: The patterns of `hosts` that match, the most specific first.
        settings: Every setting with who decided it.
        learned: What servers' behaviour has taught about this origin, a sentence each.
        now: What a request would get, by kind of request: "repeatable" (a GET), and "unrepeatable" (a POST).

    Printed it is a table; a notebook draws one.
    """

    url: str
    origin: str
    entries: tuple[str, ...]
    settings: tuple[Setting, ...]
    learned: tuple[str, ...]
    now: Mapping[str, str]

    def setting(self, name: str) -> Setting:
        """Give the setting of this name; where two topics have one, such as `total`, the first or "topic.name".

        Raises:
            KeyError: There is none.
        """
        for setting in self.settings:
            if name in (setting.name, f"{setting.topic}.{setting.name}"):
                return setting
        raise KeyError(name)

    def renamed(self, word: Callable[[Setting], str]) -> Explanation:
        """Name those who decide in other words, such as the tables of a file.

        Args:
            word: Given a setting, what its `decided_by` is to be.
        """
        return replace(self, settings=tuple([one._replace(decided_by=word(one)) for one in self.settings]))

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON, with `schema`, the version of what the keys mean (now 1)."""
        return {"schema": SCHEMA, **asdict(self), "settings": [one._asdict() for one in self.settings]}

    def to_json(self, *, indent: int | None = None) -> str:
        """Write `to_dict` as JSON.

        Args:
            indent: As for `json.dumps`.
        """
        return json.dumps(self.to_dict(), indent=indent)

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Explanation:
        """Read what `to_dict` has given.

        Args:
            told: As `json.loads` gives it.

        Raises:
            ValueError: Its schema is another one.
        """
        if told.get("schema") != SCHEMA:
            text = f"this explanation has schema {told.get('schema')!r}; this version of keeppool reads {SCHEMA}"
            raise ValueError(text)
        return cls(
            url=told["url"],
            origin=told["origin"],
            entries=tuple(told["entries"]),
            settings=tuple([Setting(**{name: one[name] for name in Setting._fields}) for one in told["settings"]]),
            learned=tuple(told["learned"]),
            now=dict(told["now"]),
        )

    def __str__(self) -> str:
        lines = [printable(self.url), *(f"{label:<10}{printable(text)}" for label, text in self._facts())]
        names = max(len(one.name) for one in self.settings) + 2
        values = max(len(shortened(one.value, _LONGEST_VALUE)) for one in self.settings) + 2
        topic = ""
        for one in self.settings:
            if one.topic != topic:
                topic = one.topic
                lines += ["", topic]
            value = shortened(one.value, _LONGEST_VALUE)
            lines.append(f"  {printable(one.name):<{names}}{value:<{values}}{printable(one.decided_by)}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [(f"{one.topic}.{one.name}", one.value, one.decided_by) for one in self.settings]
        return as_html(self.url, self._facts(), ("setting", "value", "decided by"), rows)

    def _facts(self) -> list[tuple[str, str]]:
        entries = ", ".join(self.entries) or "none"
        facts = [("origin", self.origin), ("entries", entries)]
        facts += [("learned", text) for text in self.learned or ("nothing",)]
        now = list(self.now.items())
        if len(set(self.now.values())) == 1:
            return [*facts, ("now", now[0][1])]
        return [*facts, *(("now", f"{kind}: {text}") for kind, text in now)]
