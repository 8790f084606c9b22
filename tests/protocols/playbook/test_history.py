from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.multibase import CODEC_DAG_CBOR, CODEC_DAG_JOSE
from protocols import dag_cbor, limits
from protocols.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError
from protocols.playbook.history import HistoryAnswer, HistoryRequest, Outline, answer
from protocols.playbook.revision import link_of, verify_revision
from tests.protocols.playbook.test_revision import golden

cids = st.binary(min_size=1, max_size=8).map(lambda data: Cid.of(CODEC_DAG_JOSE, data))
some_cids = st.lists(cids, unique=True, max_size=limits.MAX_HISTORY_WANTS).map(tuple)


class Dag:
    """A made-up history: numbers for revisions, each with the numbers of its parents."""

    def __init__(self, parents: Sequence[Sequence[int]]) -> None:
        self.parents = parents
        self.cids = [Cid.of(CODEC_DAG_JOSE, b"%d" % n) for n in range(len(parents))]
        self.reads = 0
        heights: list[int] = []
        for above in parents:
            heights.append(1 + max((heights[n] for n in above), default=0))
        self.heights = heights

    def read(self, cid: Cid) -> Outline | None:
        self.reads += 1
        if cid not in self.cids:
            return None
        n = self.cids.index(cid)
        parents = tuple(self.cids[parent] for parent in self.parents[n])
        return Outline("common", self.heights[n], parents, (b"\xa2%d" % n, b"\xa9"))

    def under(self, numbers: Sequence[int]) -> set[int]:
        found, to_visit = set[int](), list(numbers)
        while to_visit:
            n = to_visit.pop()
            if n not in found:
                found.add(n)
                to_visit.extend(self.parents[n])
        return found

    def asked(
        self, want: Sequence[int], have: Sequence[int] = (), limit: int = 2048, name: str = "common"
    ) -> list[int]:
        request = HistoryRequest(name, tuple(self.cids[n] for n in want), tuple(self.cids[n] for n in have), limit)
        return [int(envelope[1:]) for envelope, _ in answer(request, self.read).revisions]


@st.composite
def dags(draw: st.DrawFn) -> Dag:
    count = draw(st.integers(1, 30))
    return Dag([draw(st.lists(st.integers(0, n - 1), unique=True, max_size=3)) if n else [] for n in range(count)])


@given(dags(), st.data())
def test_an_answer_holds_exactly_what_is_missing_children_first(dag: Dag, data: st.DataObject) -> None:
    numbers = st.lists(st.integers(0, len(dag.cids) - 1), unique=True, min_size=1, max_size=4)
    want, have = data.draw(numbers), data.draw(numbers | st.just([]))
    given_ = dag.asked(want, have)
    assert len(given_) == len(set(given_))
    assert set(given_) == dag.under(want) - dag.under(have)
    for n in given_:
        assert all(given_.index(parent) > given_.index(n) for parent in dag.parents[n] if parent in given_)


@given(dags(), st.integers(1, 5))
def test_going_on_with_what_is_missing_ends_with_everything(dag: Dag, limit: int) -> None:
    top = len(dag.cids) - 1
    found: set[int] = set()
    missing = {top}
    while missing:
        part = dag.asked(sorted(missing), (), limit)
        assert part
        assert len(part) <= limit
        for n in part:
            found.add(n)
            missing = (missing | set(dag.parents[n])) - found
    assert found == dag.under([top])


def test_another_playbook_is_not_served() -> None:
    assert Dag([[], [0]]).asked([1], name="other") == []


def test_what_is_not_here_is_left_out() -> None:
    request = HistoryRequest("common", (Cid.of(CODEC_DAG_JOSE, b"nobody's"),), (), 10)
    assert answer(request, Dag([[]]).read).revisions == ()


