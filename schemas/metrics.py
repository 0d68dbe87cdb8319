"""Every metric that chatferry publishes, and what it counts."""

MESSAGES = "chatferry_messages"  # records of the topic that are stored, refused or repeated, each offset once
ROWS = "chatferry_rows"  # rows that were new in the table
REPEATS = "chatferry_repeats"  # records whose id the table had already
DEAD_LETTERS = "chatferry_dead_letters"  # records that went to the dead-letter topic
BATCHES = "chatferry_batches"  # batches accounted for
WORKERS = "chatferry_workers"  # worker processes alive
