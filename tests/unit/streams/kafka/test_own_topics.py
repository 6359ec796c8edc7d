"""Topics that a package names for its dialect: every process knows them, and replicas of the api have their rights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from streams.kafka.access import Grant, Operation, Resource, grants
from streams.kafka.topics import registry
from streams.settings import Settings, SymmioSettings, TopicSettings
from streams.settings.dialects import DialectSettings
from streams.settings.installed import BadPackage
from tests.support.installing import announced
from tidemark.cli import cli
from tidemark.own_topics import OwnTopic, OwnTopics

if TYPE_CHECKING:
    from pathlib import Path

GUESTS = ("tidemark.topics", "plaintext", "tidemark_plaintext.guest_book:TOPICS")
CHAIN = SymmioSettings(chain_id=1, diamond="0x" + "d" * 40)
TAKEN = OwnTopics("plaintext", (OwnTopic("leases", "account"),))
ODD = OwnTopics("plaintext", (OwnTopic("guest book", "account"),))


def settings(kind: str = "plaintext", prefix: str = "eu.") -> Settings:
    section = DialectSettings(kind=kind, deployments=("main",))
    return Settings(deployments={"main": CHAIN}, dialects={"lines": section}, topics=TopicSettings(prefix=prefix))


def test_topics_of_a_mounted_dialect_are_made_as_the_package_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with announced(tmp_path, monkeypatch, GUESTS):
        kept = {topic.name: topic.kept for topic in registry(settings()) if "plaintext" in topic.name}
        assert {"eu.plaintext-guests": "newest of each key", "eu.plaintext-said": "for 1 days"} == kept
        assert not [topic for topic in registry(settings("symmio")) if "plaintext" in topic.name]


def test_replicas_of_the_api_may_do_with_them_what_the_package_says_and_tools_may_make_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with announced(tmp_path, monkeypatch, GUESTS):
        own = {
            process: {grant for grant in granted if "plaintext" in grant.name}
            for process, granted in grants(settings()).items()
        }
    said, guests = "eu.plaintext-said", "eu.plaintext-guests"
    assert {
        Grant(Resource.TOPIC, guests, (Operation.READ, Operation.WRITE)),
        Grant(Resource.TOPIC, said, (Operation.WRITE,)),
    } == own.pop("api")
    assert {said, guests} == {grant.name for grant in own.pop("tools")}
    assert {(said, (Operation.READ,)), (guests, (Operation.READ,))} == {
        (grant.name, grant.operations) for grant in own.pop("archive")
    }
    # A worker starts only if every topic is there.
    assert {Operation.DESCRIBE} == {one for grant in own.pop("worker") for one in grant.operations}
    assert not any(own.values())


def test_the_command_line_lists_them_with_what_they_keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "tidemark.toml"
    config.write_text(
        '[deployments.main]\nchain_id = 1\ndiamond = "0x' + "d" * 40 + '"\n'
        '[dialects.lines]\nkind = "plaintext"\ndeployments = ["main"]\n'
    )
    with announced(tmp_path / "site", monkeypatch, GUESTS):
        listed = CliRunner().invoke(cli, ["--config", str(config), "topics", "list"]).output
        acls = CliRunner().invoke(cli, ["--config", str(config), "topics", "acls"]).output
    assert "plaintext-guests" in listed
    assert "plaintext-guests" in acls


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (f"{__name__}:TAKEN", "found 'eu.leases'"),
        (f"{__name__}:ODD", "found 'eu.guest book'"),
        (f"{__name__}:GUESTS", "expected a OwnTopics of kind 'plaintext'"),
        ("no_such_module:TOPICS", "expected to import no_such_module:TOPICS"),
    ],
)
def test_a_topic_that_core_has_already_and_what_cannot_be_used_are_refused_and_told(
    value: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with announced(tmp_path, monkeypatch, ("tidemark.topics", "plaintext", value)), pytest.raises(BadPackage) as found:
        registry(settings())
    assert said in str(found.value)
