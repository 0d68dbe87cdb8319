"""What the listener says to a room: stanzas that ask, join and leave, and the answers taken apart. Pure."""

from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

from producer.live.xmpp.stanzas import CLIENT, bare, delayed, stamp_of

INFO = "http://jabber.org/protocol/disco#info"
MUC = "http://jabber.org/protocol/muc"
ARCHIVE = "urn:xmpp:mam:2"
STABLE_IDS = "urn:xmpp:sid:0"
FORM = "jabber:x:data"
PAGES = "{http://jabber.org/protocol/rsm}"
FORWARD = "{urn:xmpp:forward:0}forwarded"
PING = "urn:xmpp:ping"

PAGE = 100
"""Messages of an archive that are asked for at a time."""


def question(kind: str, to: str, identity: str, content: Element) -> Element:
    """An iq; `kind` is get or set."""
    iq = Element(f"{CLIENT}iq", {"type": kind, "to": to, "id": identity})
    iq.append(content)
    return iq


def ask_features() -> Element:
    """What can the room do?"""
    return Element(f"{{{INFO}}}query")


def features_of(iq: Element) -> frozenset[str]:
    """The names of what it can do."""
    return frozenset(feature.get("var", "") for feature in iq.iter(f"{{{INFO}}}feature"))


def ask_ping() -> Element:
    """Are you there?"""
    return Element(f"{{{PING}}}ping")


def join(room: str, nick: str, since: float | None) -> Element:
    """Enter the room; with what was said since a moment (Unix seconds), or without history."""
    presence = Element(f"{CLIENT}presence", {"to": f"{room}/{nick}"})
    content = SubElement(presence, f"{{{MUC}}}x")
    history = {"maxstanzas": "0"} if since is None else {"since": stamp_of(since)}
    SubElement(content, f"{{{MUC}}}history", history)
    return presence


def leave(room: str, nick: str) -> Element:
    """Go."""
    return Element(f"{CLIENT}presence", {"to": f"{room}/{nick}", "type": "unavailable"})


def ask_archive(query: str, *, after: str | None = None, start: float | None = None) -> Element:
    """A page of the archive, oldest first: behind an id, or from a moment on, or from its beginning."""
    content, page = _archive_query(query, PAGE)
    if start is not None:
        form = SubElement(content, f"{{{FORM}}}x", {"type": "submit"})
        _field(form, "FORM_TYPE", ARCHIVE, "hidden")
        _field(form, "start", stamp_of(start))
    if after:
        SubElement(page, f"{PAGES}after").text = after
    return content


def ask_newest(query: str) -> Element:
    """The newest message of the archive."""
    content, page = _archive_query(query, 1)
    SubElement(page, f"{PAGES}before")
    return content


def _archive_query(query: str, longest: int) -> tuple[Element, Element]:
    content = Element(f"{{{ARCHIVE}}}query", {"queryid": query})
    page = Element(f"{PAGES}set")
    content.append(page)
    SubElement(page, f"{PAGES}max").text = str(longest)
    return content, page


def _field(form: Element, name: str, value: str, kind: str | None = None) -> None:
    field = SubElement(form, f"{{{FORM}}}field", {"var": name, **({"type": kind} if kind else {})})
    SubElement(field, f"{{{FORM}}}value").text = value


@dataclass(frozen=True)
class Archived:
    """A message out of the archive: its id there, when it was said in Unix seconds, and the message itself."""

    id: str
    moment: float | None
    message: Element


def archived_of(stanza: Element, room: str, query: str) -> Archived | None:
    """What an answer to `query` carries; None where the stanza is no answer of the room itself."""
    result = stanza.find(f"{{{ARCHIVE}}}result")
    if result is None or stanza.get("from") != room or result.get("queryid") != query:
        return None
    forwarded = result.find(FORWARD)
    message = None if forwarded is None else forwarded.find(f"{CLIENT}message")
    if forwarded is None or message is None or bare(message.get("from", "")) != room:
        return None
    return Archived(result.get("id", ""), delayed(forwarded), message)


@dataclass(frozen=True)
class PageEnd:
    """The end of a page: the id of its last message, where there was one, and whether there is no other page."""

    last: str | None
    complete: bool


def page_end_of(iq: Element) -> PageEnd:
    """The answer that follows a page."""
    end = iq.find(f"{{{ARCHIVE}}}fin")
    if end is None:
        return PageEnd(None, True)
    return PageEnd(end.findtext(f"{PAGES}set/{PAGES}last"), end.get("complete") == "true")
