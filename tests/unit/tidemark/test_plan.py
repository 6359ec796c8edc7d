from __future__ import annotations

import gzip
import json
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from api.dialects.bitfinex.api_keys import ApiKey, read_keys, write_keys
from api.dialects.bitfinex.bitfinex_settings import BitfinexSettings
from streams.settings import (
    ApiSettings,
    BinanceSource,
    PriceRef,
    Settings,
    SymmioSettings,
    load_settings,
    symmio_deployments,
)
from streams.settings.flash.flash_settings import flash_deployments
from streams.settings.ledger.ledger_deployment import ledger_deployments
from tidemark.config_text import effective_toml
from tidemark.demo.demo_keys import DemoKey, invitation, producer_invitation
from tidemark.display import urls_of
from tidemark.plan import (
    BadRecording,
    child_environment,
    commands,
    flash_invitation,
    with_demo,
    with_demo_clients,
    with_local_defaults,
    with_local_ports,
    with_recording,
)
from tidemark.ports import NoSuchHost, PortInUse, any_free_port, client_ports, free_port, is_free

if TYPE_CHECKING:
    from pathlib import Path

DIAMOND = "0x" + "ab" * 20
OWNER = "0x" + "0e" * 20
DEPLOYMENT = SymmioSettings(chain_id=31337, diamond=DIAMOND)
SAID = json.dumps(
    {
        "rpc": ["http://127.0.0.1:1", "ws://127.0.0.1:1"],
        "websocket": "ws://127.0.0.1:2",
        "rest": "http://127.0.0.1:2",
        "owner": OWNER,
        "deployment": {
            "chain_id": 31337,
            "diamond": DIAMOND,
            "multi_accounts": [],
            "hedgers": [DIAMOND],
            "start_block": 1,
            "finality_depth": 5,
        },
        "flash": {"base_rpc": ["http://127.0.0.1:3"], "rollup_rpc": ["http://127.0.0.1:4"], "owner": "F1ash"},
    }
)


def test_the_demo_is_one_deployment_and_one_source_at_the_addresses_it_said() -> None:
    settings = with_demo(Settings(), SAID)
    deployment = symmio_deployments(settings)["demo"]
    assert ["http://127.0.0.1:1", "ws://127.0.0.1:1"] == [url.get_secret_value() for url in deployment.rpc]
    assert (31337, DIAMOND, 5) == (deployment.chain_id, deployment.diamond, deployment.finality_depth)
    assert BinanceSource(websocket="ws://127.0.0.1:2", rest=json.loads(SAID)["rest"]) == settings.sources["demo"]
    assert ("demo", "demo-book") == deployment.default_sources


def test_the_demo_follows_both_chains_of_flash_and_its_oracles_and_names_an_owner() -> None:
    settings = with_demo(Settings(), SAID)
    (flash,) = flash_deployments(settings).values()
    assert [[url.get_secret_value() for url in urls] for urls in (flash.base_rpc, flash.rollup_rpc)] == [
        ["http://127.0.0.1:3"],
        ["http://127.0.0.1:4"],
    ]
    assert set(flash.default_sources) <= set(settings.sources)
    started = commands(settings, None, None)
    assert ["ingest", "flash", "flash"] == started["flash-flash"][-3:]
    assert "prices-flash-oracle" in started
    assert "http://h/v1/accounts/flash:F1ash" in flash_invitation(SAID, "http://h")


def test_clients_of_the_bitfinex_websocket_have_keys_of_both_simulations_that_stay_through_restarts(
    tmp_path: Path,
) -> None:
    following = with_demo(Settings(data_dir=tmp_path), SAID)
    settings, keys = with_demo_clients(following, SAID)
    section = BitfinexSettings.model_validate(settings.dialects["bitfinex"].model_dump())
    assert {"demo", "desk"} == set(section.deployments)
    assert ["desk:trader-1", f"demo:owner={OWNER}"] == [key.account for key in keys]
    assert 0o600 == stat.S_IMODE(section.keys.stat().st_mode)
    assert {key.name: key.secret for key in keys} == {name: key.secret for name, key in read_keys(section.keys).items()}
    assert len({key.secret for key in keys}) == len(keys)
    own = ApiKey("s", "alice", ("desk:trader-2",))
    write_keys(section.keys, {**read_keys(section.keys), "own": own})
    assert keys == with_demo_clients(following, SAID)[1]
    assert own == read_keys(section.keys)["own"]
    # A key that was taken back is made anew, with another secret.
    write_keys(section.keys, {"own": own})
    assert {key.secret for key in keys}.isdisjoint(key.secret for key in with_demo_clients(following, SAID)[1])
    assert own == read_keys(section.keys)["own"]


