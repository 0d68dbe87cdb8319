"""Exports: each becomes exactly these rows, what cannot be mapped stays as it is, and ids tell all messages apart."""

import gzip
import json
import os
import zipfile
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from producer.exports.conversion import Conversion, conversion_of, local, zone_of
from producer.exports.opening import check_followed, check_input, open_input
from producer.exports.source import FORMATS, ExportSource
from producer.exports.text import LONGEST_LINE, Ids
from producer.exports.whatsapp import LONGEST_MESSAGE, saying_of
from producer.sources.piped import StandardInput
from schemas.errors import BadLine, Stop, UsageProblem
from schemas.message import Row, parse
from schemas.settings import EXPORT_FORMATS, SETTINGS
from tests.exports.samples import (
    BAD,
    IRSSI,
    ROWS,
    SAMPLES,
    WEECHAT,
    WHATSAPP_ANDROID,
    discord_json,
    irssi_log,
    mattermost_jsonl,
    same_json,
    slack_folder,
    tarred,
    telegram_account,
    telegram_chat,
    whatsapp_txt,
    zipped,
    zulip_folder,
)

AUTO = Conversion()


def never() -> bool:
    return False


def text_of(path: Path, how: Conversion = AUTO, size: int = 1 << 20) -> bytes:
    source = open_input(str(path), never, how)
    try:
        return b"".join(iter(lambda: source.read(size), b""))
    finally:
        source.close()


def converted(path: Path, how: Conversion = AUTO) -> tuple[list[Row], list[bytes]]:
    """The rows and the bad lines that an export becomes."""
    rows, bad = [], []
    for line in text_of(path, how).split(b"\n"):
        try:
            if line.strip():
                rows.append(parse(line))
        except BadLine:
            bad.append(line)
    return rows, bad


def without_ids(rows: list[Row]) -> list[tuple[str | None, ...]]:
    return [row[1:] for row in rows]


def ids(rows: list[Row]) -> list[str]:
    return [row[0] for row in rows]


# --- every format -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_export_is_recognized_and_becomes_exactly_its_rows(name: str, tmp_path: Path) -> None:
    rows, bad = converted(SAMPLES[name](tmp_path))
    assert without_ids(rows) == ROWS[name]
    assert [same_json(line) for line in bad] == BAD[name]
    assert len(set(ids(rows))) == len(rows)


@pytest.mark.parametrize("name", SAMPLES)
def test_export_that_is_named_by_its_format_becomes_the_same(name: str, tmp_path: Path) -> None:
    path = SAMPLES[name](tmp_path)
    assert text_of(path, Conversion(format=name)) == text_of(path)


@pytest.mark.parametrize("name", SAMPLES)
def test_export_read_in_small_pieces_becomes_the_same(name: str, tmp_path: Path) -> None:
    path = SAMPLES[name](tmp_path)
    assert text_of(path, size=7) == text_of(path)


@pytest.mark.parametrize("name", SAMPLES)
def test_other_network_stands_in_sites_and_ids(name: str, tmp_path: Path) -> None:
    rows, _ = converted(SAMPLES[name](tmp_path), Conversion(network="acme"))
    own = {row[2].partition("/")[2] for row in ROWS[name]}
    assert {row[3] for row in rows} == {f"acme/{channel}" for channel in own}
    assert all(row[0].startswith("acme/") for row in rows)


@pytest.mark.parametrize("name", SAMPLES)
def test_zip_of_the_export_becomes_the_same_rows(name: str, tmp_path: Path) -> None:
    path = SAMPLES[name](tmp_path)
    folder = path if path.is_dir() else path.parent
    rows, bad = converted(zipped(folder))
    assert [row[1:3] + row[4:] for row in rows] == [row[:2] + row[3:] for row in ROWS[name]]
    assert [same_json(line) for line in bad] == BAD[name]


@pytest.mark.parametrize("make", [discord_json, whatsapp_txt, irssi_log, mattermost_jsonl])
def test_compressed_export_becomes_the_same_rows(make: object, tmp_path: Path) -> None:
    assert callable(make)
    path = make(tmp_path)
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert text_of(packed) == text_of(path)


