"""Alembic's entry: runs the migrations on the connection that the caller opened. It opens nothing itself."""

from alembic import context

from schemas.table import REVISION_TABLE, Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=REVISION_TABLE,
)

with context.begin_transaction():
    context.run_migrations()
