"""Planted secrets never come out, whatever stands around them."""

from __future__ import annotations

import base64
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.redaction import MASK, Redactor, names_secret

HEX = "0123456789abcdef"
ALNUM = string.ascii_letters + string.digits
RSA = "RSA PRIVATE KEY"
UPPER = string.ascii_uppercase + string.digits
B64 = ALNUM + "+/"
URL64 = ALNUM + "-_"


def some(alphabet: str, low: int, high: int | None = None) -> st.SearchStrategy[str]:
    return st.text(alphabet=alphabet, min_size=low, max_size=high or low)


def planted(template: str, secret: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, str]]:
    return secret.map(lambda value: (template.replace("§", value), value))


LONG = some(ALNUM, 12, 40)
SECRETS = {
    "databricks token": planted("§", some(HEX, 32).map(lambda h: f"dapi{h}")),
    "databricks oauth secret": planted("§", some(HEX, 32).map(lambda h: f"dose{h}")),
    "bearer": planted("Authorization: Bearer §", some(URL64 + ".", 16, 60)),
    "bearer alone": planted("bearer §", some(ALNUM, 20, 60)),
    "basic": planted("authorization=Basic §", some(B64, 16, 40)),
    "shared key": planted("Authorization: SharedKey §", some(ALNUM, 16, 40)),
    "sas": planted("https://x.blob.core.windows.net/c/f?sv=1&sig=§&se=2", some(ALNUM, 40)),
    "sas token": planted("sv=2024-01-01&ss=b&sig=§", some(ALNUM, 40)),
    "sas, quoted": planted("url%3Fsig%3D§&x", LONG),
    "account key": planted("AccountKey=§;EndpointSuffix=core.windows.net", some(B64, 40)),
    "account key, bare": planted("key is §", some(B64, 86).map(lambda b: f"{b}==")),
    "spark conf": planted("fs.azure.account.key.acc.dfs.core.windows.net=§", some(B64, 40)),
    "event hub": planted("Endpoint=sb://x/;SharedAccessKey=§;EntityPath=e", LONG),
    "password": planted("Server=x;password=§;Encrypt=true", LONG),
    "password, prefixed": planted("spark.db_password: §", LONG),
    "password, quoted": planted('{"password": "a §"}', LONG),
    "password, escaped": planted('{\\"client_secret\\": \\"§\\"}', LONG),
    "password, escaped twice": planted('{\\\\\\"password\\\\\\":\\\\\\"§\\\\\\"}', LONG),
    "password, arrow": planted("PASSWORD => §", LONG),
    "password, in a url's query": planted("q=password%3D§%26x", LONG),
    "password, of a command": planted("run --db-password § --verbose", LONG),
    "password, short": planted("export DB_PASS=§", LONG),
    "password, xml": planted("<Password>§</Password>", LONG),
    "functions key, header": planted("x-functions-key: §", LONG),
    "password, comma": planted("pwd=a,§", LONG),
    "jdbc": planted("jdbc:sqlserver://h:1433;user=sa;password=§;x=y", LONG),
    "jdbc oracle": planted("jdbc:oracle:thin:scott/§@//h:1521/x", LONG),
    "url": planted("https://user:§@host/path", LONG),
    "url, at": planted("https://user:a@§@host/path", LONG),
    "url, no user": planted("redis://:§@host:6379", LONG),
    "aws id": planted("§", some(UPPER, 16).map(lambda i: f"AKIA{i}")),
    "aws secret": planted("aws_secret_access_key = §", some(B64, 40)),
    "aws url": planted("https://b.s3.amazonaws.com/k?X-Amz-Signature=§&x=1", some(HEX, 64)),
    "pem": planted(f"-----BEGIN {RSA}-----\n§\n-----END {RSA}-----", some(B64, 64)),
    "pem, cut": planted("-----BEGIN PRIVATE KEY-----\n§", some(B64, 64)),
    "jwt": planted("§", st.tuples(some(URL64, 12, 30), some(URL64, 12, 30), some(URL64, 8, 30)).map(
        lambda p: f"eyJ{p[0]}.{p[1]}.{p[2]}")),
    "slack webhook": planted("https://hooks.slack.com/services/T0001/B0001/§", some(ALNUM, 24)),
    "slack token": planted("§", some(ALNUM, 24).map(lambda t: f"xoxb-1234-{t}")),
    "teams webhook": planted("https://a.webhook.office.com/webhookb2/x@y/Hook/§/z", some(HEX, 32)),
    "teams workflow": planted("https://p.logic.azure.com/workflows/1?sig=§", some(URL64, 43)),
    "discord": planted("https://discord.com/api/webhooks/123/§", some(URL64, 68)),
    "telegram": planted("https://api.telegram.org/bot123456789:§/sendMessage", some(URL64, 35)),
    "apprise slack": planted("slack://T1JJ3T3L2/A1BRTD4JD/§/#general", some(ALNUM, 24)),
    "apprise mail": planted("mailtos://user:§@example.com", LONG),
    "apprise teams": planted("workflows://h:443/§/sig", LONG),
    "apprise webhook": planted("jsons://h.example/hook/§", LONG),
    "github": planted("§", some(ALNUM, 36).map(lambda t: f"ghp_{t}")),
    "entra": planted("§", some(ALNUM, 34).map(lambda t: f"ab18Q~{t}")),
    "functions key": planted("https://f.azurewebsites.net/api/x?code=§", LONG),
    "api key": planted("X-API-Key: §", LONG),
}  # fmt: skip


