"""Every setting of Turnup, its default and what it means; the reference page is generated from here.

Sources, the strongest first: arguments, `TURNUP_*` environment variables, `turnup.yaml` (the file named by
TURNUP_CONFIG, else the one in the data directory), the defaults. Nothing else reads the environment.
"""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, HttpUrl, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)
from yaml import YAMLError

from turnup.kernel.errors import InvalidInput
from turnup.kernel.privacy import retention

ENV_PREFIX = "TURNUP_"
CONFIG_VARIABLE = "TURNUP_CONFIG"
CONFIG_NAME = "turnup.yaml"


class InvalidSetting(InvalidInput):
    """A setting is unknown or its value makes no sense; nothing was started."""

    code: ClassVar[str] = "invalid_setting"


def default_data_dir() -> Path:
    """``./var/turnup``; for root in a folder closed to others, ``/var/lib/turnup``.

    PostgreSQL refuses to run as root, and the account it then runs as has to reach the data.
    """
    here = Path.cwd()
    if os.geteuid() == 0 and not all(folder.stat().st_mode & 0o001 for folder in (here, *here.parents)):
        return Path("/var/lib/turnup")
    return Path("var/turnup")


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("no such IANA time zone, write one like Europe/Berlin") from None
    return name


def _postgres_url(url: SecretStr) -> SecretStr:
    if not re.match(r"postgres(ql)?(\+psycopg)?://", url.get_secret_value()):
        raise ValueError("write postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    return url


def _known_retention(days: dict[str, int]) -> dict[str, int]:
    try:
        retention(days)
    except InvalidInput as error:
        raise ValueError(f"{error.field}: {error.message}; {error.remedy}") from None
    return days


PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """The settings; frozen. `load_settings` makes them with errors that name setting and remedy."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, extra="forbid", env_ignore_empty=True
    )

    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="Where Turnup keeps its data: embedded PostgreSQL, secrets, documents. One directory "
        "is one installation. For root in a folder closed to other users the default is /var/lib/turnup.",
    )
    database_url: PostgresUrl | None = Field(
        default=None,
        description="URL of a PostgreSQL 16 or newer of your own; without it Turnup runs its embedded one.",
    )
    aaa_database_url: PostgresUrl | None = Field(
        default=None,
        description="URL of the AAA database that FreeRADIUS reads and provisioning writes; without it, the "
        "database `aaa` of embedded PostgreSQL, or `aaa` on the server of `database_url`.",
    )
    postgres_account: str = Field(
        default="nobody",
        description="When Turnup runs as root: the account for embedded PostgreSQL, which refuses root.",
    )
    database_pool_size: int = Field(
        default=10,
        ge=1,
        le=500,
        description="Database connections a process keeps open, at most; as many again for reads.",
    )
    database_pool_wait_seconds: float = Field(
        default=5.0,
        gt=0,
        description="Seconds that an API request waits for a free database connection before it fails (503).",
    )

    http_host: str = Field(default="127.0.0.1", description="Address that the HTTP API listens on.")
    http_port: Port = Field(default=8080, description="Port of the HTTP API; 0 takes a free one.")
    http_threads: int = Field(
        default=10,
        ge=1,
        le=500,
        description="Requests worked on at once in one process; more than `database_pool_size` only wait.",
    )
    http_body_bytes_max: int = Field(
        default=16 << 20, ge=1024, description="The largest body of a request, in bytes (413 beyond it)."
    )
    requests_per_minute: int = Field(
        default=12_000,
        ge=0,
        description="Requests that one token or staff member may send in a minute, over all servers (429 "
        "beyond it); 0 sets no limit.",
    )
    public_url: HttpUrl | None = Field(
        default=None,
        description="URL under which others reach the API, for the `href` of resources; without it, the one "
        "they called.",
    )

    workers: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Worker processes that `turnup up` starts; orders and bill runs go faster with each, "
        "up to one per processor core.",
    )
    worker_concurrency: int = Field(
        default=8, ge=1, le=256, description="Durable workflows that one worker process runs at once."
    )
    order_queue_poll_ms: int = Field(
        default=50,
        ge=5,
        le=10_000,
        description="Milliseconds between looks at the order queue; the larger part of an idle order's wait.",
    )
    lease_seconds: float = Field(
        default=15.0,
        gt=1,
        description="A worker that renews its lease no more for this long is taken for dead, its workflows "
        "are taken over.",
    )

    default_language: str = Field(
        default="en",
        pattern=r"^[a-z]{2,3}$",
        description="Language (ISO 639) of customers for whom none is given; messages come in it where they "
        "are translated, else in English.",
    )
    default_time_zone: Annotated[str, AfterValidator(_known_zone)] = Field(
        default="UTC", description="IANA time zone of business dates where an account names none."
    )
    default_currency: str = Field(
        default="EUR",
        pattern=r"^[A-Z]{3}$",
        description="Currency (ISO 4217) of accounts and prices that name none.",
    )

    mail_host: str | None = Field(
        default=None,
        description="Mail server (SMTP) for messages to customers; without it they are files in the folder "
        "`mail` of the data directory, and nobody outside gets any.",
    )
    mail_port: Port = Field(default=587, description="Port of the mail server.")
    mail_starttls: bool = Field(
        default=True,
        description="Demand TLS with a certificate that holds; false only for a mail server on this machine.",
    )
    mail_sender: str = Field(
        default="Turnup <turnup@isp.example>",
        pattern=r"^[^<>@\r\n]*(<[^<>@\s]+@[^<>@\s]+>|[^<>@\s]+@[^<>@\s]+)$",
        description="Who the messages are from: an address, or NAME <ADDRESS>.",
    )
    mail_username: str | None = Field(
        default=None, description="User name at the mail server; without it Turnup sends without a login."
    )
    mail_password: SecretStr | None = Field(
        default=None,
        description="Password at the mail server: in clear in the environment, or in the file as "
        "`turnup secrets seal mail_password` prints it.",
    )

    log_format: Literal["console", "json"] = Field(
        default="console", description="`console` for people, `json` for machines (one object per line)."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe log entries that are written."
    )
    otlp_endpoint: HttpUrl | None = Field(
        default=None,
        description="OpenTelemetry collector (OTLP over HTTP) for traces; without it none are sent.",
    )
    trace_dir: Path | None = Field(
        default=None,
        description="Folder for traces as files, one per process, a JSON object a line; without it none are "
        "written.",
    )
    metrics_port: Port = Field(
        default=0,
        description="Port on loopback for the worker's Prometheus metrics, the next one for the collector's, "
        "those after it for further workers; 0 serves none. The API has /metrics of its own.",
    )

    backup_dir: Path | None = Field(
        default=None,
        description="Folder for backups of embedded PostgreSQL and its WAL archive; without it `backups` in "
        "the data directory. Another disk survives the loss of this one; PostgreSQL's account must reach it.",
    )
    backup_keep: int = Field(
        default=7,
        ge=1,
        description="How many backups are kept, and the WAL since the oldest.",
    )
    backup_age_hours_max: float = Field(
        default=26.0, gt=0, description="`turnup doctor` complains when the last backup is older than this."
    )
    password_login: bool = Field(
        default=True,
        description="Whether staff log in by password; false where everybody logs in at the OpenID provider.",
    )
    session_idle_minutes: float = Field(
        default=30.0, gt=0, description="Minutes after which an unused session of a staff member ends."
    )
    session_hours: float = Field(
        default=12.0, gt=0, description="Hours after which a session ends, however much it is used."
    )
    staff_roles: dict[str, list[str]] = Field(
        default={},
        description="Roles of your own beside administrator, network, billing, support and auditor: name and "
        'scopes, as in `{"night-shift": ["freezes:write", "orders:read"]}`.',
    )
    four_eyes: list[str] = Field(
        default=[],
        description="Actions that need a second person: `all`, or some of brake.release, freeze.lift_all, "
        "privacy.erase, secrets.rotate, staff.grant. None by default: one starts with one person. "
        'Once there are two, `["all"]` is advised.',
    )
    four_eyes_hours: float = Field(
        default=8.0, gt=0, description="Hours that a request waits for its second person; then it expires."
    )
    oidc_issuer: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Issuer URL of the OpenID provider where staff log in, exactly as it calls itself; needs "
        "`oidc_client_id` and `public_url`.",
    )
    oidc_client_id: str | None = Field(
        default=None, description="Client id of Turnup at the OpenID provider."
    )
    oidc_client_secret: SecretStr | None = Field(
        default=None,
        description="Client secret at the OpenID provider: in clear in the environment, or in the file as "
        "`turnup secrets seal oidc_client_secret` prints it. A public client has none.",
    )
    oidc_claim: Literal["sub", "email", "preferred_username"] = Field(
        default="sub",
        description="Claim of the ID token that names a staff member (her `oidc_identity`); `email` counts "
        "only where the provider has verified it.",
    )

    retention_days: Annotated[dict[str, int], AfterValidator(_known_retention)] = Field(
        default={},
        description="Days that data is kept after it was over, by kind, where not the default: traffic 180, "
        "measurements 400, messages 730, imports 90, operations 1095, events 1095, workflows 180, logins 90, "
        "logs 30, element_backups 400, audit 3653, documents 3653 (from the end of the year); 0: for ever. "
        'As in `{"traffic": 90}`.',
    )

    simulated_clock: bool = Field(
        default=False,
        description="Take the time from a clock in the database that can be moved; for demo, training and "
        "rehearsal, never with real customers.",
    )
    secret_key_file: Path | None = Field(
        default=None,
        description="File with the key that encrypts device credentials; without it `secret.key` in the data "
        "directory, made at the first start. Keep a copy apart from the database's.",
    )

    snmp_interval_seconds: float = Field(
        default=60.0,
        gt=0,
        description="Seconds between two polls of a network element: by SNMP, by ping where it has none.",
    )
    session_interval_seconds: float = Field(
        default=60.0,
        gt=0,
        description="Seconds between two looks for RADIUS sessions that went silent.",
    )
    reconciliation_interval_seconds: float = Field(
        default=3600.0, gt=0, description="Seconds between two standing reconciliations."
    )

    @model_validator(mode="after")
    def _pools_fit(self) -> Self:
        if self.http_threads > 2 * self.database_pool_size:
            raise ValueError("http_threads: more than twice database_pool_size; lower it or raise the pool")
        return self

    @model_validator(mode="after")
    def _mail_login_is_whole(self) -> Self:
        if self.mail_username and self.mail_password is None:
            raise ValueError("mail_password: mail_username is set, but no password")
        if self.mail_password is not None and not self.mail_username:
            raise ValueError("mail_username: mail_password is set, but no user name")
        return self

    @model_validator(mode="after")
    def _openid_is_whole(self) -> Self:
        if self.oidc_issuer and not self.oidc_client_id:
            raise ValueError("oidc_client_id: oidc_issuer is set, but no client id")
        if self.oidc_issuer and self.public_url is None:
            raise ValueError("public_url: oidc_issuer is set, but no URL to which it sends browsers back")
        if not self.password_login and not self.oidc_issuer:
            raise ValueError("password_login: is off, but without oidc_issuer nobody could log in")
        return self

    @property
    def secret_key_path(self) -> Path:
        """Where the key that encrypts credentials lies."""
        return self.secret_key_file or self.data_dir / "secret.key"

    @property
    def backup_path(self) -> Path:
        """Where backups lie."""
        return self.backup_dir or self.data_dir / "backups"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, then the file; no .env, no folder of secrets."""
        file = config_file(init_settings().get("data_dir") or env_settings().get("data_dir"))
        if file is None:
            return (init_settings, env_settings)
        return (init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=file))


