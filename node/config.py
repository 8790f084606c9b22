"""The settings of one twin: a frozen tree, read once from `config.toml` and the command line.

Every component is given only its own section. A setting that is not known is an error, not a silence.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from identity.cid import Cid
from identity.did import parse_did
from identity.errors import MalformedCid, MalformedDid
from node.errors import ConfigInvalid
from protocols import fields, limits
from protocols.errors import MalformedMessage


class Section(BaseModel):
    """One table of config.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _rpc_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("must be a URL such as http://127.0.0.1:5001, without a user's name")
    return text


class NetworkConfig(Section):
    """`[network]`: where to listen for other twins, and whom to call first.

    `allow_private_addresses` lets DIDs and agents' endpoints lead to this machine and its own network, over HTTP.
    `dht` is `client` (find and be found through others), `server` (also keep others' records) or `off`.
    """

    listen: tuple[str, ...] = ("/ip4/0.0.0.0/tcp/4801",)
    bootstrap: tuple[str, ...] = ()
    mdns: bool = True
    announce_every_s: float = Field(default=300, ge=1)
    sync_every_s: float = Field(default=60, ge=1)
    max_twin_connections: int = Field(default=32, ge=1, le=1024)
    allow_private_addresses: bool = False
    dht: Literal["client", "server", "off"] = "client"


class ApiConfig(Section):
    """`[api]`: the owner's HTTP interface."""

    listen: str = "127.0.0.1:8888"
    metrics_public: bool = False


def _public_url(url: str) -> str:
    parts = urlsplit(url)
    is_plain = not (parts.query or parts.fragment or "@" in parts.netloc)
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
        raise ValueError("not an http(s) URL without user, query and fragment")
    return url.rstrip("/")


def _cid(text: str) -> str:
    try:
        return str(Cid.parse(text))
    except MalformedCid as error:
        raise ValueError(str(error)) from error  # what pydantic makes its own error of


class PublicConfig(Section):
    """`[public]`: where strangers may bring messages over HTTP, and look our DID up.

    `listen` is HOST:PORT; `url` is what the world calls that, and gives us a did:web. `proxied` says that a proxy of
    the owner's stands before it and that nobody else can reach it: its X-Forwarded-For is believed. `gateway` serves
    the blocks that are here to whoever knows their CIDs, except `gateway_denies`.
    """

    listen: str | None = None
    url: Annotated[str, AfterValidator(_public_url)] | None = None
    proxied: bool = False
    gateway: bool = True
    gateway_denies: tuple[Annotated[str, AfterValidator(_cid)], ...] = ()


class InferenceConfig(Section):
    """`[inference]`: `model` is `bundled`, `none` or the path of a GGUF file.

    `engine` is the library that runs it; the second one is an extra that is installed apart. `threads` and
    `context_tokens` (of one request) follow from the machine where they are not given. `hub` is where
    `pagi model add OWNER/REPO` fetches from, with the token in `hub_token_file` where a model asks for one; unless
    `share_models` is off, what was added is pinned, so that other twins can have it from this one.

    Of a provider (`pagi provider`) the first piece of an answer is waited for `first_piece_s`, each further one
    `stall_s`, the whole of it `answer_s`.
    """

    model: str = "bundled"
    engine: Literal["xllamacpp", "llama-cpp-python"] = "xllamacpp"
    threads: int | None = Field(default=None, ge=1)
    context_tokens: int | None = Field(default=None, ge=512)
    hub: Annotated[str, AfterValidator(_rpc_url)] = "https://huggingface.co"
    hub_token_file: Path | None = None
    share_models: bool = True
    first_piece_s: float = Field(default=120, gt=0)
    stall_s: float = Field(default=30, gt=0)
    answer_s: float = Field(default=900, gt=0)


class BudgetLimits(Section):
    """How much models may be used: tokens of prompts and answers, seconds of waiting for them, money as in the
    providers' prices. What is not named has no limit."""

    tokens: int | None = Field(default=None, ge=1)
    seconds: float | None = Field(default=None, gt=0)
    money: float | None = Field(default=None, gt=0)


