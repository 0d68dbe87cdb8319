"""Write examples/chat.jsonl: a day of chat in some forty rooms and fifteen languages, made up but like life.

The output is the same on every run. Beside ordinary talk it holds what real logs hold: escapes,
right-to-left text, emoji sequences, extra fields, lines sent twice, blank lines, and a few lines that are no
message at all.

    python examples/make_sample.py           write the file and say what it holds
    python examples/make_sample.py --check   exit 1 unless the file is what this program writes
"""

# ruff: noqa: RUF001 - the phrases are meant to hold every alphabet, look-alikes included

import argparse
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).with_name("chat.jsonl")
SEED = 20250311
MIDNIGHT = 1_741_651_200  # 2025-03-11 00:00:00 UTC, a Tuesday
DAY = 86_400
REPEATS = 12

Message = dict[str, Any]


@dataclass(frozen=True)
class Tongue:
    """How people of one language talk. `hours` is what their clock adds to UTC; any filler fits its slot."""

    hours: int
    people: tuple[str, ...]
    templates: tuple[str, ...]
    things: tuple[str, ...]
    times: tuple[str, ...]


TONGUES = {
    "en": Tongue(
        0,
        ("Alice", "ben.carter", "Priya", "Tom O'Neil", "grace_h", "Liam", "zoë"),
        (
            "Has anyone seen {thing}?",
            "I'll look at {thing} {time}.",
            "@{name} could you check {thing} {time}, please?",
            "Thanks {name}, that fixed it!",
            "We can talk about {thing} {time}, no rush.",
            "Not sure about {thing}, but it worked {time}… or so I thought",
            "good morning everyone, coffee first and then {thing}",
            "ok",
            "lol same here",
        ),
        (
            "the new build",
            "the invoice from March",
            "the blue folder",
            "my train ticket",
            "the staging server",
        ),
        ("after lunch", "tomorrow morning", "at 3pm", "on Friday", "in ten minutes"),
    ),
    "es": Tongue(
        1,
        ("María José", "Iñaki", "Lucía", "Andrés", "Begoña"),
        (
            "¿Alguien ha visto {thing}?",
            "{name}, ¿puedes revisar {thing} {time}?",
            "¡Qué bien! Entonces hablamos {time}.",
            "No encuentro {thing}, ¿lo dejamos para {time}?",
            "Mañana será otro día 😅",
            "vale, gracias",
        ),
        ("el informe", "la contraseña nueva", "el paquete de Logroño", "la reunión del año pasado"),
        ("esta tarde", "después de comer", "el miércoles", "a las cinco"),
    ),
    "de": Tongue(
        1,
        ("Jürgen", "Änne", "Björn Großmann", "Käthe", "Lukas"),
        (
            "Weiß jemand, wo {thing} ist?",
            "{name}, schaust du dir {time} bitte die Übersicht an?",
            "Ich melde mich {time} noch einmal, wir müssen über die Größe reden.",
            "Läuft wieder. Schöne Grüße aus Köln!",
            "Übrigens: {thing} ist {time} fertig.",
            "passt, danke dir",
        ),
        ("der Schlüssel", "die Straßenkarte", "das Prüfprotokoll", "der Überweisungsbeleg"),
        ("nachher", "morgen früh", "am Dienstag", "gegen fünf", "nächste Woche"),
    ),
    "fr": Tongue(
        1,
        ("Chloé", "Jean-François", "Noël", "Amélie", "Maëlys"),
        (
            "Quelqu'un a vu {thing} ?",
            "{name}, tu peux vérifier {thing} {time} ?",
            "Ça marche, on en reparle {time}.",
            "Désolé pour le retard, j'étais à l'hôpital avec ma sœur.",
            "Je n'ai pas encore reçu {thing}… on verra {time}",
            "d'accord, merci !",
        ),
        ("le procès-verbal", "la clé du garage", "l'adresse du théâtre", "le gâteau d'anniversaire"),
        ("cet après-midi", "dès demain", "à midi", "la semaine où tu rentres"),
    ),
    "pt": Tongue(
        -3,
        ("João", "Conceição", "Luís", "Antônia", "Thaís"),
        (
            "Alguém viu {thing}?",
            "{name}, você consegue olhar {thing} {time}?",
            "Não deu certo, vou tentar de novo {time}.",
            "Que saudade! Nos vemos {time} então 🇧🇷",
            "A atualização já está no ar, obrigado pela atenção.",
            "blz",
        ),
        ("o relatório", "a lista de preços", "o cartão de memória", "a senha do portão"),
        ("amanhã", "à noite", "depois do almoço", "na terça-feira"),
    ),
    "pl": Tongue(
        1,
        ("Łukasz", "Małgorzata", "Zbyszek", "Świętosława", "Żaneta"),
        (
            "Czy ktoś widział {thing}?",
            "{name}, sprawdzisz to {time}?",
            "Dziękuję, już działa!",
            "Zażółć gęślą jaźń - test polskich znaków",
            "Spóźnię się, zacznijcie beze mnie. Będę {time}.",
            "no dobra",
        ),
        ("zielony zeszyt", "klucz do łazienki", "mój parasol", "ostatni raport"),
        ("jutro rano", "po południu", "w środę", "za pięć minut"),
    ),
    "tr": Tongue(
        3,
        ("Ayşe", "Çağlar", "İbrahim", "Gülşen", "Işıl"),
        (
            "{thing} nerede, gören var mı?",
            "{name}, {time} bakabilir misin?",
            "Tamamdır, {time} görüşürüz.",
            "İstanbul'da yağmur yağıyor, şemsiyeni unutma ☔",
            "Çok teşekkürler, ellerine sağlık!",
            "olur",
        ),
        ("Yeni sözleşme", "Mavi çanta", "Toplantı odasının anahtarı", "Geçen haftanın özeti"),
        ("yarın", "öğleden sonra", "akşam altıda", "pazartesi günü"),
    ),
    "ru": Tongue(
        3,
        ("Анна", "Дмитрий", "Ольга К.", "Фёдор", "Наталья"),
        (
            "Кто-нибудь видел {thing}?",
            "{name}, посмотришь {time}?",
            "Спасибо, всё заработало!",
            "Давайте обсудим {thing} {time}.",
            "Я опаздываю, начинайте без меня. Буду {time}.",
            "ага)))",
        ),
        ("последний отчёт", "список задач", "новый договор", "расписание поездов"),
        ("завтра", "после обеда", "в пятницу", "через полчаса"),
    ),
    "ja": Tongue(
        9,
        ("さくら", "田中", "ユウキ", "佐藤 健", "みどり"),
        (
            "{thing}を見た人いますか?",
            "{name}さん、{time}に確認してもらえますか。",
            "了解しました。{time}にまた連絡します。",
            "ありがとうございます、直りました!",
            "{thing}は{time}に届く予定です",
            "おはようございます☀️",
            "草",
        ),
        ("新しい資料", "会議室の鍵", "先週の議事録", "お弁当"),
        ("明日", "午後3時", "金曜日", "来週の月曜日"),
    ),
    "zh": Tongue(
        8,
        ("小明", "王芳", "李雷", "韩梅梅", "阿强"),
        (
            "有人看到{thing}了吗?",
            "{name},{time}能帮我看一下{thing}吗?",
            "好的,{time}再说吧。",
            "谢谢,已经修好了!",
            "今天下雨,大家路上小心。",
            "收到 👍🏻",
        ),
        ("会议纪要", "新的合同", "那把蓝色的伞", "上周的报表"),
        ("明天上午", "吃完饭", "星期五", "五分钟后"),
    ),
    "ko": Tongue(
        9,
        ("김민수", "지은", "박서준", "하늘", "윤아"),
        (
            "혹시 {thing} 보신 분 있나요?",
            "{name}님, {time} 확인 부탁드려요.",
            "네, {time} 다시 말씀드릴게요.",
            "감사합니다! 이제 잘 돼요 ㅎㅎ",
            "{thing} 때문에 {time} 전화할게요",
            "ㅋㅋㅋㅋ",
        ),
        ("새 계약서", "회의실 열쇠", "지난주 보고서", "제 우산"),
        ("내일 아침에", "점심 먹고", "금요일에", "10분 뒤에"),
    ),
    "ar": Tongue(
        3,
        ("ليلى", "يوسف", "مريم", "خالد", "نور"),
        (
            "هل رأى أحد {thing}؟",
            "يا {name}، هل يمكنك المراجعة {time}؟",
            "شكرًا جزيلًا، كل شيء يعمل الآن.",
            "سنتحدث عن {thing} {time} إن شاء الله.",
            "صباح الخير ☕",
            "تمام",
        ),
        ("التقرير الجديد", "مفتاح المكتب", "عنوان الفندق", "جدول القطارات"),
        ("غدًا", "بعد الظهر", "يوم الخميس", "في الساعة ٣:٣٠"),
    ),
    "he": Tongue(
        2,
        ("נועה", "דוד", "תמר", "איתי", "שירה"),
        (
            "מישהו ראה את {thing}?",
            "{name}, אפשר לבדוק את זה {time}?",
            "תודה רבה, הכול עובד!",
            "נדבר על {thing} {time}.",
            "אני מאחר, תתחילו בלעדיי (version 2.1 כבר עלתה)",
            "סבבה",
        ),
        ("הדוח החדש", "המפתח של המשרד", "המטרייה הכחולה", "כרטיס הרכבת"),
        ("מחר בבוקר", "אחרי הצהריים", "ביום רביעי", "בעוד רבע שעה"),
    ),
    "hi": Tongue(
        5,
        ("आरव", "दीपिका", "मोहन", "स्नेहा", "कृष्णा"),
        (
            "क्या किसी ने {thing} देखी है?",
            "{name} जी, {time} देख लीजिए।",
            "धन्यवाद, अब ठीक चल रहा है!",
            "{time} बात करते हैं।",
            "ट्रेन लेट है, {time} पहुँचूँगा 🚆",
            "ठीक है",
        ),
        ("नई रिपोर्ट", "दफ़्तर की चाबी", "पिछले हफ़्ते की सूची", "मेरी छतरी"),
        ("कल सुबह", "दोपहर के बाद", "शुक्रवार को", "दस मिनट में"),
    ),
    "th": Tongue(
        7,
        ("สมชาย", "น้ำฝน", "กิตติ", "พลอย", "ต้นกล้า"),
        (
            "มีใครเห็น{thing}ไหม",
            "คุณ{name} ช่วยดูให้หน่อยได้ไหม {time}",
            "ขอบคุณมากค่ะ ใช้ได้แล้ว",
            "เดี๋ยวคุยกันเรื่อง{thing} {time}นะ",
            "ฝนตกหนักมาก รถติดทุกที่เลย",
            "55555",
        ),
        ("รายงานใหม่", "กุญแจห้องประชุม", "ร่มสีฟ้า", "ตารางรถไฟ"),
        ("พรุ่งนี้เช้า", "หลังอาหารเที่ยง", "วันศุกร์", "อีกสิบนาที"),
    ),
}

