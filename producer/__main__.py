"""`python -m producer`: the producer's side alone."""

from producer.command import produce

if __name__ == "__main__":
    produce(prog_name="python -m producer")