class BudgetConfig(Section):
    """`[budget.day]` (UTC), `[budget.session]` and `[budget.twin]` (ever): limits for the use of models.

    From `throttle_at` of a limit on, a goal gets an answer that says so instead of the model's; at the limit itself a
    call is refused.
    """

    throttle_at: float = Field(default=0.9, gt=0, le=1)
    day: BudgetLimits = BudgetLimits()
    session: BudgetLimits = BudgetLimits()
    twin: BudgetLimits = BudgetLimits()


class TelemetryConfig(Section):
    """`[telemetry]`: where spans and metrics of the model calls go, such as `http://127.0.0.1:4318`; nowhere by
    default. They never hold what was asked or answered."""

    otlp_endpoint: Annotated[str, AfterValidator(_rpc_url)] | None = None


class ContentConfig(Section):
    """`[content]`: how much disk the block store may use.

    `provide` is what the DHT is told of: the `roots` of pins and the heads of playbooks, or `none`.
    `backend` is where content is: in this twin's own blocks, or in the Kubo whose RPC API is at `kubo_api`;
    `kubo_secret_file` has what its `API.Authorizations` asks for, as `bearer:TOKEN` or `basic:USER:PASSWORD`.
    `host_bytes_per_twin` is how much is kept for each twin that the owner named and that asks for it, `host_bytes` how
    much for all of them; 0 for nothing.
    """

    quota_bytes: int = Field(default=10 * 1024**3, ge=1024**2)
    backend: Literal["embedded", "kubo"] = "embedded"
    kubo_api: Annotated[str, AfterValidator(_rpc_url)] = "http://127.0.0.1:5001"
    kubo_secret_file: Path | None = None
    host_bytes_per_twin: int = Field(default=256 * 1024**2, ge=0)
    host_bytes: int = Field(default=2 * 1024**3, ge=0)
    provide: Literal["roots", "none"] = "roots"


class MailConfig(Section):
    """`[mail]`: how long an undelivered message is tried, and who keeps ours while we are away.

    `mediator` is `auto` (every bootstrap relay that grants it) or `none`.
    """

    retry_first_s: float = Field(default=1.0, gt=0)
    retry_most_s: float = Field(default=60.0, gt=0)
    expire_after_s: int = Field(default=7 * 86_400, ge=1)
    mediator: Literal["auto", "none"] = "auto"


class MemoryConfig(Section):
    """`[memory]`: how long things count.

    `working_ttl_s` is how long the turns of a session are kept as they were said; `session_idle_s` is after what
    silence a conversation is over and becomes an episode; after `half_life_days` what happened counts half as recent.
    Without `consolidate` nothing becomes an episode and no turn expires; without `notice` what you say of yourself in
    passing is not kept as a memory of its own.

    `embedder` finds memories by likeness: `wordllama`, `wordllama:128` (or 64; smaller, less exact), `onnx:FOLDER` or
    `gguf:PATH` (docs/decisions/embeddings.md). When it is changed, memories are embedded again in the background.
    """

    embedder: str = Field(default="wordllama", min_length=1, max_length=4096)
    working_ttl_s: float = Field(default=7 * 86_400, ge=60)
    session_idle_s: float = Field(default=1800, ge=1)
    half_life_days: float = Field(default=30, gt=0)
    consolidate: bool = True
    notice: bool = True


def _did(text: str) -> str:
    try:
        return parse_did(text)
    except MalformedDid as error:
        raise ValueError(str(error)) from error  # what pydantic makes its own error of


class MindConfig(Section):
    """`[mind]`: how the executive works.

    `playbook_tokens` is the room for bullets in a prompt. `owners` are DIDs whose keys may stop this twin's work and
    let it go on, besides its own. Without `reflect` no goal teaches anything by itself. `share_lessons` lets what is
    learnt from the owner's feedback into the playbook, where others read it; else it stays in the namespace `mind`.
    `meta_learning` is what the twin may change by itself from how the swarm does: `propose` asks the owner but for
    harmless settings of its own. `jobs_at_once` goals are worked on while others wait; a goal is split into parts
    `max_depth` deep; what the owner is asked for expires after `approval_ttl_s`.
    """

    jobs_at_once: int = Field(default=4, ge=1, le=64)
    max_depth: int = Field(default=3, ge=0, le=5)
    approval_ttl_s: float = Field(default=86_400, ge=1)
    owners: tuple[Annotated[str, AfterValidator(_did)], ...] = Field(default=(), max_length=16)
    recall_items: int = Field(default=5, ge=1, le=32)
    ask_timeout_s: float = Field(default=60, gt=0)
    max_asked: int = Field(default=2, ge=0, le=8)
    playbook: str = Field(default="common", pattern=r"^[a-z0-9-]{1,64}$")
    playbook_tokens: int = Field(default=200, ge=0, le=32_768)
    reflect: bool = True
    share_lessons: bool = False
    meta_learning: Literal["on", "propose", "off"] = "propose"


