"""One frozen settings tree; the only file that reads the environment. `sources.py` says where values come from."""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.folder import DATA_DIR_VARIABLE, SETTINGS_FILE
from gateway.sources import PREFIX, read_sources
from gateway.sources import SettingsError as SettingsError
from provenance.claims import LabelProfile, LabelStyle

DEMO_MODEL = "demo"
_PROVIDER_CODE = r"^[!#-\[\]-~]{1,128}$"  # GB 45438-2025, appendix E j): no space, quotation mark or backslash


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LimitOptions(_Frozen):
    """How much one key, one tenant and one public address may ask for."""

    key_requests_per_minute: int = Field(60, ge=1, description="requests one key may send per minute")
    tenant_requests_per_minute: int = Field(300, ge=1, description="requests all keys of a tenant may send per minute")
    image_budget_per_day: float = Field(
        100_000, gt=0, description="megapixel-steps a tenant may spend per UTC day (1024x1024 at 4 steps costs 4.2)"
    )
    polls_per_minute: int = Field(
        600,
        ge=1,
        description="questions for the state of a generation one key may send per minute; they count here alone",
    )
    public_requests_per_minute: int = Field(30, ge=1, description="checks of `POST /v1/verify` per address and minute")
    redis_url: str | None = Field(
        None,
        description="count requests in Redis, shared by several gateways, and not in memory; "
        "image budgets are in the database",
    )


class RetryOptions(_Frozen):
    """What asking again, much alike, for what was refused leads to. Counted are the refusals after the first one."""

    warn_after: int = Field(2, ge=1, description="like refusals after the first, from which a refusal warns")
    slow_after: int = Field(4, ge=1, description="from which what is like them has to wait")
    hold_after: int = Field(6, ge=1, description="from which what is like them and passes is held for a reviewer")
    suspend_after: int = Field(10, ge=1, description="from which nothing is made for this person for a while")
    slow_seconds: float = Field(30, gt=0, description="first wait; doubles with every further refusal, up to an hour")
    suspend_seconds: int = Field(86_400, ge=1, description="how long a suspension lasts")
    remember_seconds: int = Field(86_400, ge=1, description="how long a refusal counts; then its sketch is deleted")
    end_users_per_try: int = Field(
        2,
        ge=1,
        description="so many different end users of one key, refused for the like, count as one try of each of them; "
        "this alone suspends nobody",
    )
    similarity: float = Field(
        0.5, ge=0.3, le=1, description="share of words and pairs of words in common from which prompts are alike"
    )

    @model_validator(mode="after")
    def _steps_get_harder(self) -> "RetryOptions":
        if not self.warn_after <= self.slow_after <= self.hold_after <= self.suspend_after:
            raise ValueError("the steps come in this order: warn_after, slow_after, hold_after, suspend_after")
        return self


class ChainOptions(_Frozen):
    """Harm spread over several prompts: which earlier ones a prompt is read together with, from memory alone."""

    seconds: int = Field(900, ge=0, le=86_400, description="how long a prompt that passed is remembered; 0: not at all")
    prompts: int = Field(4, ge=1, le=32, description="prompts remembered of one person")
    join: Literal["pointing", "all"] = Field(
        "pointing", description="read together: those that point back or break off, or `all` of one person"
    )


class IntakeOptions(_Frozen):
    """What connections and bodies may cost before it is known who sends them."""

    header_timeout_seconds: float = Field(10, gt=0, description="time for the headers of a request to arrive")
    body_timeout_seconds: float = Field(60, gt=0, description="time for the body of a request to arrive")
    idle_timeout_seconds: float = Field(15, gt=0, description="how long an idle connection is kept open")
    max_header_bytes: int = Field(32_768, ge=8192, description="largest request line and headers together")
    connections_per_address: int = Field(
        256, ge=1, description="open connections of one address, or one IPv6 /64 network; trusted proxies may have more"
    )
    connections: int = Field(2048, ge=1, description="open connections of all addresses")


class VerifyOptions(_Frozen):
    """What checks by anybody (`POST /v1/verify`, `byContent`) may cost. Each runs in a process of its own."""

    workers: int | None = Field(
        None, ge=1, le=64, description="processes that check files; default: one for two cores, 4 at most"
    )
    waiting: int = Field(8, ge=0, description="checks that may wait for a process; more are answered 503")
    cpu_seconds: int = Field(20, ge=1, description="CPU time one check may take")
    memory_megabytes: int = Field(1000, ge=100, description="memory one check may take")


