"""All settings, read from the environment once, each with its default and its reason.

Nothing else in the program reads the environment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from shared.decoding import decode
from shared.errors import ConfigurationError
from shared.notify import routing
from shared.targets import (
    DataFactory,
    Target,
    Targets,
    Workspace,
    check_endpoint,
    check_urls,
)
from shared.vocabulary import PLAYBOOKS, Mode, Scope

T = TypeVar("T")

PUBLIC_ARM = "https://management.azure.com"
SHIPPED_CATALOG = Path(__file__).parent / "catalog" / "catalog.yaml"
_MIN_KEY = 16
TOKEN_FILE = "file:"  # noqa: S105 - a prefix, not a token
_MAX_PREFIX = 50


class ApiKey(msgspec.Struct, frozen=True):
    """One caller's key. `name` is what the audit trail calls its holder."""

    name: str
    key: str
    scopes: frozenset[Scope]

    def __repr__(self) -> str:
        return f"ApiKey({self.name!r})"


class Settings(msgspec.Struct, frozen=True):
    """What the environment says. Times are in seconds unless the name says otherwise."""

    targets: Targets
    workspace_tokens: dict[str, str]
    mode: Mode | None  # None: the policy's own
    enabled: bool
    max_retries: int | None  # None: the policy's own
    max_cost_usd: float | None
    policy_path: Path | None  # None: the ready policy of the mode
    rerunnable: tuple[str, ...]
    approval_key: str
    max_workers: int
    api_keys: tuple[ApiKey, ...]
    app_service_auth: dict[str, frozenset[Scope]]
    storage_connection: str
    storage_account_url: str
    table_prefix: str
    signing_key: str
    arm_endpoint: str
    azure_access_token: str
    catalog_path: Path
    public_url: str
    max_body_bytes: int
    retention_days: int
    sweep_lookback_minutes: int
    call_timeout: float
    playbooks: dict[str, str]
    package_index_url: str
    source_storage_connection: str
    source_storage_account_url: str
    channels: tuple[routing.Channel, ...]
    notification_loopback: bool  # channels may be on this machine
    key_vault_urls: tuple[str, ...]  # vaults whose secrets are looked at as a whole
    system_tables_warehouse: str  # `<workspace>/<id>`, or the id on the first workspace
    insights_connection: str  # Application Insights; empty: nothing is sent there
    otlp_endpoint: str  # an OTLP receiver over HTTP; empty: nothing is sent there

    def __repr__(self) -> str:
        return f"Settings(mode={self.mode!r})"  # never a secret, wherever it is printed

    @property
    def secrets(self) -> list[str]:
        """Every configured value that must never appear in a text."""
        values = [k.key for k in self.api_keys]
        values += list(self.workspace_tokens.values())
        values += [
            self.signing_key,
            self.approval_key,
            self.azure_access_token,
            self.storage_connection,
        ]
        values += [self.source_storage_connection, *self.playbooks.values()]
        values += [secret for channel in self.channels for secret in channel.secrets]
        for connection in (self.storage_connection, self.source_storage_connection):
            values += [part.partition("=")[2] for part in connection.split(";") if "Key=" in part]
        return [v for v in values if v]