# --- Slack ------------------------------------------------------------------------------------------------------


def test_slack_ids_are_channel_and_timestamp(tmp_path: Path) -> None:
    rows, _ = converted(slack_folder(tmp_path))
    assert ids(rows)[:2] == ["slack/D1/1714550500.5", "slack/C1/1714550400.000100"]


def test_slack_zip_with_a_folder_at_its_top_becomes_the_same(tmp_path: Path) -> None:
    folder = slack_folder(tmp_path)
    assert text_of(zipped(folder, top="workspace/")) == text_of(folder)


def test_one_file_of_a_slack_export_stops(tmp_path: Path) -> None:
    day = slack_folder(tmp_path) / "general" / "2024-05-01.json"
    with pytest.raises(Stop, match="a slack export is a folder or an archive"):
        text_of(day, Conversion(format="slack"))


def test_slack_list_that_is_none_stops_with_its_name(tmp_path: Path) -> None:
    folder = slack_folder(tmp_path)
    (folder / "users.json").write_text('[{"name": "no id"}]')
    with pytest.raises(Stop, match=r"users\.json: not as Slack writes it"):
        text_of(folder)


# --- Discord, Telegram ------------------------------------------------------------------------------------------


def test_discord_ids_are_channel_and_message(tmp_path: Path) -> None:
    assert ids(converted(discord_json(tmp_path))[0])[0] == "discord/77/1001"


def test_other_json_taken_for_discord_stops_with_its_name(tmp_path: Path) -> None:
    discord_json(tmp_path)
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(Stop, match=r"other\.json is no JSON of DiscordChatExporter"):
        text_of(tmp_path)


def test_telegram_of_an_old_version_has_numbers_for_users(tmp_path: Path) -> None:
    said = b'{"id":1,"type":"message","date":"2018-09-01T10:00:00","from_id":4711,"text":"hi"}'
    path = tmp_path / "result.json"
    path.write_bytes(b'{"name":null,"type":"personal_chat","id":9876543210,"messages":[' + said + b"]}")
    row = ("telegram/9876543210/1", "4711", "message", "telegram/9876543210", "2018-09-01 10:00:00.000000", "hi")
    assert converted(path) == ([row], [])


def test_account_of_telegram_has_all_its_chats_with_the_ids_of_a_single_one(tmp_path: Path) -> None:
    account, _ = converted(telegram_account(tmp_path))
    single, _ = converted(telegram_chat(tmp_path))
    assert account[:4] == single
    assert account[4:] == [
        ("telegram/99/1", "Eve", "message", "telegram/99", "2024-05-01 08:00:00.000000", "hello"),
        ("telegram/5/1", "Eve", "message", "telegram/News", "2024-05-01 08:00:00.000000", "extra"),
    ]


def test_telegram_times_of_old_exports_are_in_the_zone_that_is_given(tmp_path: Path) -> None:
    rows, _ = converted(telegram_chat(tmp_path), Conversion(zone=ZoneInfo("Europe/Berlin")))
    assert rows[-1][4] == "2024-05-01 08:00:04.000000"
    assert rows[0][4] == "2024-05-01 08:00:00.000000"


@pytest.mark.parametrize("cut", [150, 700, -3])
def test_document_that_is_cut_short_gives_what_came_before_and_stops_with_the_place(cut: int, tmp_path: Path) -> None:
    path = telegram_chat(tmp_path) / "result.json"
    whole = text_of(path)
    path.write_bytes(path.read_bytes()[:cut])
    source = open_input(str(path), never, Conversion(format="telegram"))
    pieces: list[bytes] = []
    with pytest.raises(Stop, match=r"result\.json: ends in the middle of its JSON, at byte"):
        pieces.extend(iter(lambda: source.read(1), b""))
    source.close()
    assert whole.startswith(b"".join(pieces))


