from __future__ import annotations

import re
from pathlib import Path

import pytest

from streams.settings import BadSettings, SymmioSettings, load_settings, settings_of_file, symmio_deployments
from tidemark.config_text import effective_toml

ADDRESS = "0xABaBaBaBABabABabAbAbABAbABabababaBaBABaB"
DEPLOYMENT = f"""
[deployments.arbitrum]
chain_id = 42161
diamond = "{ADDRESS}"
rpc = ["https://node.example/a-key", "wss://node.example/a-key"]
[deployments.arbitrum.markets]
"BTC/USD" = [{{ source = "binance-futures", symbol = "BTCUSDT" }}]
"""
EXAMPLE = Path(__file__).parents[4] / "tidemark.example.toml"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "tidemark.toml"
    path.write_text(DEPLOYMENT)
    monkeypatch.setenv("TIDEMARK_CONFIG", str(path))
    return path


@pytest.mark.usefixtures("config")
def test_a_deployment_is_read_from_the_file_with_its_addresses_in_lower_case() -> None:
    deployment = symmio_deployments(load_settings())["arbitrum"]
    assert (42161, ADDRESS.lower()) == (deployment.chain_id, deployment.diamond)
    assert "https://node.example/a-key" == deployment.rpc[0].get_secret_value()


@pytest.mark.usefixtures("config")
def test_the_environment_goes_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_KAFKA", "kafka-1:9092")
    monkeypatch.setenv("TIDEMARK_TOPICS__PARTITIONS", "3")
    monkeypatch.setenv("TIDEMARK_DEPLOYMENTS__ARBITRUM__CHAIN_ID", "8453")
    settings = load_settings()
    assert ("kafka-1:9092", 3) == (settings.kafka, settings.topics.partitions)
    assert (8453, ADDRESS.lower()) == (
        symmio_deployments(settings)["arbitrum"].chain_id,
        symmio_deployments(settings)["arbitrum"].diamond,
    )


def test_a_market_that_is_not_listed_is_priced_under_its_own_name_by_the_default_sources() -> None:
    deployment = SymmioSettings(chain_id=1, diamond=ADDRESS, default_max_age_ms=700)
    assert [
        ("binance-futures", "ETHUSDT", 700),
        ("binance-futures-book", "ETHUSDT", 700),
    ] == [(ref.source, ref.symbol, ref.max_age_ms) for ref in deployment.prices_of("ETHUSDT")]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("kafak = 'x'", "kafak"),
        ("[topics]\npartition = 3", "topics.partition"),
        ("[topics]\npartitions = 0", "topics.partitions"),
        ("[deployments.Bad]\nchain_id = 1\ndiamond = '0x1'", "deployments.Bad"),
        ("[deployments.a]\nchain_id = 1\ndiamond = '0x1'", "deployments.a.diamond"),
        ("[deployments.a]\nchain_id = 1", "deployments.a.diamond"),
        ("[api]\nport = 70000", "api.port"),
        ("[sources.x]\nkind = 'Kra ken'", "sources.x.kind"),
        ("[auth]\nmode = 'closed'", "auth.mode"),
        ("[auth]\nmode = 'tokens'", "auth: expected a key in mode tokens, found none"),
        ("[auth.keys.a]\nalgorithm = 'none'\nkey = 'x'", "auth.keys.a.algorithm"),
        ("[auth.keys.a]\nalgorithm = 'HS256'", "auth.keys.a: expected either key or file, found neither"),
        (
            "[auth.keys.a]\nalgorithm = 'HS256'\nkey = 'x'\nfile = 'y'",
            "auth.keys.a: expected either key or file, found both",
        ),
        ("[api]\ntrusted_proxies = ['10.0.0.1/8']", "api.trusted_proxies.0: expected an address or network"),
        ("[api]\nallowed_origins = ['app.example']", "api.allowed_origins.0: expected * or an origin"),
        ("[api]\nallowed_origins = ['https://app.example/']", "api.allowed_origins.0: expected * or an origin"),
        ("[api.limits]\nmessages_per_s = 0", "api.limits.messages_per_s"),
        ("not toml", "expected TOML"),
    ],
)
def test_a_wrong_file_is_refused_and_the_message_names_the_key(config: Path, text: str, named: str) -> None:
    config.write_text(text)
    with pytest.raises(BadSettings, match=re.escape(named)):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("TIDEMARK_KAFAK", "x", "TIDEMARK_KAFAK"),
        ("TIDEMARK_TOPICS__PARTITION", "3", "topics.partition"),
        ("TIDEMARK_TOPICS", "no json", "topics"),
    ],
)
def test_a_wrong_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str, named: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings, match=named):
        load_settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("default_sources = ['venu']", "deployments.a.default_sources.0: expected one of "),
        (
            "default_sources = []\n[deployments.a.markets]\nBTC = [{source = 'venue-boook', symbol = 'B'}]",
            "deployments.a.markets.BTC.0.source",
        ),
        ("", "found 'binance-futures'"),
        ("default_sources = ['venu']", "correct it, or add its section, [sources.venu]"),
    ],
)
def test_a_source_that_is_not_configured_is_refused(config: Path, text: str, said: str) -> None:
    config.write_text(f"[sources.venue]\n[deployments.a]\nchain_id = 1\ndiamond = '{ADDRESS}'\n{text}")
    with pytest.raises(BadSettings, match=re.escape(said)):
        load_settings()


