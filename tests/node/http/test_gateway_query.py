import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.cid import Cid
from identity.multibase import CODEC_DAG_PB, CODEC_RAW
from node.http.gateway_query import Asked, EntityBytes, Query, Refusal, negotiate, read_ipns_name, read_query

CID = Cid.of(CODEC_RAW, b"tide")
RAW, CAR, RECORD = "application/vnd.ipld.raw", "application/vnd.ipld.car", "application/vnd.ipfs.ipns-record"


def query(path: str, accept: str | None = None, **params: str) -> Query:
    return read_query(path, {name.replace("_", "-"): value for name, value in params.items()}, accept)


def status_of(path: str, accept: str | None = None, **params: str) -> int:
    with pytest.raises(Refusal) as refused:
        query(path, accept, **params)
    return refused.value.status


@pytest.mark.parametrize(
    ("accept", "params", "asked"),
    [
        (None, {"format": "raw"}, Asked("raw", False, False)),
        (None, {"format": "car"}, Asked("car", False, False)),
        (None, {"format": "ipns-record"}, Asked("ipns-record", False, False)),
        (RAW, {}, Asked("raw", False, True)),
        (CAR, {}, Asked("car", False, True)),
        (RECORD, {}, Asked("ipns-record", False, True)),
        (f"{CAR}; version=1; order=dfs; dups=y", {}, Asked("car", True, True)),
        (f"{CAR};order=unk;dups=n", {}, Asked("car", False, True)),
        (f"{CAR};dups=y", {"format": "car"}, Asked("car", True, False)),
        (f"{CAR};dups=y", {"car-dups": "n"}, Asked("car", False, True)),
        (f"{CAR};version=2", {"car-version": "1"}, Asked("car", False, True)),
        (RAW, {"format": "car"}, Asked("car", False, False)),
        (f"text/html, {CAR};q=0.5, {RAW};q=0.9", {}, Asked("raw", False, True)),
        (f"{CAR};order=foo, {CAR};order=dfs;dups=y;q=0.5", {}, Asked("car", True, True)),
        (f"{CAR};order=foo, {CAR};dups=y;q=0.5", {"format": "car"}, Asked("car", True, False)),
        (f"{RAW};q=0, {CAR}", {}, Asked("car", False, True)),
        ("*/*", {"format": "raw"}, Asked("raw", False, False)),
        (CAR.upper(), {}, Asked("car", False, True)),
    ],
)
def test_which_form_is_asked_for(accept: str | None, params: dict[str, str], asked: Asked) -> None:
    assert negotiate(params, accept) == asked


@pytest.mark.parametrize(
    ("accept", "params", "status"),
    [
        (None, {}, 400),
        ("", {}, 400),
        ("*/*", {}, 406),
        ("text/html,application/xhtml+xml,*/*;q=0.8", {}, 406),
        (None, {"format": "tar"}, 406),
        (None, {"format": "dag-json"}, 406),
        (None, {"format": "exe"}, 400),
        (f"{CAR};version=2", {}, 406),
        (f"{CAR};order=rnd", {}, 406),
        (f"{CAR};dups=maybe", {}, 406),
        (None, {"format": "car", "car-version": "2"}, 406),
        (None, {"format": "car", "car-order": "rnd"}, 406),
        (None, {"format": "car", "car-dups": "x"}, 406),
        (f"{RAW};q=9", {}, 400),
        (f"{RAW};q=1e9", {}, 400),
        (f"{RAW};q=0", {}, 406),
        (RAW + "," * 3000, {}, 400),
    ],
)
def test_forms_that_are_not_served(accept: str | None, params: dict[str, str], status: int) -> None:
    with pytest.raises(Refusal) as refused:
        negotiate(params, accept)
    assert refused.value.status == status


