"""`python -m consumer`: the consumer's side alone."""

from consumer.command import consume

if __name__ == "__main__":
    consume(prog_name="python -m consumer")
