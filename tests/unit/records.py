"""Records as they come from a topic, without one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Message:
    """As much of a Kafka message as a batch looks at."""

    at: tuple[int, int]
    content: bytes | None
    epoch: int | None = None

    def partition(self) -> int:
        return self.at[0]

    def offset(self) -> int:
        return self.at[1]

    def value(self) -> bytes | None:
        return self.content

    def leader_epoch(self) -> int | None:
        return self.epoch

    def key(self) -> None:
        return None


def good(partition: int, offset: int, epoch: int | None = None) -> Message:
    line = f'{{"id":"{partition}-{offset}","from":"b","type":"message","site_id":"s","timestamp":1}}'
    return Message((partition, offset), line.encode(), epoch)


def bad(partition: int, offset: int, content: bytes | None = b"{}") -> Message:
    return Message((partition, offset), content)
