"""What a line of the log looks like."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from streams.process.logs import json_formatter, log_to_stderr, text_formatter
from streams.settings import BadSettings, Settings, load_settings


def line(message: str, *args: object, exc_info: Any = None) -> dict[str, Any]:  # noqa: ANN401 - as logging takes it
    record = logging.LogRecord("streams.x", logging.WARNING, __file__, 1, message, args, exc_info)
    text = json_formatter("worker").format(record)
    assert "\n" not in text
    told: dict[str, Any] = json.loads(text)
    return told


def test_a_line_is_an_object_with_what_happened_when_where_and_in_which_process() -> None:
    told = line("joining deployment=%s block=%d", "main", 7)
    assert told.pop("timestamp").endswith("Z")
    assert isinstance(told.pop("pid"), int)
    assert {
        "event": "joining deployment=main block=7",
        "deployment": "main",
        "block": 7,
        "level": "warning",
        "logger": "streams.x",
        "process": "worker",
    } == told


@pytest.mark.parametrize(
    ("message", "args", "found"),
    [
        ("at %s share=%.1f%% of=%s", ("here", 12.5, ValueError("bad")), {"share": 12.5, "of": "bad"}),
        ("nothing is named here", (), {}),
        ("100%% of it account=%s", ("a",), {"account": "a"}),
        ("event=%s level=%s", ("x", "y"), {}),
    ],
)
def test_what_a_message_names_is_a_field_and_never_takes_the_place_of_ours(
    message: str, args: tuple[object, ...], found: dict[str, object]
) -> None:
    told = line(message, *args)
    assert message % args == told["event"]
    assert "warning" == told["level"]
    assert found == {key: told[key] for key in ("share", "of", "account") if key in told}


def test_a_line_break_in_what_others_sent_makes_no_second_line() -> None:
    assert "bad\nlevel=ERROR all is lost" == line("refused cause=%s", "bad\nlevel=ERROR all is lost")["cause"]


def test_what_others_sent_writes_no_line_for_a_terminal_and_does_not_steer_it() -> None:
    said = "bad\n2026-11-30 CRITICAL streams.funder all is lost \x1b[2J\u202e é"
    record = logging.LogRecord("streams.x", logging.WARNING, __file__, 1, "refused cause=%s", (said,), None)

    text = text_formatter().format(record)

    assert text.isprintable()
    assert text.endswith(
        r"WARNING streams.x refused cause=bad\n2026-11-30 CRITICAL streams.funder all is lost \x1b[2J\u202e é"
    )


def test_a_traceback_for_a_terminal_has_its_lines_and_does_not_steer_it() -> None:
    try:
        raise ValueError("\x1b[2J")  # noqa: EM101, TRY301 - what a library may say
    except ValueError as error:
        told = (type(error), error, error.__traceback__)
    record = logging.LogRecord("streams.x", logging.WARNING, __file__, 1, "fault", (), told)

    lines = text_formatter().format(record).splitlines()

    assert "Traceback (most recent call last):" == lines[1]
    assert r"ValueError: \x1b[2J" == lines[-1]


def test_a_traceback_is_in_the_same_line() -> None:
    with pytest.raises(ValueError, match="invalid") as raised:
        int("x")
    told = line("failed", exc_info=(raised.type, raised.value, raised.tb))
    assert "ValueError: invalid literal" in told["exception"]


@pytest.mark.parametrize(("form", "begins"), [("text", "20"), ("json", "{")])
def test_the_setting_decides_the_form(
    form: str, begins: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    log_to_stderr(Settings.model_validate({"log": {"format": form}}), "api")
    logging.getLogger("streams.y").info("ready")
    logging.getLogger("aiokafka").info("not shown")
    said = capsys.readouterr().err
    assert said.startswith(begins)
    assert "ready" in said
    assert "not shown" not in said


def test_text_is_the_default_and_another_form_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "text" == load_settings().log.format
    monkeypatch.setenv("TIDEMARK_LOG__FORMAT", "xml")
    with pytest.raises(BadSettings, match=r"log\.format"):
        load_settings()