def test_an_answer_costs_a_bounded_number_of_reads_and_gives_something_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_HISTORY_READS", 10)
    long = [[], *([n] for n in range(99))]  # a chain of 100, and a fork from its beginning
    dag = Dag([*long, [0]])
    assert dag.asked([100], have=[99]) == [100]
    assert dag.reads == 10


def test_an_answer_stops_before_it_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_HISTORY_ANSWER_BYTES", 100)
    dag = Dag([[], *([n] for n in range(99))])
    request = HistoryRequest("common", (dag.cids[99],), (), 2048)
    given_ = answer(request, dag.read)
    assert 1 <= len(given_.revisions) < 99
    assert len(given_.encode()) <= 100


def test_what_is_served_of_a_real_revision_can_be_verified() -> None:
    signed = golden()
    outline = Outline.of(signed.envelope_block, signed.payload_block)
    assert (outline.playbook, outline.height) == (signed.revision.playbook, signed.revision.height)
    assert outline.parents == signed.revision.parents
    request = HistoryRequest(outline.playbook, (signed.cid,), (), 1)
    (pair,) = HistoryAnswer.decode(answer(request, {signed.cid: outline}.get).encode()).revisions
    assert verify_revision(*pair) == signed
    assert link_of(pair[0]) == signed.payload_cid


@given(some_cids.filter(bool), some_cids, st.integers(1, limits.MAX_HISTORY_ANSWER_REVISIONS))
def test_a_request_survives_the_wire(want: tuple[Cid, ...], have: tuple[Cid, ...], limit: int) -> None:
    request = HistoryRequest("common", want, have, limit)
    assert HistoryRequest.decode(request.encode()) == request


def test_the_longest_request_fits() -> None:
    many = tuple(Cid.of(CODEC_DAG_JOSE, b"%d" % n) for n in range(limits.MAX_HISTORY_WANTS))
    request = HistoryRequest("n" * 64, many, many, limits.MAX_HISTORY_ANSWER_REVISIONS)
    assert HistoryRequest.decode(request.encode()) == request
    with pytest.raises(LocalProtocolError):
        HistoryRequest("common", (*many, Cid.of(CODEC_DAG_JOSE, b"more")), (), 1).encode()


@pytest.mark.parametrize(
    "changed",
    [
        {"playbook": "Not a name"},
        {"want": []},
        {"want": ["text"]},
        {"want": [b"no link"]},
        {"want": [bytes(Cid.of(CODEC_DAG_CBOR, b"a payload"))]},
        {"want": [bytes(Cid.of(CODEC_DAG_JOSE, b"1"))] * 2},
        {"have": None},
        {"limit": 0},
        {"limit": limits.MAX_HISTORY_ANSWER_REVISIONS + 1},
        {"limit": True},
    ],
)
def test_a_request_out_of_form_is_refused(changed: dict[str, object]) -> None:
    body: dict[str, object] = {
        "playbook": "common", "want": [bytes(Cid.of(CODEC_DAG_JOSE, b"1"))], "have": [], "limit": 1
    }  # fmt: skip
    assert HistoryRequest.decode(dag_cbor.encode(body))
    with pytest.raises(RemoteProtocolError):
        HistoryRequest.decode(dag_cbor.encode(body | changed))


@pytest.mark.parametrize(
    "blocks", [None, [b"\xa2"], [b"\xa2", "text"], [b"\xa2", b""], [b"\xa2", b"\x01"], [b"\xa2"] * 9999]
)
def test_an_answer_out_of_form_is_refused(blocks: object) -> None:
    with pytest.raises(RemoteProtocolError):
        HistoryAnswer.decode(dag_cbor.encode({"blocks": blocks}))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (HistoryRequest.decode, HistoryAnswer.decode, lambda data: Outline.of(data, data)):
        try:
            read(data)
        except RemoteProtocolError:
            continue


def test_a_block_that_is_no_revision_has_no_outline() -> None:
    with pytest.raises(MalformedMessage):
        Outline.of(b"", dag_cbor.encode({"playbook": "common", "height": 0, "parents": []}))