def _git_url(url: str) -> str:
    try:
        return fields.line(url, "url", limits.MAX_LINK_CHARS)
    except MalformedMessage as error:
        raise ValueError(str(error)) from error  # what pydantic makes its own error of


def _branch(name: str) -> str:
    if any(part in ("", ".", "..") or part.endswith((".", ".lock")) for part in name.split("/")):
        raise ValueError("not the name of a branch")
    return name


class GitConfig(Section):
    """`[hive.git]`: a Git repository that people keep beside one playbook.

    `url` is what `git clone` takes. What people merge into `base_branch` becomes revisions here; with `push` what this
    twin learnt goes to branches `swarm/improvement/…` for review, with `push_playbook` as a new playbook.toml as well.
    """

    url: Annotated[str, AfterValidator(_git_url)] | None = None
    playbook: str = Field(default="common", pattern=r"^[a-z0-9-]{1,64}$")
    base_branch: Annotated[str, AfterValidator(_branch)] = Field(default="main", pattern=r"^[A-Za-z0-9_./-]{1,128}$")
    pull_every_s: float = Field(default=300, ge=10)
    push: bool = True
    push_playbook: bool = False


class HiveConfig(Section):
    """`[hive]`: what is done with what others teach, once their author may teach at all.

    `gate` is what happens where no check of the owner's can measure a revision: `when-checks-fit` adopts it by trust
    alone, `always` has it wait for the owner, and with `off` nothing is tried. `canary_share` over 0 gives whatever is
    adopted to that share of the goals first.
    """

    gate: Literal["when-checks-fit", "always", "off"] = "when-checks-fit"
    canary_share: float = Field(default=0.0, ge=0, lt=1)
    git: GitConfig = GitConfig()


def _twin_name(name: str) -> str:
    try:
        return fields.line(name, "name", limits.MAX_TWIN_NAME_CHARS)
    except MalformedMessage as error:
        raise ValueError(str(error)) from error  # what pydantic makes its own error of


class Config(Section):
    """The whole of config.toml."""

    name: Annotated[str, AfterValidator(_twin_name)] = "twin"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    network: NetworkConfig = NetworkConfig()
    api: ApiConfig = ApiConfig()
    public: PublicConfig = PublicConfig()
    inference: InferenceConfig = InferenceConfig()
    budget: BudgetConfig = BudgetConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    content: ContentConfig = ContentConfig()
    mail: MailConfig = MailConfig()
    memory: MemoryConfig = MemoryConfig()
    mind: MindConfig = MindConfig()
    hive: HiveConfig = HiveConfig()


def load_config(path: Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read `config.toml` (absent means all defaults), then lay `overrides` over it: a table is laid key by key.

    Raises ConfigInvalid, which names the setting and what is wrong with it.
    """
    settings: dict[str, Any] = {}
    if path.exists():
        try:
            settings = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigInvalid(f"{path.name} is not TOML: {error}") from error
        except OSError as error:
            raise ConfigInvalid(f"{path} cannot be read: {error.strerror}") from error
    for name, value in (overrides or {}).items():
        if not isinstance(value, Mapping):
            settings[name] = value
            continue
        table = settings.setdefault(name, {})
        if not isinstance(table, dict):
            raise ConfigInvalid(f"{name}: should be a table")
        table.update(value)
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        setting = ".".join(str(part) for part in first["loc"])
        message = "there is no such setting" if first["type"] == "extra_forbidden" else first["msg"]
        raise ConfigInvalid(f"{setting}: {message}") from error