# --- WhatsApp ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "order", "moment"),
    [
        ("31/12/2024, 23:59 - ", None, "2024-12-31 23:59:00"),
        ("12/31/24, 11:59 PM - ", None, "2024-12-31 23:59:00"),
        ("12/31/24, 12:05\u202fAM - ", None, "2024-12-31 00:05:00"),
        ("31.12.24, 23:59 - ", None, "2024-12-31 23:59:00"),
        ("31-12-2024 23:59 - ", None, "2024-12-31 23:59:00"),
        ("31/12/24 11:59 p. m. - ", None, "2024-12-31 23:59:00"),
        ("2024-12-31, 23:59 - ", None, "2024-12-31 23:59:00"),
        ("2024/12/31, 23:59 - ", None, "2024-12-31 23:59:00"),
        ("[31.12.24, 23:59:58] ", None, "2024-12-31 23:59:58"),
        ("\u200e[12/31/24, 11:59:58\u202fPM] ", None, "2024-12-31 23:59:58"),
        ("[31.12.2024 klo 23.59.58] ", None, "2024-12-31 23:59:58"),
        ("01/02/2024, 10:00 - ", "dmy", "2024-02-01 10:00:00"),
        ("01/02/2024, 10:00 - ", "mdy", "2024-01-02 10:00:00"),
        ("24/02/01, 10:00 - ", "ymd", "2024-02-01 10:00:00"),
    ],
)
def test_date_of_every_phone_is_read(head: str, order: str | None, moment: str, tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    path.write_text(f"{head}Ann: \u200ehello\r\n", encoding="utf-8")
    (row,), bad = converted(path, Conversion(format="whatsapp", date_order=order))
    assert row[1:] == ("Ann", "message", "whatsapp/chat", f"{moment}.000000", "hello")
    assert bad == []


def test_dates_that_do_not_tell_day_from_month_are_asked_for_and_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    path.write_text("01/02/2024, 10:00 - Ann: a\n12/12/2024, 10:00 - Ann: b\n")
    with pytest.raises(UsageProblem, match=r"of 2 messages do not tell which number is the day.*--date-order: dmy"):
        text_of(path)


def test_dates_that_contradict_each_other_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    path.write_text("31/01/2024, 10:00 - Ann: a\n01/31/2024, 10:00 - Ann: b\n")
    with pytest.raises(UsageProblem, match="tell different things"):
        text_of(path)
    rows, bad = converted(path, Conversion(date_order="dmy"))
    assert (len(rows), bad) == (1, [b"01/31/2024, 10:00 - Ann: b"])


def test_whatsapp_message_that_is_empty_goes_on_with_the_one_before_whatever_ends_its_line(tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    said = []
    for end in (b"\r\n", b"\n"):
        path.write_bytes(
            end.join([b"31/12/2021, 23:58 - Ann: a", b"31/12/2021, 23:59 -", b"31/12/2021, 23:59 - Bob:", b""])
        )
        rows, bad = converted(path)
        assert bad == []
        said.append([(row[1], row[5]) for row in rows])
    assert said == [[("Ann", "a\n31/12/2021, 23:59 -"), ("Bob", "")]] * 2


def test_whatsapp_without_any_date_stops(tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    path.write_text("hello\n")
    with pytest.raises(Stop, match="no line begins with a date"):
        text_of(path, Conversion(format="whatsapp"))


def test_chat_of_an_iphone_is_named_like_its_zip(tmp_path: Path) -> None:
    folder = tmp_path / "WhatsApp Chat - Plans"
    folder.mkdir()
    (folder / "_chat.txt").write_text("[31.12.24, 23:59:58] Ann: hello\n")
    for path in (folder, folder / "_chat.txt", zipped(folder)):
        assert [row[3] for row in converted(path)[0]] == ["whatsapp/Plans"]


@pytest.mark.parametrize(
    ("rest", "saying"),
    [
        ("Ann: hello: all", ("Ann", "message", "hello: all")),
        ("Ann:", ("Ann", "message", "")),
        ("Ann:work: hi", ("Ann:work", "message", "hi")),
        ("Ann: ", ("Ann", "message", "")),
        ("Ann set the meeting for 10:30", ("", "status", "Ann set the meeting for 10:30")),
        ("Ann renamed it \u201ca: b\u201d", ("", "status", "Ann renamed it \u201ca: b\u201d")),
        ('"Nan" Lee: hi', ('"Nan" Lee', "message", "hi")),
        ("\u200e~ Ann: \u200eimage omitted", ("~ Ann", "message", "image omitted")),
        ("Ann left\nnothing: here", ("", "status", "Ann left\nnothing: here")),
    ],
)
def test_sender_is_told_from_what_happened(rest: str, saying: tuple[str, str, str]) -> None:
    assert saying_of(rest) == saying


def test_message_larger_than_whatsapp_takes_stays_lines_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    line = "x" * 1000
    count = LONGEST_MESSAGE // 1000 + 10
    path.write_text(f"31/12/2024, 10:00 - Ann: a\n{(line + chr(10)) * count}31/12/2024, 10:01 - Ann: b\n")
    rows, bad = converted(path)
    assert [row[5] for row in rows] == ["b"]
    assert bad == [b"31/12/2024, 10:00 - Ann: a", *([line.encode()] * count)]


def test_times_are_those_of_the_zone_that_is_given(tmp_path: Path) -> None:
    zone = Conversion(zone=ZoneInfo("America/New_York"))
    assert converted(whatsapp_txt(tmp_path), zone)[0][0][4] == "2024-05-01 14:00:00.000000"
    assert converted(irssi_log(tmp_path), zone)[0][-1][4] == "2024-05-02 11:00:00.000000"


def test_time_that_a_clock_showed_twice_is_the_first() -> None:
    first = local(ZoneInfo("Europe/Berlin"), (2024, 10, 27), (2, 30, 0))
    assert first == local(ZoneInfo("UTC"), (2024, 10, 27), (0, 30, 0))


# --- IRC --------------------------------------------------------------------------------------------------------


def test_irssi_lines_before_any_date_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "lab.log"
    path.write_text("10:00 < ann> hello\n--- Log opened Mi Mai 01 10:00:00 2024\n10:01 < ann> hi\n")
    rows, bad = converted(path, Conversion(format="irssi"))
    assert rows == []
    assert bad == path.read_bytes().splitlines()


def test_channels_of_one_name_on_two_networks_are_two_sites(tmp_path: Path) -> None:
    log = irssi_log(tmp_path)
    other = log.parent.parent / "oftc" / log.name
    other.parent.mkdir()
    other.write_bytes(log.read_bytes())
    rows, _ = converted(tmp_path / "irclogs")
    assert len(set(ids(rows))) == 2 * len(ROWS["irssi"])
    assert {row[3] for row in rows} == {"libera/#lab", "oftc/#lab"}


def test_ids_of_a_log_that_grew_or_lost_its_beginning_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "irc.libera.#lab.weechatlog"
    path.write_text(WEECHAT)
    before = ids(converted(path)[0])
    path.write_text(WEECHAT.split("\n", 3)[3] + "2024-05-01 11:00:00\tbob\tmore\n")
    after = ids(converted(path)[0])
    assert after[:-1] == before[3:]


def test_line_too_long_for_a_log_passes_whole(tmp_path: Path) -> None:
    path = tmp_path / "lab.log"
    long = b"y" * (3 * LONGEST_LINE)
    path.write_bytes(IRSSI.encode() + long + b"\n07:01 < ann> after\n")
    rows, bad = converted(path)
    assert (rows[-1][5], bad[-1]) == ("after", long)


@pytest.mark.parametrize("kept", [2, 3, 1000])
def test_identical_messages_are_told_apart_however_little_is_remembered(kept: int) -> None:
    moments = [1, 1, 2, 2, 3, 4, 5, 1, 1, 2, 2, 3, 3, 3, 4, 5, 1, 1]
    made = Ids("irc", kept)
    told = [made.next("irc/#lab", moment, "ann", "message", "ok") for moment in moments]
    assert len(set(told)) == len(moments)
    again = Ids("irc", kept)
    assert told == [again.next("irc/#lab", moment, "ann", "message", "ok") for moment in moments]


# --- Zulip, Mattermost ------------------------------------------------------------------------------------------


def test_zulip_tar_becomes_the_same(tmp_path: Path) -> None:
    folder = zulip_folder(tmp_path)
    assert text_of(tarred(folder)) == text_of(folder)


def test_zulip_without_its_realm_stops(tmp_path: Path) -> None:
    folder = zulip_folder(tmp_path)
    (folder / "realm.json").unlink()
    with pytest.raises(Stop, match=r"there is no realm\.json in it"):
        text_of(folder, Conversion(format="zulip"))


def test_lines_of_mattermost_that_are_no_posts_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    converted(mattermost_jsonl(tmp_path))
    assert "left out: 1 of channel, 1 of team, 1 of user, 1 of version" in caplog.text


# --- what it is -------------------------------------------------------------------------------------------------


def test_detection_tells_what_it_decided_and_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    text_of(telegram_chat(tmp_path) / "result.json")
    assert "result.json: taken as telegram: it is a JSON document of a chat with its messages" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        b'{"id":"1","from":"a","type":"message","site_id":"s","timestamp":1}\n',
        b"",
        b"\n\n",
        b"{",
        b"no JSON at all\n",
        b'{"name":"x","type":"personal_chat","id":1,"from":"a"}\n{"messages":[]}\n',
        b"[1, 2]\n",
        b"\xef\xbb\xbf{}\n",
        b"PK",
        bytes(1000),
    ],
)
def test_what_is_no_export_is_a_log_of_json_lines(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    source = open_input(str(path), never, AUTO)
    assert not isinstance(source, ExportSource)
    assert source.read(1 << 20) == content
    source.close()


def test_jsonl_takes_an_export_as_it_is(tmp_path: Path) -> None:
    path = whatsapp_txt(tmp_path)
    assert text_of(path, Conversion(format="jsonl")) == WHATSAPP_ANDROID.encode()


def test_folder_without_an_export_stops(tmp_path: Path) -> None:
    (tmp_path / "chat.jsonl").write_text("{}\n")
    with pytest.raises(Stop, match="is a directory that holds no known export"):
        text_of(tmp_path)
    with pytest.raises(Stop, match="holds nothing that a slack export has"):
        text_of(tmp_path, Conversion(format="slack"))
    with pytest.raises(Stop, match="is a directory"):
        check_input(str(tmp_path), Conversion(format="jsonl"))


@pytest.mark.parametrize(("name", "warned"), [("whatsapp", True), ("irssi", True), ("weechat", True), ("slack", False)])
def test_times_without_a_zone_are_told_where_none_was_named(
    name: str, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = {"as_": (), "format": "auto", "timezone": None, "date_order": None}
    path = SAMPLES[name](tmp_path)
    text_of(path, conversion_of(given | {"timezone": "UTC"}))
    assert "have no zone" not in caplog.text
    check_input(str(path), conversion_of(given))
    text_of(path, conversion_of(given))
    assert caplog.text.count("its times have no zone, and are taken for UTC") == warned


def test_utf_16_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "chat.txt"
    path.write_text(WHATSAPP_ANDROID, encoding="utf-16")
    text_of(path)
    assert "chat.txt: looks like UTF-16, of which no line can be read. Convert it: iconv" in caplog.text


def test_zip_without_a_file_stops(tmp_path: Path) -> None:
    path = tmp_path / "empty.zip"
    zipfile.ZipFile(path, "w").close()
    with pytest.raises(Stop, match=r"empty\.zip holds no known export"):
        text_of(path)


def test_damaged_zip_stops_with_its_name(tmp_path: Path) -> None:
    path = zipped(slack_folder(tmp_path))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Stop, match=r"slack export\.zip: this zip cannot be read"):
        text_of(path)


def test_zip_with_a_damaged_part_stops_with_the_part(tmp_path: Path) -> None:
    path = zipped(slack_folder(tmp_path))
    whole = bytearray(path.read_bytes())
    place = whole.index(b"general/2024-05-01.json") + 40
    whole[place : place + 20] = bytes(20)
    path.write_bytes(whole)
    with pytest.raises(Stop, match=r"general/2024-05-01\.json"):
        text_of(path)


SINGLE_FILES = ["discord", "telegram", "whatsapp", "irssi", "weechat", "mattermost"]


def single_file(name: str, folder: Path) -> Path:
    path = SAMPLES[name](folder)
    return path / "result.json" if path.is_dir() else path


def given_as_input(content: bytes, at: pytest.MonkeyPatch, folder: Path) -> None:
    file = folder / "input"
    file.write_bytes(content)
    descriptor = os.open(file, os.O_RDONLY)
    at.setattr("producer.sources.streams.StandardInput", partial(StandardInput, descriptor=descriptor))


@pytest.mark.parametrize("name", SINGLE_FILES)
def test_export_is_neither_followed_nor_taken_from_standard_input(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = single_file(name, tmp_path)
    with pytest.raises(UsageProblem, match=rf"looks like {name} \(.*\), which cannot be followed"):
        check_followed([str(path)], AUTO)
    check_followed([str(path), "-", str(tmp_path)], Conversion(format="jsonl"))
    given_as_input(path.read_bytes(), monkeypatch, tmp_path)
    with pytest.raises(UsageProblem, match=f"standard input: looks like {name}"):
        open_input("-", never, AUTO)


LINE = b'{"id":"1","from":"a","type":"message","site_id":"s","timestamp":1}\n'


@pytest.mark.parametrize(
    "content",
    [
        LINE,
        b"",
        b"--- Log opened Wed May 01 10:00:00 2024\n" + LINE,
        b"31/05/2024, 10:00 - Bob: hi\n" + LINE,
        b'{"guild":1,"channel":2}\n',
        b'{"guild":1,"channel":2,' + LINE[1:],
        b'{"chats":[]}\n',
        b'{"type":"personal_chat","messages":[]}\n{"x":1}\n',
        b'{"type":"version"}\n' + LINE,
        b"\xef\xbb\xbf" + LINE,
    ],
)
def test_log_that_may_be_one_of_json_lines_is_followed_and_read(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    check_followed([str(path), "-", str(tmp_path), str(tmp_path / "later")], AUTO)
    given_as_input(content, monkeypatch, tmp_path)
    source = open_input("-", never, AUTO)
    assert b"".join(iter(lambda: source.read(7), b"")) == content


def test_export_on_standard_input_is_a_usage_problem() -> None:
    with pytest.raises(UsageProblem, match="cannot be read from standard input"):
        open_input("-", never, Conversion(format="telegram"))


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "Europe", "\0", ""])
def test_zone_that_is_none_is_a_usage_problem(name: str) -> None:
    with pytest.raises(UsageProblem, match="is no time zone"):
        zone_of(name)


def test_network_that_no_id_could_hold_is_a_usage_problem() -> None:
    with pytest.raises(UsageProblem, match="--as has 65 characters"):
        conversion_of({"as_": ("x" * 65,), "format": "auto", "timezone": "UTC", "date_order": None})


def test_surrogate_halves_and_broken_bytes_stay_as_they_are(tmp_path: Path) -> None:
    message = {"id": 1, "type": "message", "date_unixtime": "1", "from": "a", "text": "?"}
    half = json.dumps(message).encode().replace(b"?", rb"\ud83d")
    broken = json.dumps(message).encode().replace(b"?", b"\xff")
    path = tmp_path / "result.json"
    path.write_bytes(b'{"name":"n","type":"personal_chat","id":1,"messages":[' + half + b"," + broken + b"]}")
    assert converted(path) == ([], [half, broken])


# --- documents --------------------------------------------------------------------------------------------------


def test_every_format_has_a_section_and_every_setting_stands_in_readme_and_page() -> None:
    root = Path(__file__).parents[2]
    page, readme = (root / "docs" / "exports.md").read_text(), (root / "README.md").read_text()
    sections = {line[3:].lower() for line in page.splitlines() if line.startswith("## ")}
    assert set(EXPORT_FORMATS) == set(FORMATS) == set(SAMPLES)
    assert set(EXPORT_FORMATS) <= sections
    for name in ("format", "as", "timezone", "date_order", "dry_run"):
        assert f"`{SETTINGS[name].flag}" in page.replace("produce --dry", "`--dry"), name
        assert SETTINGS[name].flag in readme, name
