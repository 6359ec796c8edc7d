"""How clients of Kafka are told to connect, and what is refused."""

from __future__ import annotations

import ssl
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from streams.kafka.connection import NoToken, Tokens, client_arguments, consumer_arguments
from streams.settings import BadSettings, Bootstrap, KafkaClientSettings, KafkaSaslSettings, load_settings
from tidemark.config_text import effective_toml

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "a-password-that-nobody-should-see"


def client(**settings: object) -> KafkaClientSettings:
    return KafkaClientSettings.model_validate(settings)


def test_without_settings_brokers_are_spoken_to_in_clear() -> None:
    assert {"bootstrap_servers": "k:1", "security_protocol": "PLAINTEXT"} == client_arguments(Bootstrap("k:1"))


def test_variables_set_name_password_and_rack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{SECRET}\n")
    monkeypatch.setenv("TIDEMARK_KAFKA", "k-1:1,k-2:1")
    monkeypatch.setenv("TIDEMARK_KAFKA_CLIENT__RACK", "zone-a")
    monkeypatch.setenv("TIDEMARK_KAFKA_CLIENT__SASL__MECHANISM", "SCRAM-SHA-512")
    monkeypatch.setenv("TIDEMARK_KAFKA_CLIENT__SASL__USERNAME", "tidemark-api")
    monkeypatch.setenv("TIDEMARK_KAFKA_CLIENT__SASL__PASSWORD_FILE", str(tmp_path / "password"))
    bootstrap = load_settings().bootstrap
    assert "k-1:1,k-2:1" == str(bootstrap)
    assert {
        "bootstrap_servers": "k-1:1,k-2:1",
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "tidemark-api",
        "sasl_plain_password": SECRET,
        "client_rack": "zone-a",
    } == consumer_arguments(bootstrap)


def test_a_password_is_not_shown_by_config_but_handed_to_child_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_KAFKA_CLIENT__SASL__MECHANISM", "SCRAM-SHA-256")
    monkeypatch.setenv("TIDEMARK_KAFKA_CLIENT__SASL__USERNAME", "me")
    monkeypatch.setenv("TIDEMARK_KAFKA_CLIENT__SASL__PASSWORD", SECRET)
    settings = load_settings()
    assert SECRET not in effective_toml(settings)
    assert SECRET not in repr(settings.kafka_client)
    assert SECRET in effective_toml(settings, reveal_secrets=True)


def test_an_error_in_the_section_does_not_repeat_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_KAFKA_CLIENT__SASL__MECHANISM", SECRET)
    with pytest.raises(BadSettings, match="kafka_client") as refused:
        load_settings()
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"sasl": {"mechanism": "PLAIN", "username": "u", "password": "p"}}, "whoever listens on the way"),
        ({"sasl": {"mechanism": "SCRAM-SHA-512", "username": "u"}}, "either password or password_file"),
        ({"sasl": {"mechanism": "SCRAM-SHA-512", "password": "p"}}, "expected username"),
        ({"tls": {}, "sasl": {"mechanism": "OAUTHBEARER"}}, "either token_file or token_command"),
        ({"tls": {"certificate": "c.pem"}}, "certificate and key together"),
    ],
)
def test_half_a_proof_of_identity_is_refused(settings: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        client(**settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"tls": {"ca": "no.pem"}}, "kafka_client.tls.ca: expected certificates in no.pem"),
        ({"tls": {"certificate": "no.pem", "key": "no.key"}}, "expected a certificate in no.pem and its key"),
        (
            {"sasl": {"mechanism": "SCRAM-SHA-512", "username": "u", "password_file": "no"}},
            "password_file: expected a password in no",
        ),
    ],
)
def test_a_file_that_is_missing_is_named(settings: dict[str, object], expected: str) -> None:
    with pytest.raises(BadSettings, match=expected):
        client_arguments(Bootstrap("k:1", client(**settings)))


def test_host_names_are_checked_unless_that_is_switched_off() -> None:
    strict = client_arguments(Bootstrap("k:1", client(tls={})))["ssl_context"]
    loose = client_arguments(Bootstrap("k:1", client(tls={"check_hostname": False})))["ssl_context"]
    assert (True, ssl.CERT_REQUIRED) == (strict.check_hostname, strict.verify_mode)
    assert (False, ssl.CERT_REQUIRED) == (loose.check_hostname, loose.verify_mode)


def tokens(**where: object) -> Tokens:
    return Tokens(KafkaSaslSettings.model_validate({"mechanism": "OAUTHBEARER", **where}))


async def test_a_token_is_read_anew_for_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "token"
    provider = tokens(token_file=file)
    with pytest.raises(NoToken, match="cannot be read"):
        await provider.token()
    for text in ("first", "second"):
        file.write_text(f"{text}\n")
        assert text == await provider.token()


async def test_a_command_prints_the_token_and_its_output_is_in_no_error(tmp_path: Path) -> None:
    assert "t0ken" == await tokens(token_command=(sys.executable, "-c", "print('t0ken')")).token()
    with pytest.raises(NoToken, match="found code 3") as failed:
        await tokens(token_command=("sh", "-c", f"echo {SECRET}; exit 3")).token()
    assert SECRET not in str(failed.value)
    with pytest.raises(NoToken, match="found nothing"):
        await tokens(token_command=("true",)).token()
    script = tmp_path / "not-executable"
    script.touch(mode=stat.S_IRUSR)
    with pytest.raises(NoToken, match="to run"):
        await tokens(token_command=(str(script),)).token()