# What stands around holds no letters of secrets, so that none is found there by chance.
AROUND = st.text(alphabet="äжλ中\n\t .,;:!?'\"&=()[]{}<>/\\|@#%_~`-", max_size=20)


@pytest.mark.parametrize("name", SECRETS)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_planted_secret_never_comes_out(name: str, data: st.DataObject) -> None:
    text, secret = data.draw(SECRETS[name])
    before, after = data.draw(AROUND), data.draw(AROUND)
    redacted = Redactor().text(f"{before} {text} {after}")
    quarter = len(secret) // 4
    assert secret[quarter:-quarter] not in redacted  # nor a large part of it
    assert MASK in redacted


@given(st.text(min_size=6), st.text(max_size=50), st.text(max_size=50))
def test_a_configured_secret_never_comes_out(secret: str, before: str, after: str) -> None:
    redacted = Redactor([secret]).text(before + secret + after)
    assert secret not in redacted or secret in MASK or secret in redacted.replace(MASK, "")


@given(st.text(alphabet="dapieyJ0123456789abcdef.-_=:/@?&;\"'\\ passwordBearerkysig\n[]"))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    redactor = Redactor()
    assert redactor.text(redactor.text(text)) == redactor.text(text)


@pytest.mark.parametrize(
    "text",
    [
        "504 Gateway Timeout after 30 seconds",
        "Column partition_key of table main.sales.orders is missing",
        "primary key violation: duplicate key value (id)=(5)",
        "abfss://landing@account.dfs.core.windows.net/sales/2026/11/20/part-0001.parquet not found",
        "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/x",
        "run 4eb8e9d0-1111-2222-3333-444455556666 of https://adb-1.1.azuredatabricks.net/#job/5/run/6",
        "spark.executor.memory=8g spark.sql.shuffle.partitions: 200",
        "Unexpected token at line 5; the keyword basic is reserved",
        "secret scope kv-prod does not exist",
        "https://host:8443/api/2.1/jobs/runs/get?run_id=5",
    ],
)
def test_evidence_that_is_no_secret_stays(text: str) -> None:
    assert Redactor().text(text) == text


def test_links_lose_our_own_secrets_only() -> None:
    redactor = Redactor(["topsecret-1"])
    link = "https://lm.example/a?token=one-time&x=topsecret-1"
    assert redactor.values(link) == f"https://lm.example/a?token=one-time&x={MASK}"


def test_basic_auth_header_of_a_real_client() -> None:
    header = base64.b64encode(b"user:hunter2hunter2").decode()
    assert header not in Redactor().text(f"sent Authorization: Basic {header}")


@pytest.mark.parametrize(
    "name",
    [
        "db.password", "DB_PWD", "clientSecret", "fs.azure.account.oauth2.client.secret.x",
        "fs.azure.account.key.x.dfs.core.windows.net", "fs.azure.sas.container.x", "sasUrl",
        "access-token", "key", "key2", "cosmosKey", "storageConnectionString", "jdbc.connStr",
        "aws_credentials", "--api-key", "passphrase",
    ],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert names_secret(name)


@pytest.mark.parametrize(
    "name",
    ["task_key", "job_cluster_key", "photon", "min_workers", "keyboard", "node_type_id",
     "primary_key", "bypass", "spark.sql.shuffle.partitions", "signal", "passengers"],
)  # fmt: skip
def test_names_of_other_settings(name: str) -> None:
    assert not names_secret(name)
