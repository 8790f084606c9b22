"""Topics: tags first, then what most memories are about."""

from hypothesis import given
from hypothesis import strategies as st

from node.memory.topics import topics_of
from protocols.limits import MAX_TOPIC_CHARS, MAX_TOPICS

_texts = st.text(st.characters(codec="utf-8"), max_size=80)
_memories = st.lists(st.tuples(st.lists(_texts, max_size=4), _texts), max_size=12)


def test_tags_come_first_and_then_frequent_words() -> None:
    memories = [
        (["Bridges"], "The harbour bridge was painted green in 1931."),
        (["bridges", "Paint"], "The bridge needs 40 tons of paint, and the harbour pays for it."),
        ([], "“Harbour's open at nine.”"),
    ]
    topics = topics_of(memories)
    assert topics[:4] == ("bridges", "paint", "harbour", "bridge")
    assert not {"the", "and", "was", "for", "1931", "40", "nine", "it"} & set(topics)


def test_a_long_text_counts_once() -> None:
    assert topics_of([([], "gouda " * 50), ([], "bridge"), ([], "bridge")]) == ("bridge", "gouda")


def test_numbers_keys_and_encoded_bytes_are_no_topics() -> None:
    assert topics_of(
        [([], "pin 4711 z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK a1b2 vera@example.org " + "q" * 30)]
    ) == ("pin",)


@given(_memories)
def test_topics_are_bounded_unique_lower_case_and_do_not_depend_on_order(
    memories: list[tuple[list[str], str]],
) -> None:
    topics = topics_of(memories)
    assert len(topics) <= MAX_TOPICS
    assert len(set(topics)) == len(topics)
    for topic in topics:
        assert 0 < len(topic) <= MAX_TOPIC_CHARS
        assert topic == " ".join(topic.split())
    assert topics_of(reversed(memories)) == topics
