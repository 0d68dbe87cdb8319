"""The table: one declarative model, and what of it differs between databases.

Ids are compared byte by byte. On MySQL and MariaDB that needs a binary collation that does not pad with spaces, which
the two name differently; `BYTEWISE_COLLATIONS` lists the candidates and the migration takes the first that the server
has. SQLite compares text byte by byte by itself.
"""

from datetime import datetime

from sqlalchemy import DateTime, Enum, Index, String, Text
from sqlalchemy.dialects.mysql import DATETIME, LONGTEXT
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from schemas.message import NAME_LENGTH

TABLE = "chat_messages"
REVISION = "0001"
"""The newest migration; a test holds it equal to the scripts."""

REVISION_TABLE = "chatferry_revision"
"""Where Alembic keeps the revision: a name of our own, since the database may hold other people's tables and
migrations."""

BYTEWISE_COLLATIONS = ("utf8mb4_nopad_bin", "utf8mb4_0900_bin")
"""MariaDB's name and MySQL 8's for: utf8mb4, compared byte by byte, trailing spaces significant."""

MYSQL_OPTIONS = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
}

BigText = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
Moment = DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")


class Base(DeclarativeBase):
    """The registry of our one table."""


class ChatMessage(Base):
    """One message or status of a chat, as it stands in the database."""

    __tablename__ = TABLE

    id: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    sender: Mapped[str] = mapped_column("from", String(NAME_LENGTH))
    type: Mapped[str] = mapped_column(Enum("message", "status", name="chat_message_type", native_enum=False, length=16))
    site_id: Mapped[str] = mapped_column(String(NAME_LENGTH))
    timestamp: Mapped[datetime] = mapped_column(Moment)
    data: Mapped[str | None] = mapped_column(BigText)

    __table_args__ = (
        Index("ix_chat_messages_site_id", "site_id"),
        Index("ix_chat_messages_timestamp", "timestamp"),
        MYSQL_OPTIONS,
    )


COLUMNS = tuple(column.name for column in ChatMessage.__table__.columns)
"""id, from, type, site_id, timestamp, data: the order of a `schemas.message.Row`."""