def config_file(data_dir: Path | str | None = None) -> Path | None:
    """The file that counts, None without one. Raises InvalidSetting when TURNUP_CONFIG names none."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise InvalidSetting(
                f"there is no file {named}",
                field=CONFIG_VARIABLE,
                remedy="name an existing YAML file or unset the variable",
            )
        return Path(named)
    found = Path(data_dir or default_data_dir()) / CONFIG_NAME
    return found if found.is_file() else None


def load_settings(**overrides: Any) -> Settings:
    """The settings from arguments, environment and file.

    Raises InvalidSetting naming the setting as it is written in both places, and the remedy.
    """
    try:
        return Settings(**overrides)
    except ValidationError as failure:
        raise _explained(failure) from failure
    except YAMLError as failure:
        raise InvalidSetting(
            f"not valid YAML: {' '.join(str(failure).split())}",
            field=str(config_file(overrides.get("data_dir") or os.environ.get("TURNUP_DATA_DIR"))),
            remedy="write lines like `http_port: 8080`",
        ) from failure


def _explained(failure: ValidationError) -> InvalidSetting:
    first = failure.errors(include_url=False, include_input=False)[0]
    if not first["loc"]:
        name, _, message = first["msg"].removeprefix("Value error, ").partition(": ")
        return InvalidSetting(message, field=name, remedy=_where(name))
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, Settings.model_fields, n=1)
        hint = f"did you mean {near[0]}?" if near else "`turnup doctor --settings` lists them all"
        return InvalidSetting("no such setting", field=name, remedy=hint)
    return InvalidSetting(first["msg"].removeprefix("Value error, "), field=name, remedy=_where(name))


def _where(name: str) -> str:
    about = Settings.model_fields[name].description
    return f"set {ENV_PREFIX}{name.upper()}, or {name} in {CONFIG_NAME}: {about}"


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str | None]:
    """`TURNUP_*` variables that mean nothing, each with the one that was probably meant; for `doctor`."""
    known = [f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields] + [CONFIG_VARIABLE]
    return {
        name: next(iter(difflib.get_close_matches(name, known, n=1)), None)
        for name in environment
        if name.startswith(ENV_PREFIX) and name not in known
    }
