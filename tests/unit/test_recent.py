"""What came a moment ago is known again, and no more than that is kept."""

from producer.live.recent import Seen


def test_how_often_it_came_is_counted_and_what_came_last_is_kept() -> None:
    seen = Seen(2)
    assert [seen.count(name) for name in ("a", "b", "a", "c", "a", "b")] == [0, 0, 1, 0, 2, 0]
    assert ("a" in seen, "b" in seen, "c" in seen) == (True, True, False)