Language = Literal["en", "de", "fr", "es", "it"]


class Settings(BaseSettings):
    """Everything an operator can choose. Nothing here can lower the hard floor."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=False, case_sensitive=True)

    data_dir: Path = Field(Path("fluxgate-data"), description="folder of keys, database and pictures")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    public_url: str | None = Field(
        None, description="base of the links in answers; default: the address the client reached, see `allowed_hosts`"
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="values of the Host header, with the port if it has one, that links may name without `public_url`",
    )
    trusted_proxies: tuple[str, ...] = Field(
        (),
        description="addresses or networks (CIDR) of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto "
        "count; one on this machine must be named too",
    )
    provider: str = Field(
        "Unnamed Fluxgate operator",
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]+$",  # it stands in XMP, which holds no control characters
        description="who runs this gateway; every manifest names it",
    )
    labels: tuple[LabelProfile, ...] = Field(
        ("iptc", "california", "eu"),
        min_length=1,
        description="whose fields pictures carry in their metadata: `iptc`, `california` (SB 942), `eu` (AI Act), "
        "`china` (GB 45438-2025)",
    )
    provider_code: str | None = Field(
        None,
        pattern=_PROVIDER_CODE,
        description="who runs this, in China's label: printable ASCII without spaces",
    )
    visible_label: LabelStyle = Field(
        "none",
        description="drawn into every picture: `none`, `icon` or `text`; a request may ask for more, never less",
    )
    label_languages: tuple[str, ...] = Field(
        (),
        description="languages of visible labels, the first unless a request names one; default: all, `en` first",
    )
    end_user_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9-]{1,64}$",
        description="header in which front ends name the end user, such as `X-OpenWebUI-User-Id`: for keys with "
        "the scope `end_user_header`, it counts before `safety_identifier` and `user`",
    )
    appeal_contact: str = Field("", description="where a person contests a decision, if the policy names no contact")
    language: Language = Field(
        "en", description="of refusals, for callers that name none of `en`, `de`, `fr`, `es` and `it` themselves"
    )
    model: str = Field(DEMO_MODEL, description="`demo`, a folder in diffusers' layout, or a model hub id")
    model_id: str | None = Field(None, description="name callers use for the model; default: the folder or hub id")
    aliases: Mapping[str, str] = Field(
        default_factory=dict,
        description="other name in requests, or `*` for every other name → served model; answers, manifest and log "
        "name the model that drew",
    )
    engine: str = Field("flux", description="engine part that draws")
    policy: str | None = Field(
        None,
        description="`demo`, `default`, `strict` or a file; default: `demo` for the demo model, else `default`",
    )
    canary_policy: str | None = Field(None, description="a second policy, which decides about a share of the requests")
    canary_share: float = Field(0, ge=0, le=1, description="that share, 0 to 1")
    overlays: Mapping[str, Path] = Field(
        default_factory=dict,
        description="tenant → overlay file: stricter rules for it, softer ones only where the policy grants them",
    )
    jurisdictions: Mapping[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="tenant, or `*` for everybody → profiles of where its pictures are seen: `cn`, `de`, `eu`, `gb`, "
        "`in`, `kr`, `us-ca`, `vn`",
    )
    parts: Mapping[str, Mapping[str, Any]] = Field(
        default_factory=dict, description="options by part name, for example weights: `[parts.clip] weights = …`"
    )
    watermarker: str = Field("tile", description="watermarker part that marks")
    also_read: tuple[str, ...] = Field(
        ("dwtdctsvd", "tile"), description="watermarker parts whose marks are recognised too, such as retired ones"
    )
    foreign_marks: tuple[str, ...] = Field(
        ("invisible_watermark",), description="parts that recognise the marks of other systems"
    )
    manifest: Literal["embedded", "sidecar", "remote"] = Field(
        "embedded",
        description="where C2PA manifests go: into the image file; into a file of their own; "
        "into a file of their own, with its address in the image file",
    )
    signer: str = Field("local", description="signer part")
    key_passphrase_file: Path | None = Field(
        None, description="file with the passphrase of the signing key, CA key and log key; without one they lie open"
    )
    timestamp_url: str | None = Field(None, description="RFC 3161 authority; without one manifests carry no time-stamp")
    timestamp_required: bool = Field(True, description="whether a picture the authority does not stamp stays here")
    timestamp_timeout_seconds: float = Field(5, gt=0, le=25, description="an authority silent for longer has failed")
    timestamp_anchors: Path | None = Field(
        None, description="PEM roots of the authority: time-stamps that lead to no such root count for nothing"
    )
    database_url: str | None = Field(None, description="SQLAlchemy URL; default: SQLite in the data folder")
    database_timeout_seconds: float = Field(
        10, gt=0, le=60, description="how long the database may say nothing before a request that needs it fails"
    )
    blob_url: str | None = Field(None, description="fsspec URL for pictures; default: a folder in the data folder")
    blob_timeout_seconds: float = Field(60, gt=0, description="how long one read or write of a file may take")
    limits: LimitOptions = Field(default_factory=LimitOptions, description="see below")
    retries: RetryOptions = Field(default_factory=RetryOptions, description="see below")
    chains: ChainOptions = Field(default_factory=ChainOptions, description="see below")
    intake: IntakeOptions = Field(default_factory=IntakeOptions, description="see below")
    verify: VerifyOptions = Field(default_factory=VerifyOptions, description="see below")
    queue_size: int = Field(32, ge=1, description="accepted images in work at once; one tenant may have half of them")
    prompt_timeout_seconds: float = Field(10, gt=0, description="a prompt classifier silent for longer is a finding")
    image_timeout_seconds: float = Field(30, gt=0, description="an image classifier silent for longer is a finding")
    render_timeout_seconds: float = Field(600, gt=0, description="a drawing that takes longer is stopped")
    link_ttl_seconds: int = Field(3600, ge=1, description="how long a link to a picture works")
    upload_ttl_seconds: int = Field(
        86_400, ge=60, description="how long an image that was sent in can be used; then it is deleted"
    )
    max_stored_upload_bytes: int = Field(
        20_000_000_000, ge=1024, description="images sent in that are kept for one tenant at once, in bytes"
    )
    max_upload_bytes: int = Field(20_000_000, ge=1024, description="largest file taken from a caller")
    max_upload_pixels: int = Field(25_000_000, ge=65536, description="largest picture taken from a caller, in pixels")
    max_prompt_characters: int = Field(4000, ge=1, description="longest prompt")
    unsafe_development: bool = Field(False, description="admits parts whose name begins with Unsafe; never in service")

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is given: `load_settings` reads the sources, `Settings(...)` is a plain value."""
        return (init_settings,)

    @model_validator(mode="after")
    def _canary_has_both(self) -> "Settings":
        if (self.canary_policy is None) != (self.canary_share == 0):
            raise ValueError("canary_policy and a canary_share above 0 belong together")
        return self

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            ipaddress.ip_network(proxy)  # raises ValueError, which names what is wrong with it
        return proxies

    @model_validator(mode="after")
    def _china_names_a_provider(self) -> "Settings":
        if "china" in self.labels and self.provider_code is None:
            raise ValueError("labels with `china` need a provider_code")
        return self

    @property
    def is_demo_model(self) -> bool:
        """True if the shipped small model draws."""
        return self.model == DEMO_MODEL

    @property
    def policy_name(self) -> str:
        """The policy to load: the chosen one, or the one that fits the model."""
        return self.policy or ("demo" if self.is_demo_model else "default")


def load_settings(
    data_dir: Path | None = None, overrides: Mapping[str, Any] | None = None, environ: Mapping[str, str] = os.environ
) -> Settings:
    """Reads all sources. Raises `SettingsError` for an unknown name or a value out of range."""
    folder = data_dir or Path(environ.get(DATA_DIR_VARIABLE, "") or "fluxgate-data")
    file = folder / SETTINGS_FILE
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    others = {name: value for name, value in environ.items() if name != DATA_DIR_VARIABLE}
    try:
        return Settings.model_validate(read_sources(Settings, file, given, others) | {"data_dir": folder})
    except ValidationError as failure:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in failure.errors(include_input=False)]
        raise SettingsError(
            "these settings cannot be used: " + "; ".join(lines) + f". Look in {file} and in {PREFIX}… variables."
        ) from failure


_KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "LANG", "LC_ALL", "VIRTUAL_ENV", "PYTHONHOME")


def bare_environment() -> dict[str, str]:
    """The variables of a process that shall know nothing of ours: what the loader needs, and one thread for each."""
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | single | {"MALLOC_ARENA_MAX": "2"}