def test_the_printed_client_is_a_program_of_five_lines_with_the_key_and_its_secret() -> None:
    key, other = DemoKey("demo", "s1", "desk:trader-1"), DemoKey("demo-chain", "s2", f"demo:owner={OWNER}")
    said = invitation([key, other], "ws://127.0.0.1:8080/ws/2")
    program = said.split("\n\n")[1]
    assert 5 == len(program.splitlines())
    compile(program, "printed", "exec")
    assert 'Client("demo", "s1", wss_host="ws://127.0.0.1:8080/ws/2")' in program
    assert f"api key demo-chain of demo:owner={OWNER}, secret s2" in said


def test_the_simulated_exchange_takes_accounts_of_ones_own_under_a_key_that_stays_through_restarts(
    tmp_path: Path,
) -> None:
    following = with_demo(Settings(data_dir=tmp_path), SAID)
    first, second = (ledger_deployments(with_demo_clients(following, SAID)[0])["desk"].ingest_key for _ in range(2))
    assert first is not None
    assert first == second
    assert 0o600 == stat.S_IMODE((tmp_path / "demo" / "desk-ingest-key").stat().st_mode)
    said = producer_invitation(first.get_secret_value(), "http://127.0.0.1:8080", tmp_path / "effective.toml")
    assert f"examples/ledger_producer.py http://127.0.0.1:8080 {first.get_secret_value()}\n" in said
    assert f"--config {tmp_path}/effective.toml keys add --user ann --account desk:ann\n" in said


def test_what_the_demo_and_a_recording_make_of_the_settings_can_be_read_by_their_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _record(tmp_path, {"chainId": 31337, "diamond": DIAMOND})
    config = tmp_path / "effective.toml"
    monkeypatch.setenv("TIDEMARK_CONFIG", str(config))
    config.write_text("")
    local = with_local_defaults(Settings(data_dir=tmp_path), "127.0.0.1:9092")
    assert "127.0.0.1:9092" == local.kafka
    demo = with_demo(local, SAID)
    for made in (demo, with_demo_clients(demo, SAID)[0], with_recording(local, tmp_path)[0]):
        config.write_text(effective_toml(made, reveal_secrets=True))
        assert made == load_settings()


def test_each_deployment_and_each_source_is_a_process_beside_one_worker_and_one_api() -> None:
    settings = Settings(deployments={"a": DEPLOYMENT, "b": DEPLOYMENT}, sources={"venue": BinanceSource()})
    planned = {name: command[3:] for name, command in commands(settings, None, None).items()}
    assert {
        "api": ["api"],
        "worker": ["worker"],
        "history": ["history"],
        "chain-a": ["ingest", "chain", "a"],
        "chain-b": ["ingest", "chain", "b"],
        "prices-venue": ["ingest", "prices", "venue"],
    } == planned


def test_a_recording_takes_the_place_of_the_connectors(tmp_path: Path) -> None:
    _record(tmp_path, {"chainId": 31337, "diamond": DIAMOND.upper().replace("X", "x")})
    settings, name = with_recording(Settings(), tmp_path)
    assert (31337, DIAMOND) == (symmio_deployments(settings)[name].chain_id, symmio_deployments(settings)[name].diamond)
    planned = commands(settings, tmp_path, name)
    assert ["api", "worker", "history", "recorded"] == list(planned)
    assert ["ingest", "recorded", str(tmp_path), "--deployment", name] == planned["recorded"][3:]


def test_a_recording_of_a_configured_deployment_is_played_as_that_one(tmp_path: Path) -> None:
    _record(tmp_path, {"chainId": 31337, "diamond": DIAMOND})
    settings = Settings(deployments={"mine": DEPLOYMENT, "other": SymmioSettings(chain_id=1, diamond=DIAMOND)})
    recorded, name = with_recording(settings, tmp_path)
    assert "mine" == name
    assert symmio_deployments(settings)["other"] == symmio_deployments(recorded)["other"]