def read_token(configured: str) -> str:
    """A token as it is configured: itself, or `file:<path>` for one that is kept fresh in a file.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    if not configured.startswith(TOKEN_FILE):
        return configured
    path = Path(configured.removeprefix(TOKEN_FILE))
    try:
        return path.read_text("utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"token file {path.name}: {error.strerror}") from None


def load(env: Mapping[str, str]) -> Settings:
    """Settings from environment variables.

    Raises:
        ConfigurationError: a value is wrong; the text names the setting and what was expected.
    """
    targets = _targets(env)
    loopback = _boolean(env, "NOTIFICATION_ALLOW_LOOPBACK", default=False)
    return Settings(
        targets=targets,
        workspace_tokens=_tokens(env, targets),
        mode=_mode(env, "AUTO_REMEDIATION_MODE"),
        enabled=_boolean(env, "AUTO_REMEDIATION_ENABLED", default=True),
        max_retries=_optional_integer(env, "AUTO_REMEDIATION_MAX_RETRIES", low=0, high=50),
        max_cost_usd=_amount(env, "AUTO_REMEDIATION_MAX_COST_USD"),
        policy_path=Path(env["POLICY_PATH"]) if env.get("POLICY_PATH") else None,
        rerunnable=_patterns(env, "RERUNNABLE"),
        approval_key=_key(env, "APPROVAL_SIGNING_KEY"),
        max_workers=_integer(env, "AUTO_REMEDIATION_MAX_WORKERS", 16, low=1, high=10_000),
        api_keys=_api_keys(env),
        app_service_auth=_app_service_auth(env),
        storage_connection=env.get("AUDIT_STORAGE_CONNECTION", ""),
        storage_account_url=_endpoint(env, "AUDIT_STORAGE_ACCOUNT_URL"),
        table_prefix=_table_prefix(env),
        signing_key=env.get("AUDIT_SIGNING_KEY", ""),
        arm_endpoint=check_endpoint(
            "AZURE_RESOURCE_MANAGER_ENDPOINT",
            env.get("AZURE_RESOURCE_MANAGER_ENDPOINT") or PUBLIC_ARM,
        ),
        azure_access_token=env.get("AZURE_ACCESS_TOKEN", ""),
        catalog_path=Path(env.get("CATALOG_PATH") or SHIPPED_CATALOG),
        public_url=env.get("PUBLIC_URL", "").rstrip("/"),
        max_body_bytes=_integer(env, "MAX_ALERT_BYTES", 1_048_576, low=1024, high=16_777_216),
        retention_days=_integer(env, "RETENTION_DAYS", 400, low=1, high=3650),
        sweep_lookback_minutes=_integer(env, "SWEEP_LOOKBACK_MINUTES", 60, low=1, high=1440),
        call_timeout=_integer(env, "PLATFORM_CALL_TIMEOUT_SECONDS", 30, low=1, high=120),
        playbooks=_playbooks(env),
        package_index_url=_endpoint(env, "PACKAGE_INDEX_URL"),
        source_storage_connection=env.get("SOURCE_STORAGE_CONNECTION", ""),
        source_storage_account_url=_endpoint(env, "SOURCE_STORAGE_ACCOUNT_URL"),
        channels=routing.channels(env.get(routing.SETTING, ""), allow_loopback=loopback),
        notification_loopback=loopback,
        key_vault_urls=_vaults(env),
        system_tables_warehouse=_warehouse(env, targets),
        insights_connection=env.get("APPLICATIONINSIGHTS_CONNECTION_STRING", ""),
        otlp_endpoint=_endpoint(env, "OTEL_EXPORTER_OTLP_ENDPOINT"),
    )


def _targets(env: Mapping[str, str]) -> Targets:
    if raw := env.get("TARGETS", "").strip():
        return Targets(_checked(_decode("TARGETS", raw, list[DataFactory | Workspace])))
    return Targets(_checked(_short_form(env)))


def _short_form(env: Mapping[str, str]) -> list[Target]:
    listed: list[Target] = []
    environment = env.get("ENVIRONMENT", "production")
    if name := env.get("ADF_NAME"):
        listed.append(
            DataFactory(
                name=name,
                subscription_id=_required(env, "AZURE_SUBSCRIPTION_ID", "ADF_NAME"),
                resource_group=_required(env, "AZURE_RESOURCE_GROUP", "ADF_NAME"),
                environment=environment,
            )
        )
    if host := env.get("DATABRICKS_HOST"):
        listed.append(
            Workspace(
                name=env.get("DATABRICKS_WORKSPACE_NAME") or "databricks",
                host=host,
                workspace_id=env.get("DATABRICKS_WORKSPACE_ID", ""),
                token_setting="DATABRICKS_TOKEN" if env.get("DATABRICKS_TOKEN") else "",
                environment=environment,
            )
        )
    return listed


def _checked(listed: list[Target]) -> list[Target]:
    return [
        msgspec.structs.replace(t, host=check_endpoint(f"host of {t.name}", t.host))
        if isinstance(t, Workspace)
        else t
        for t in listed
    ]


def _tokens(env: Mapping[str, str], targets: Targets) -> dict[str, str]:
    wanted = [w for w in targets.workspaces if w.token_setting]
    return {w.name: _required(env, w.token_setting, f"the workspace {w.name!r}") for w in wanted}


def _api_keys(env: Mapping[str, str]) -> tuple[ApiKey, ...]:
    raw = env.get("API_KEYS", "").strip()
    keys = _decode("API_KEYS", raw, tuple[ApiKey, ...]) if raw else ()
    for position, key in enumerate(keys):
        if len(key.key) < _MIN_KEY:
            raise ConfigurationError(
                f"API_KEYS[{position}].key: expected at least {_MIN_KEY} characters"
            )
    return keys


def _app_service_auth(env: Mapping[str, str]) -> dict[str, frozenset[Scope]]:
    raw = env.get("APP_SERVICE_AUTH", "").strip()
    return _decode("APP_SERVICE_AUTH", raw, dict[str, frozenset[Scope]]) if raw else {}


def _endpoint(env: Mapping[str, str], name: str) -> str:
    url = env.get(name, "")
    return check_endpoint(name, url) if url else ""


def _vaults(env: Mapping[str, str]) -> tuple[str, ...]:
    listed = (url.strip() for url in env.get("KEY_VAULT_URLS", "").split(","))
    return tuple(check_endpoint("KEY_VAULT_URLS", url) for url in listed if url)


def _warehouse(env: Mapping[str, str], targets: Targets) -> str:
    value = env.get("SYSTEM_TABLES_WAREHOUSE_ID", "").strip()
    name, found, identity = value.rpartition("/")
    known = {workspace.name.lower() for workspace in targets.workspaces}
    if value and (not identity.isalnum() or (found and name.lower() not in known)):
        raise ConfigurationError(
            "SYSTEM_TABLES_WAREHOUSE_ID: expected a warehouse's id, or <listed workspace>/<id>"
        )
    return value


def _playbooks(env: Mapping[str, str]) -> dict[str, str]:
    urls = {name: env.get(name, "") for name in PLAYBOOKS}
    hosts = [host.strip() for host in env.get("PLAYBOOK_HOSTS", "").split(",") if host.strip()]
    return check_urls(urls, hosts or ["logic.azure.com"])


def _table_prefix(env: Mapping[str, str]) -> str:
    prefix = env.get("AUDIT_TABLE_PREFIX") or "lakemend"
    # Table names are 3 to 63 letters and digits, a letter first.
    # https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
    if not (
        prefix.isascii() and prefix.isalnum() and prefix[0].isalpha() and len(prefix) <= _MAX_PREFIX
    ):
        raise ConfigurationError("AUDIT_TABLE_PREFIX: expected letters and digits, a letter first")
    return prefix


def _required(env: Mapping[str, str], name: str, because: str) -> str:
    value = env.get(name, "")
    if not value:
        raise ConfigurationError(f"{name}: missing, needed by {because}")
    return value


def _boolean(env: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = env.get(name, "").strip().lower()
    if not value:
        return default
    if value not in {"true", "false", "1", "0"}:
        raise ConfigurationError(f"{name}: expected true or false, got {value!r}")
    return value in {"true", "1"}


def _integer(env: Mapping[str, str], name: str, default: int, *, low: int, high: int) -> int:
    raw = env.get(name, "").strip()
    if not raw:
        return default
    if not raw.isdigit() or not low <= int(raw) <= high:
        raise ConfigurationError(f"{name}: expected a whole number from {low} to {high}")
    return int(raw)


def _optional_integer(env: Mapping[str, str], name: str, *, low: int, high: int) -> int | None:
    return _integer(env, name, 0, low=low, high=high) if env.get(name, "").strip() else None


def _amount(env: Mapping[str, str], name: str) -> float | None:
    raw = env.get(name, "").strip()
    if not raw:
        return None
    try:
        amount = float(raw)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < _LARGEST_AMOUNT:  # also false for what is not a number
        raise ConfigurationError(f"{name}: expected an amount in USD, 0 or more, got {raw!r}")
    return amount


_LARGEST_AMOUNT = 1e9


def _patterns(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in env.get(name, "").split(",") if part.strip())


def _key(env: Mapping[str, str], name: str) -> str:
    key = env.get(name, "")
    if key and len(key) < _MIN_KEY:
        raise ConfigurationError(f"{name}: expected at least {_MIN_KEY} characters")
    return key


def _mode(env: Mapping[str, str], name: str) -> Mode | None:
    raw = env.get(name, "").strip().lower()
    if not raw:
        return None
    try:
        return Mode(raw)
    except ValueError:
        allowed = ", ".join(Mode)
        raise ConfigurationError(f"{name}: expected one of {allowed}, got {raw!r}") from None


def _decode(name: str, raw: str, shape: Callable[..., T] | type[T]) -> T:
    try:
        return decode(raw, shape)
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{name}: {error}") from None