ROOMS = (
    *(("general", "en"), ("random", "en"), ("dev.backend", "en"), ("ops-oncall", "en"), ("book club", "en")),
    *(
        ("support/tier-2", "en"),
        ("site-0017", "en"),
        ("Lost & Found (3rd floor, west wing, ask Tom for keys)", "en"),
    ),
    *(
        ("equipo-madrid", "es"),
        ("cocina_y_café", "es"),
        ("niños", "es"),
        ("büro-köln", "de"),
        ("fußball", "de"),
    ),
    *(
        ("it-störungen", "de"),
        ("l'équipe", "fr"),
        ("cinéma", "fr"),
        ("fête de Noël", "fr"),
        ("são-paulo", "pt"),
    ),
    *(
        ("futebol⚽", "pt"),
        ("família Conceição", "pt"),
        ("łódź", "pl"),
        ("góry i szlaki", "pl"),
        ("istanbul", "tr"),
    ),
    *(("çay molası", "tr"), ("общий чат", "ru"), ("шахматы", "ru"), ("雑談", "ja"), ("東京オフィス", "ja")),
    *(("猫の写真🐈", "ja"), ("上海办公室", "zh"), ("周末爬山", "zh"), ("서울팀", "ko"), ("게임방", "ko")),
    *(("مقهى الحي", "ar"), ("فريق الدعم", "ar"), ("המשרד", "he"), ("חברים", "he"), ("दिल्ली", "hi")),
    *(("क्रिकेट 🏏", "hi"), ("กรุงเทพ", "th"), ("ก๋วยเตี๋ยว", "th")),
)