def test_a_query_of_a_path() -> None:
    got = query(f"/ipfs/{CID}/a%20b/%C3%BC/", format="car", dag_scope="block")
    assert got == Query(CID, ("a b", "ü"), Asked("car", False, False), "block", None)
    assert query(f"/ipfs/{CID}", format="raw").names == ()
    assert query("/ipfs/QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn", format="raw").root == Cid.parse(
        "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/ipfs/",
        "/ipfs/tide",
        "/ipfs//a",
        "/ipfs/bafkqabtumvzxi",
        "/ipfs/bafkqaaa/a",
        f"/ipfs/{CID}//a",
        f"/ipfs/{CID}/..",
        f"/ipfs/{CID}/%2e%2e/a",
        f"/ipfs/{CID}/a%2Fb",
        f"/ipfs/{CID}/a%00",
        f"/ipfs/{CID}/%ff",
        f"/ipfs/{CID}" + "/a" * 200,
        f"/ipfs/{CID}/" + "a" * 300,
        "/ipfs/z" + "1" * 100_000,
    ],
)
def test_what_is_no_path(path: str) -> None:
    assert status_of(path, format="car") == 400


def test_what_does_not_go_together() -> None:
    assert status_of(f"/ipfs/{CID}/a", format="raw") == 400
    assert status_of(f"/ipfs/{CID}", format="ipns-record") == 400
    assert status_of(f"/ipfs/{CID}", format="car", dag_scope="everything") == 400


def test_the_probe() -> None:
    assert query("/ipfs/bafkqaaa", format="raw").root is None
    assert query("/ipfs/bafkqaaa/", RAW).root is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0:*", EntityBytes(0, None)),
        ("5:9", EntityBytes(5, 9)),
        ("-9:-1", EntityBytes(-9, -1)),
        ("4:-1", EntityBytes(4, -1)),
    ],
)
def test_a_range_implies_the_entity(text: str, wanted: EntityBytes) -> None:
    got = query(f"/ipfs/{CID}", format="car", entity_bytes=text)
    assert (got.scope, got.entity_bytes) == ("entity", wanted)


@pytest.mark.parametrize(
    "text", ["", ":", "5", "5:", ":5", "*:5", "5:4", "-1:-2", "a:b", "1:2:3", "1:" + "9" * 40, "٣:٤"]
)
def test_what_is_no_range(text: str) -> None:
    assert status_of(f"/ipfs/{CID}", format="car", entity_bytes=text) == 400


@given(st.integers(-50, 50), st.none() | st.integers(-50, 50), st.integers(0, 40))
def test_a_range_is_what_a_slice_is(first: int, last: int | None, size: int) -> None:
    start, stop = EntityBytes(first, last).within(size)
    assert 0 <= start <= stop
    data = bytes(range(size))
    begin = first if first >= 0 else max(size + first, 0)
    end = size if last is None else last + 1 if last >= 0 else max(size + last + 1, 0)
    assert data[start:stop] == data[begin:end]


def test_names_of_records() -> None:
    name = "k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r"
    assert read_ipns_name(f"/ipns/{name}", {"format": "ipns-record"}, None) == name
    for path, params, status in (
        (f"/ipns/{name}", {"format": "car"}, 406),
        (f"/ipns/{name}", {}, 400),
        (f"/ipns/{name}/a", {"format": "ipns-record"}, 400),
        ("/ipns/example.com", {"format": "ipns-record"}, 400),
        ("/ipns/", {"format": "ipns-record"}, 400),
        ("/ipns/" + "k" * 200, {"format": "ipns-record"}, 400),
    ):
        with pytest.raises(Refusal) as refused:
            read_ipns_name(path, params, None)
        assert refused.value.status == status


@given(
    st.text(max_size=80),
    st.text(max_size=80),
    st.dictionaries(
        st.sampled_from(["format", "dag-scope", "entity-bytes", "car-version", "car-order", "car-dups"]),
        st.text(max_size=12),
    ),
)
def test_nothing_else_is_raised(path: str, accept: str, params: dict[str, str]) -> None:
    for read in (read_query, read_ipns_name):
        for candidate in (path, f"/ipfs/{CID}/{path}"):
            try:
                read(candidate, params, accept)
            except Refusal:
                continue


def test_a_cid_of_version_0_is_one_of_version_1() -> None:
    assert query(f"/ipfs/{Cid(CODEC_DAG_PB, bytes(32))}", format="raw").root == Cid(CODEC_DAG_PB, bytes(32))
