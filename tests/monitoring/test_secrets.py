"""Secrets, certificates and runtimes that end soon; no value is ever asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.errors import ConfigurationError
from shared.monitoring.ceilings import ceilings
from shared.monitoring.secrets import Secrets, references
from shared.settings import load
from tests.monitoring.conftest import Watch

Json = dict[str, Any]
Make = Callable[..., Watch]
DAY = 86_400


def secret(one: Watch, name: str, days: float | None, **more: Any) -> Json:
    attributes = {} if days is None else {"exp": int(one.sandbox.clock.now() + days * DAY)}
    return {"name": name, "attributes": attributes | more.pop("attributes", {}), **more}


def hold(one: Watch, *secrets: Json) -> None:
    one.sandbox.script("vault", address=one.sandbox.host, secrets=list(secrets))


def link(one: Watch, name: str, kind: str, **properties: Any) -> None:
    body = {"type": kind, "typeProperties": properties}
    one.sandbox.script("adf/linked-services", factory="adf", name=name, properties=body)


def uses(secret_name: Any, version: Any = None, store: str = "kv") -> Json:
    reference = {"referenceName": store, "type": "LinkedServiceReference"}
    return {
        "type": "AzureKeyVaultSecret",
        "store": reference,
        "secretName": secret_name,
        **({"secretVersion": version} if version else {}),
    }


def looked(one: Watch) -> dict[str, str]:
    one.parts.notes.take(Secrets(one.parts.context).looks())
    return {f.resource.partition("/")[2]: f.severity.value for f in one.parts.findings.standing()}


def asked(one: Watch) -> list[str]:
    seen = one.sandbox.control("GET", "requests")["requests"]
    return [row["path"] for row in seen if row["path"].startswith("/secrets")]


def test_secrets_and_certificates_of_our_own_vault(watch: Make) -> None:
    one = watch()
    one = watch(KEY_VAULT_URLS=f"{one.sandbox.host}/")
    hold(
        one,
        secret(one, "api-keys", 10),
        secret(one, "tls", 2, managed=True),
        secret(one, "over", -1),
        secret(one, "disabled", 1, attributes={"enabled": False}),
        secret(one, "far", 100),
        *[secret(one, f"eternal-{n}", None) for n in range(60)],  # three pages
        secret(one, "last", 1),
    )
    expected = {"api-keys": "warning", "tls": "critical", "over": "critical", "last": "critical"}
    assert looked(one) == expected
    said = {f.resource.partition("/")[2]: f.summary for f in one.parts.findings.standing()}
    assert said["tls"].startswith("the certificate tls in 127.0.0.1 expires at ")
    assert set(asked(one)) == {"/secrets"}  # lists only: no secret by its name
    one.sandbox.script("faults", name="f", path="/secrets", status=403, times=9)
    assert looked(one) == expected  # what cannot be read resolves nothing
    one.sandbox.control("DELETE", "faults")
    hold(one, secret(one, "api-keys", 200, version="2"))
    assert "api-keys" not in looked(one)


def test_secrets_of_linked_services_by_name_and_version(watch: Make) -> None:
    one = watch(KEY_VAULT_URLS="https://other.vault.azure.net")
    hold(
        one,
        secret(one, "sql", 5, version="old"),
        secret(one, "sql", 300, version="new"),
        secret(one, "sftp", 1),
        secret(one, "unused", 1),
    )
    link(one, "kv", "AzureKeyVault", baseUrl=one.sandbox.host)
    link(one, "pinned", "AzureSqlDatabase", password=uses("sql", "old"))
    link(one, "newest", "Sftp", nested={"deep": [uses("SFTP")]})
    link(one, "worked-out", "Sftp", password=uses({"value": "@x", "type": "Expression"}))
    rows = one.parts.context.platforms.factory("adf").linked_services()
    assert {(r.service, r.secret, r.version) for r in references(rows)} == {
        ("pinned", "sql", "old"),
        ("newest", "SFTP", ""),
    }
    assert looked(one) == {}  # a vault that is neither listed nor at a vault's address
    assert asked(one) == []

    one = watch(KEY_VAULT_URLS=f"https://other.vault.azure.net, {one.sandbox.host}")
    assert looked(one) == {"sftp": "critical", "unused": "critical", "sql": "warning"}


def test_a_factory_knows_which_version_it_uses(watch: Make) -> None:
    one = watch()
    one = watch(KEY_VAULT_URLS=one.sandbox.host)
    hold(one, secret(one, "sql", 5, version="old"), secret(one, "sql", 300, version="new"))
    link(one, "kv", "AzureKeyVault", baseUrl=one.sandbox.host)
    link(one, "pinned", "AzureSqlDatabase", password=uses("sql", "old"))
    looked(one)
    found = list(one.parts.findings.standing())
    assert [(f.target, f.resource) for f in found] == [("adf", "127.0.0.1/sql")]
    assert found[0].evidence[-1] == "linked service pinned uses it in its version old"
    assert set(asked(one)) == {"/secrets", "/secrets/sql/versions"}


def test_versions_of_self_hosted_runtimes(watch: Make) -> None:
    one = watch()
    ends = one.clock.now().timestamp() + 2 * DAY
    nodes = [
        {"nodeName": "vm-1", "status": "Online", "expiryTime": moment(ends)},
        {"nodeName": "vm-2", "status": "Online", "expiryTime": moment(ends + 90 * DAY)},
        {"nodeName": "vm-3", "status": "Online", "expiryTime": "soon"},
    ]
    one.sandbox.script("adf/integration-runtimes", factory="adf", name="ir", nodes=nodes)
    one.parts.notes.take(ceilings(one.parts.context))
    assert one.findings() == {"ir/vm-1": "runtime_expires"}


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@pytest.mark.parametrize(
    "wrong", ["http://kv.example", "kv-prod", "https://u:p@kv.vault.azure.net"]
)
def test_a_vault_is_named_by_its_address(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="KEY_VAULT_URLS"):
        load({"TARGETS": json.dumps([]), "KEY_VAULT_URLS": wrong})