EMOJI = (
    *(
        "😂",
        "❤️",
        "🎉",
        "🙏🏽",
        "👍",
        "👨‍👩‍👧‍👦",
        "👩🏽‍💻",
        "🏳️‍🌈",
        "🧑‍🚀🚀",
        "🤷🏻‍♀️",
        "🇯🇵",
        "🇵🇱🇹🇷",
        "🇮🇱",
        "🇹🇭",
        "🐈‍⬛",
        "1️⃣",
        "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    ),
)

URLS = (
    "https://example.com/docs/getting-started?lang=en&page=2#install",
    "http://wiki.example.org/wiki/Zażółć_(test)",
    "https://xn--bcher-kva.example/k%C3%BCche?q=a%20b+c",
    'https://example.net/r/9f3c1b7e?utm_source=chat&utm_medium="quoted"',
    "ftp://files.example.org/incoming/report_2025-03-11.tar.gz",
)

ODDITIES = (
    "first line\nsecond line\n\n- a list\n- of two",
    "name\tqty\tprice\nbolt\t12\t0.40\nnut\t7\t0.15",
    'she said "it\'s done", then: "no, wait"',
    "C:\\Users\\anna\\new\\table.txt",
    "\\\\fileserver\\share\\reports\\Q1",
    "Robert'); DROP TABLE chat_messages;-- ",
    "' OR 1=1; /* nothing to see */ # `backticks` %s :name ?",
    "SELECT `from`, COUNT(*) FROM chat_messages WHERE data LIKE '%50\\%%' GROUP BY 1;",
    'try {"id": "not-a-line", "type": "message"} as the body',
    "regex: ^\\d{4}-\\d{2}$ and \\N and \\0 stay what they are",
    "trailing backslash \\",
    "   spaces kept at both ends   ",
    "windows newline\r\nhere",
    "\x1b[31mred\x1b[0m if your terminal is careless\x07",
    "line separator\u2028inside, and a byte order mark\ufeffas well",
    '=HYPERLINK("https://example.com","spreadsheet")',
    "<b>bold?</b> &amp; <script>alert('hi')</script>",
    "a\u0301 e\u0308 combining, á ë composed; Ω Ω K K",
    "ＦＵＬＬ ｗｉｄｔｈ and 𝒻𝒶𝓃𝒸𝓎 and Z̸͉͒a̶̻͛l̷̰̈g̵̙̓o̴͕͗",
    "עברית and English and العربية in one line: 1 → 2 → 3",
)

STATUSES = ("online", "away", "offline", "typing", "joined the room", "left the room", "online", "typing")


class Speaker:
    """Makes up what is said; everything it draws comes from the one seeded generator."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def sentence(self, tongue: Tongue) -> str:
        """One sentence of this language, its slots filled."""
        pick = self.rng.choice
        return pick(tongue.templates).format(
            thing=pick(tongue.things), time=pick(tongue.times), name=pick(tongue.people)
        )

    def text(self, tongue: Tongue) -> str:
        """What one message says: a sentence or two, at times an emoji, a link or something hard to carry."""
        chance = self.rng.random()
        if chance < 0.012:
            return self.rng.choice(ODDITIES)
        if chance < 0.03:
            return self.rng.choice(EMOJI)
        text = self.sentence(tongue)
        if chance < 0.25:
            text += " " + self.sentence(tongue)
        if chance > 0.96:
            text += " " + self.rng.choice(URLS)
        elif chance > 0.82:
            text += " " + self.rng.choice(EMOJI)
        return text

    def identifier(self) -> str:
        """An id as chat systems give them: 128 random bits in hexadecimal."""
        return f"{self.rng.getrandbits(128):032x}"

    def stamp(self, seconds: float) -> int | float | str:
        """The same moment (Unix seconds) in one of the ways that clients write it."""
        ways = (int(seconds), round(seconds, 3), round(seconds, 6), str(int(seconds)), f"{seconds:.3f}")
        return self.rng.choices(ways, (50, 20, 15, 9, 6))[0]


def _message(speaker: Speaker, room: str, tongue: Tongue, person: str, seconds: float) -> Message:
    message: Message = {
        "id": speaker.identifier(),
        "from": person,
        "type": "message",
        "site_id": room,
        "timestamp": speaker.stamp(seconds),
        "data": speaker.text(tongue),
    }
    chance = speaker.rng.random()
    if chance < 0.006:
        message["client"] = {"os": "android", "version": [14, 2]}
    elif chance < 0.012:
        message["edited"] = True
    return message


def _status(speaker: Speaker, room: str, person: str, seconds: float, data: str | None) -> Message:
    status: Message = {"id": speaker.identifier(), "from": person, "type": "status", "site_id": room}
    status["timestamp"] = speaker.stamp(seconds)
    return status if data is None else {**status, "data": data}


def _start(rng: random.Random, tongue: Tongue) -> float:
    """When a conversation starts: busiest around 14:00 on the speakers' own clock, inside the UTC day."""
    local = rng.triangular(6, 24, 14)
    return MIDNIGHT + (local - tongue.hours) * 3600 % (DAY - 3600)


def _conversation(speaker: Speaker, room: str, tongue: Tongue) -> Iterator[tuple[float, Message]]:
    """A burst of talk: people come, speak in turn a few seconds to minutes apart, and some leave."""
    rng = speaker.rng
    people = rng.sample(tongue.people, rng.randint(2, 4))
    now = _start(rng, tongue)
    yield now, _status(speaker, room, people[0], now, rng.choice(("online", "joined the room")))
    for _ in range(rng.randint(6, 18)):
        now += rng.expovariate(1 / 25)
        person = "" if rng.random() < 0.004 else rng.choice(people)
        if rng.random() < 0.09:
            data = None if rng.random() < 0.12 else rng.choice(STATUSES)
            yield now, _status(speaker, room, person, now, data)
        else:
            yield now, _message(speaker, room, tongue, person, now)
    now += 5
    yield now, _status(speaker, room, people[-1], now, rng.choice(("offline", "away", "left the room")))


def _oddities(speaker: Speaker) -> Iterator[tuple[float, Message]]:
    """Each hard text and each emoji once, spread over the day, so that none depends on chance."""
    room, tongue = "random", TONGUES["en"]
    texts = (*ODDITIES, *EMOJI)
    for place, text in enumerate(texts):
        now = MIDNIGHT + place * DAY / len(texts)
        yield now, _message(speaker, room, tongue, speaker.rng.choice(tongue.people), now) | {"data": text}


def _day(speaker: Speaker) -> list[Message]:
    """Everything said in a day, in order of time; busy rooms have more conversations than quiet ones."""
    talk = list(_oddities(speaker))
    for room, language in ROOMS:
        for _ in range(speaker.rng.choice((6, 9, 11, 14))):
            talk += _conversation(speaker, room, TONGUES[language])
    talk.sort(key=lambda pair: pair[0])
    return [message for _, message in talk]


def _encode(message: Message, rng: random.Random) -> bytes:
    """One line. Most writers keep UTF-8 as it is; some escape all but ASCII as \\uXXXX."""
    escape = rng.random() < 0.07
    compact = rng.random() < 0.5
    separators = (",", ":") if compact else (", ", ": ")
    return json.dumps(message, ensure_ascii=escape, separators=separators).encode()


def _bad_lines(speaker: Speaker) -> list[bytes]:
    """One line of each kind that a loader must set aside: nothing here is a message."""
    tongue = TONGUES["en"]

    def fresh(**changes: object) -> Message:
        return _message(speaker, "general", tongue, "Alice", MIDNIGHT + 40_000) | {"data": "hello"} | changes

    nameless = fresh()
    del nameless["id"]
    whole = json.dumps(fresh())
    return [
        whole[: len(whole) // 2].encode(),  # the writer died in the middle
        json.dumps(fresh(data="caf?")).encode().replace(b"caf?", b"caf\xe9"),  # Latin-1, not UTF-8
        json.dumps(fresh(type="typing")).encode(),
        json.dumps(nameless).encode(),
        json.dumps(fresh(timestamp=1_741_691_200_000)).encode(),  # milliseconds
        json.dumps([fresh()]).encode(),
        json.dumps(fresh(timestamp=float("nan"))).encode(),
        f"{json.dumps(fresh())} {json.dumps(fresh())}".encode(),  # two writers, one newline lost
    ]


@dataclass(frozen=True)
class Sample:
    """The file's bytes and how many of its lines end as what; `lines` is the sum of the other four."""

    content: bytes
    lines: int
    rows: int
    repeats: int
    bad: int
    blank: int


def _resend(lines: list[bytes], rng: random.Random) -> None:
    """Send some lines again, a little later, byte for byte: what a client does that missed its answer."""
    places = rng.sample(range(len(lines) - 40), REPEATS)
    for place in sorted(places, reverse=True):
        lines.insert(place + rng.randint(1, 30), lines[place])


def build() -> Sample:
    """The whole sample, the same bytes at every call."""
    rng = random.Random(SEED)
    speaker = Speaker(rng)
    lines = [_encode(message, rng) for message in _day(speaker)]
    rows = len(lines)
    _resend(lines, rng)
    bad, blank = _bad_lines(speaker), [b"", b"", b""]
    for line in (*bad, *blank):
        lines.insert(rng.randrange(100, len(lines)), line)
    content = b"".join(line + b"\n" for line in lines)
    return Sample(content, len(lines), rows, REPEATS, len(bad), len(blank))


def summary(sample: Sample) -> str:
    """The account of the file, one count a line."""
    counts = {
        "lines": sample.lines,
        "good (rows)": sample.rows,
        "repeats": sample.repeats,
        "bad": sample.bad,
        "blank": sample.blank,
        "bytes": len(sample.content),
    }
    return "\n".join(f"{name:<12}{count:>10,}" for name, count in counts.items())


def main() -> int:
    """Write or check the file; the exit status is 1 when a check fails."""
    parser = argparse.ArgumentParser(description="Write the sample log, a made-up day of chat.")
    parser.add_argument("--check", action="store_true", help="compare the file with what would be written")
    check = parser.parse_args().check
    sample = build()
    if check and (not OUTPUT.exists() or OUTPUT.read_bytes() != sample.content):
        print(f"{OUTPUT} is not what this program writes; run it without --check", file=sys.stderr)
        return 1
    if not check:
        OUTPUT.write_bytes(sample.content)
    print(f"{OUTPUT} {'is up to date' if check else 'written'}")
    print(summary(sample))
    return 0


if __name__ == "__main__":
    sys.exit(main())