def test_a_recording_is_priced_by_its_own_frames_and_never_by_a_venue(tmp_path: Path) -> None:
    _record(tmp_path, {"chainId": 31337, "diamond": DIAMOND})
    refs = (PriceRef(source="venue", symbol="BTC"), PriceRef(source="venue-book", symbol="BTCUSDT", max_age_ms=7))
    mine = DEPLOYMENT.model_copy(update={"markets": {"BTC/USD": refs}})
    alone, name = with_recording(Settings(), tmp_path)
    assert ("recorded", "recorded-book") == symmio_deployments(alone)[name].default_sources
    recorded, _ = with_recording(Settings(deployments={"mine": mine}), tmp_path)
    assert ("recorded", "recorded-book") == symmio_deployments(recorded)["mine"].default_sources
    assert (
        PriceRef(source="recorded", symbol="BTC"),
        PriceRef(source="recorded-book", symbol="BTCUSDT", max_age_ms=7),
    ) == symmio_deployments(recorded)["mine"].prices_of("BTC/USD")


@pytest.mark.parametrize("content", [None, {"chainId": 1}, {"diamond": DIAMOND, "chainId": "x"}])
def test_a_directory_without_a_recording_is_refused(tmp_path: Path, content: dict[str, object] | None) -> None:
    if content is not None:
        _record(tmp_path, content)
    with pytest.raises(BadRecording, match=r"logs\.json\.gz"):
        with_recording(Settings(), tmp_path)


def test_a_default_port_that_is_taken_is_exchanged_for_a_free_one_and_a_free_one_is_kept() -> None:
    free = any_free_port("127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        by_default = ApiSettings.model_construct(_fields_set=set(), port=port, admin_port=free)
        local = with_local_ports(Settings(api=by_default))
    assert port != local.api.port
    assert is_free("127.0.0.1", local.api.port)
    assert free == local.api.admin_port


@pytest.mark.parametrize("setting", ["api.port", "api.admin_port", "worker.admin_port"])
def test_a_port_that_was_set_and_is_taken_is_an_error_that_says_what_to_do(setting: str) -> None:
    section, _, field = setting.partition(".")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings.model_validate({section: {field: port}})
        variable = f"TIDEMARK_{section.upper()}__{field.upper()}"
        with pytest.raises(PortInUse, match=rf"{setting}: expected 127\.0\.0\.1:{port} to be free.*{variable}"):
            with_local_ports(settings)


def test_a_port_set_to_0_stands_for_any_free_one() -> None:
    settings = Settings(api=ApiSettings(port=0, admin_port=0))
    local = with_local_ports(settings)
    assert is_free("127.0.0.1", local.api.port)


def test_a_free_port_is_none_that_a_client_of_this_machine_may_be_given() -> None:
    assert any_free_port("127.0.0.1") not in client_ports()


@pytest.mark.parametrize(
    ("clients", "expected"),
    [
        ("32768\t60999\n", range(10_000, 32_768)),
        ("2048 65535", range(1_024, 2_048)),
        ("1024 60999", range(61_000, 65_536)),
        # There are no ports for clients and others for servers, so any will do.
        ("1024 65535", range(1_024, 65_536)),
        (None, range(10_000, 49_152)),
    ],
)
def test_free_ports_are_beside_the_range_of_clients_whatever_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clients: str | None, expected: range
) -> None:
    said = tmp_path / "ip_local_port_range"
    if clients is not None:
        said.write_text(clients)
    monkeypatch.setattr("tidemark.ports._CLIENT_RANGE_FILE", said)
    assert any_free_port("127.0.0.1") in expected


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "0.0.0.0", "::", ""])
def test_ports_are_found_for_any_kind_of_address(host: str) -> None:
    port = any_free_port(host)
    assert is_free(host, port)
    assert port == free_port(host, port)


def test_a_port_that_is_taken_at_an_ipv6_address_is_not_free() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        assert not is_free("::1", port)
        assert port != free_port("::1", port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_a_host_that_is_not_this_machine_is_refused(host: str) -> None:
    with pytest.raises(NoSuchHost, match=host):
        any_free_port(host)


def test_an_ipv6_address_stands_in_brackets_in_a_url(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, api=ApiSettings(host="::1"))
    assert "http://[::1]:8080/" == urls_of(settings)["page"]


def test_a_child_takes_its_settings_from_the_file_alone(tmp_path: Path) -> None:
    environment = child_environment({"PATH": "/bin", "TIDEMARK_API__PORT": "1"}, tmp_path / "effective.toml")
    assert {
        "PATH": "/bin",
        "TIDEMARK_CONFIG": str(tmp_path / "effective.toml"),
        "PYTHONUNBUFFERED": "1",
    } == environment


def _record(directory: Path, content: dict[str, object]) -> None:
    (directory / "symmio").mkdir()
    with gzip.open(directory / "symmio" / "logs.json.gz", "wt") as stream:
        json.dump(content, stream)
