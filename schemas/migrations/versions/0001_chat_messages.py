"""The table of chat messages."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import DATETIME, LONGTEXT

from schemas.errors import Stop

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BYTEWISE = ("utf8mb4_nopad_bin", "utf8mb4_0900_bin")


def upgrade() -> None:
    """Create the table, its ids compared byte by byte, and its two indexes."""
    collation = _bytewise_collation()
    name = sa.String(255, collation=collation)
    options: dict[str, Any] = (
        {} if collation is None else {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": collation}
    )
    options |= {key.replace("mysql", "mariadb"): value for key, value in options.items()}
    there = sa.inspect(op.get_bind())
    if not there.has_table("chat_messages"):  # MySQL commits each statement: an upgrade may have died after this one
        _create(name, collation, options)
    indexes = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("chat_messages")}
    for column in ("site_id", "timestamp"):
        if f"ix_chat_messages_{column}" not in indexes:
            op.create_index(f"ix_chat_messages_{column}", "chat_messages", [column])


def _create(name: sa.String, collation: str | None, options: dict[str, Any]) -> None:
    op.create_table(
        "chat_messages",
        sa.Column("id", name, primary_key=True, nullable=False),
        sa.Column("from", name, nullable=False),
        sa.Column("type", sa.String(16, collation=collation), nullable=False),
        sa.Column("site_id", name, nullable=False),
        sa.Column("timestamp", sa.DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb"), nullable=False),
        sa.Column(
            "data",
            sa.Text(collation=collation).with_variant(LONGTEXT(collation=collation), "mysql", "mariadb"),
        ),
        **options,
    )


def downgrade() -> None:
    """Drop the table and every message in it."""
    op.drop_table("chat_messages")


def _bytewise_collation() -> str | None:
    """The first collation of this server that compares utf8mb4 byte by byte without padding; None where that is
    usual."""
    connection = op.get_bind()
    if connection.dialect.name not in ("mysql", "mariadb"):
        return None
    query = sa.text("SELECT collation_name FROM information_schema.collations WHERE collation_name IN :names")
    rows = connection.execute(query.bindparams(sa.bindparam("names", list(_BYTEWISE), expanding=True)))
    there = {row[0] for row in rows}
    for collation in _BYTEWISE:
        if collation in there:
            return collation
    raise Stop(
        "This server has no collation that compares utf8mb4 byte by byte",
        "Use MySQL 8 or MariaDB 10.2, or newer",
    )