def test_a_source_that_is_none_is_refused_also_where_none_is_configured(config: Path) -> None:
    config.write_text(f"[deployments.a]\nchain_id = 1\ndiamond = '{ADDRESS}'\ndefault_sources = ['binance-futurs']")
    with pytest.raises(BadSettings, match=r"expected one of binance-futures, .*found 'binance-futurs'"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kafak = 'x'", "kafak: expected a key that there is, found an unknown one; did you mean kafka?"),
        ("[topics]\npartition = 3", "topics.partition: .*; did you mean partitions?"),
        ("[deployments.a]\nmulti_account = []", "deployments.a.multi_account: .*; did you mean multi_accounts?"),
        ("[deployments.api]\nprot = 1\nfinality = 3", "deployments.api.finality: .*; did you mean finality_depth?"),
        ("[deployments.a.markets]\nBTC = [{sorce = 'v'}]", "deployments.a.markets.BTC.0.sorce: .* mean source?"),
        ("[deployments.a.solver.symbols.BTC]\npriceband = 1", "BTC.priceband: .*; did you mean price_band?"),
        ("[deployments.a.solver.symbols.BTC]\nlocked = [{leverag = 1}]", "locked.0.leverag: .* mean leverage?"),
        ("[topics]\nxyz = 3", "topics.xyz: .*; there are partitions, prefix, replication_factor"),
    ],
)
def test_an_unknown_key_is_refused_with_the_one_that_was_probably_meant(config: Path, text: str, said: str) -> None:
    config.write_text(text)
    with pytest.raises(BadSettings, match=said.replace("?", r"\?")):
        load_settings()


def test_an_unknown_variable_is_refused_with_the_one_that_was_probably_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_KAFAK", "x")
    with pytest.raises(BadSettings, match=r"TIDEMARK_KAFAK: .*found kafak; did you mean kafka\?"):
        load_settings()


@pytest.mark.parametrize(
    "address", [ADDRESS, ADDRESS.lower(), "0x" + ADDRESS[2:].upper(), "0x" + "1" * 40, "0x" + "0" * 39 + "A"]
)
def test_an_address_in_one_case_or_with_the_capitals_of_its_checksum_is_read(config: Path, address: str) -> None:
    config.write_text(f"[deployments.a]\nchain_id = 1\ndiamond = '{address}'")
    assert address.lower() == symmio_deployments(load_settings())["a"].diamond


@pytest.mark.parametrize("key", ["multi_accounts", "hedgers"])
def test_an_address_with_other_capitals_than_those_of_its_checksum_is_refused(config: Path, key: str) -> None:
    # One digit of it is another one.
    wrong = ADDRESS.replace("0xAB", "0xAC")
    config.write_text(f"[deployments.a]\nchain_id = 1\ndiamond = '{ADDRESS}'\n{key} = ['{wrong}']")
    with pytest.raises(BadSettings, match=rf"deployments\.a\.{key}\.0: .*EIP-55, found '{wrong}': a digit .* is wrong"):
        load_settings()


