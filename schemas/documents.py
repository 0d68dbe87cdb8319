"""The schemas as files for other tools, made from the types: `python -m schemas.documents docs` writes them."""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from schemas import topics
from schemas.message import json_schema

JSON_SCHEMA = "chat-line.schema.json"
ASYNCAPI = "asyncapi.json"

_HEADERS = {
    topics.ORIGIN_TOPIC: "The topic that the line stood in, or was meant for",
    topics.ORIGIN_PARTITION: "Its partition there",
    topics.ORIGIN_OFFSET: "Its offset there",
    topics.STAGE: "Who found it bad: read, parse or store",
    topics.ERROR_CLASS: "What is wrong, as a word: malformed, invalid, timestamp, empty, refused or oversize",
    topics.ERROR_TEXT: "What is wrong, as a sentence",
    topics.CONTENT: "line: the value is the line's bytes; reference: it is a LineReference",
}


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document of both topics."""
    _, components = msgspec.json.schema_components([topics.LineReference], ref_template="#/components/schemas/{name}")
    line = {key: value for key, value in json_schema().items() if key != "$schema"}
    headers = {"type": "object", "properties": {n: {"type": "string", "description": d} for n, d in _HEADERS.items()}}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "chatferry", "version": "1", "description": "Chat lines on their way into a table."},
        "defaultContentType": "application/json",
        "channels": {
            "lines": {
                "address": topics.DEFAULT_TOPIC,
                "description": "One record a line, its bytes untouched.",
                "messages": {"line": {"payload": {"$ref": "#/components/schemas/ChatLine"}}},
            },
            "deadLetters": {
                "address": topics.dead_letter_topic(topics.DEFAULT_TOPIC),
                "description": "One record a bad line, its bytes and key untouched.",
                "messages": {
                    "line": {"headers": headers, "contentType": "application/octet-stream"},
                    "reference": {"headers": headers, "payload": {"$ref": "#/components/schemas/LineReference"}},
                },
            },
        },
        "operations": {
            "produce": {"action": "send", "channel": {"$ref": "#/channels/lines"}},
            "consume": {"action": "receive", "channel": {"$ref": "#/channels/lines"}},
            "setAside": {"action": "send", "channel": {"$ref": "#/channels/deadLetters"}},
        },
        "components": {"schemas": {"ChatLine": line, **components}},
    }


def documents() -> dict[str, str]:
    """The files: name and content."""
    made = {JSON_SCHEMA: json_schema(), ASYNCAPI: asyncapi()}
    return {name: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for name, content in made.items()}


if __name__ == "__main__":
    for name, content in documents().items():
        (Path(sys.argv[1]) / name).write_text(content, "utf-8")