def test_a_file_alone_is_read_without_the_environment(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_API__PORT", "1")
    config.write_text("[api]\nport = 8181")
    assert 8_181 == settings_of_file(config).api.port
    assert 1 == load_settings().api.port


@pytest.mark.parametrize(
    ("text", "said"), [("[", "expected TOML in"), ("kafak = 1", "did you mean kafka"), (None, "found none")]
)
def test_a_file_alone_that_is_wrong_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "effective.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadSettings, match=said):
        settings_of_file(path)


def test_sources_are_known_by_their_name_and_their_book_and_so_are_recorded_ones(config: Path) -> None:
    names = ("venue", "venue-book", "recorded", "recorded-book")
    config.write_text(
        f"[sources.venue]\n[deployments.a]\nchain_id = 1\ndiamond = '{ADDRESS}'\ndefault_sources = {list(names)}"
    )
    assert names == symmio_deployments(load_settings())["a"].default_sources


def test_an_address_error_says_once_what_was_found(config: Path) -> None:
    config.write_text("[deployments.a]\nchain_id = 1\ndiamond = '0x1'")
    with pytest.raises(BadSettings) as caught:
        load_settings()
    assert "deployments.a.diamond: expected an address of 0x and 40 hex digits, found '0x1'" == str(caught.value)


def test_a_missing_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIDEMARK_CONFIG", str(tmp_path / "missing.toml"))
    with pytest.raises(BadSettings, match=r"missing\.toml"):
        load_settings()


@pytest.mark.parametrize("rpc", ["'https://node.example/a-key'", "[['https://node.example/a-key']]"])
def test_an_error_does_not_tell_an_endpoint(config: Path, rpc: str) -> None:
    config.write_text(f"[deployments.a]\nchain_id = 1\ndiamond = '{ADDRESS}'\nrpc = {rpc}")
    with pytest.raises(BadSettings) as caught:
        load_settings()
    assert "rpc" in str(caught.value)
    assert "a-key" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["kee = 'a-secret'", "key = ['a-secret']", "algorithm = 'a-secret'", "file = 7\nkey = 'a-secret'"]
)
def test_an_error_does_not_tell_a_token_key(config: Path, text: str) -> None:
    config.write_text(f"[auth.keys.main]\n{text}")
    with pytest.raises(BadSettings) as caught:
        load_settings()
    assert "auth.keys.main" in str(caught.value)
    assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[deployments.f]\nkind = "flash"\nbase_rpc = "a-secret"', "deployments.f.base_rpc: "),
        ('[deployments.f]\nkind = "flash"\nrollup_grpc = "a-secret"', "deployments.f.rollup_grpc: "),
        ('[deployments.a]\ningest_key = ["a-secret"]', "deployments.a.ingest_key: "),
        ('[sources.p]\nkind = "pyth-lazer"\ntoken = ["a-secret"]', "sources.p.token: "),
        ('[webhooks.w]\nurl = ["a-secret"]', "webhooks.w.url: "),
        ('[webhooks.w]\nsecret = ["a-secret"]', "webhooks.w.secret: "),
        ('[webhooks]\nw = "a-secret"', "webhooks.w: "),
        ('[deployments]\na = """{"rpc": "a-secret" """', "deployments.a: "),
        ('[deployments]\n[sources]\np = "a-secret"', "sources.p: "),
    ],
)
def test_what_stands_wrongly_where_a_secret_or_a_section_is_expected_is_not_shown(
    text: str, named: str, config: Path
) -> None:
    config.write_text(text)
    with pytest.raises(BadSettings) as caught:
        load_settings()
    assert named in str(caught.value)
    assert "a-secret" not in str(caught.value)


def test_what_else_stands_wrongly_is_shown(config: Path) -> None:
    config.write_text("[deployments.f]\nkind = 'flash'\ntable = 7\n[topics]\npartitions = 'many'")
    with pytest.raises(BadSettings) as caught:
        load_settings()
    assert "found 7" in str(caught.value)
    assert "found 'many'" in str(caught.value)


def test_a_token_key_may_come_from_the_environment_and_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_AUTH__MODE", "tokens")
    monkeypatch.setenv("TIDEMARK_AUTH__KEYS__MAIN__ALGORITHM", "HS256")
    monkeypatch.setenv("TIDEMARK_AUTH__KEYS__MAIN__KEY", "a-secret")
    settings = load_settings()
    key = settings.auth.keys["main"].key
    assert key is not None
    assert "a-secret" == key.get_secret_value()
    assert "a-secret" not in effective_toml(settings)


def test_origins_and_networks_are_read_in_their_plain_form(config: Path) -> None:
    config.write_text(
        "[api]\ntrusted_proxies = ['10.0.0.0/8', '2001:DB8::1']\nallowed_origins = ['HTTPS://App.Example:8443']"
    )
    api = load_settings().api
    assert ("10.0.0.0/8", "2001:db8::1/128") == api.trusted_proxies
    assert ("https://app.example:8443",) == api.allowed_origins


@pytest.mark.usefixtures("config")
def test_secrets_are_hidden_in_the_effective_configuration() -> None:
    settings = load_settings()
    assert "a-key" not in effective_toml(settings)
    assert "a-key" not in repr(settings)


def test_the_effective_configuration_read_again_is_the_same(config: Path) -> None:
    settings = load_settings(data_dir=Path('odd "name"'), kafka="kafka-1:9092")
    config.write_text(effective_toml(settings, reveal_secrets=True))
    assert settings == load_settings()


def test_the_example_is_valid_once_its_addresses_are_filled_in(config: Path) -> None:
    text = re.sub(r"<0x[^>]*>", ADDRESS, EXAMPLE.read_text())
    config.write_text(re.sub(r"<(https|wss)://…>", r"\1://node.example", text))
    assert ["my-deployment"] == list(load_settings().deployments)


def test_the_example_as_it_is_asks_for_the_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_CONFIG", str(EXAMPLE))
    with pytest.raises(BadSettings, match="diamond"):
        load_settings()
