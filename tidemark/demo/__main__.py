"""``python -m tidemark.demo``: the simulator as a process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from pathlib import Path

import click
import orjson

from models.errors import TidemarkError
from tidemark.demo.server import DemoServer, DemoState, load_state


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), required=True, help="Where the simulator keeps its data.")
@click.option("--state-file", type=click.Path(path_type=Path), help="Seed, start and ports; in DATA_DIR by default.")
@click.option("--seed", type=int, help="Which market to simulate; a restart takes the state file's.")
@click.option("--ports", type=(int, int), metavar="NODE VENUE", help="Ports of a new simulation; else any free ones.")
def main(data_dir: Path, state_file: Path | None, seed: int | None, ports: tuple[int, int] | None) -> None:
    """Simulate a SYMMIO deployment and a futures venue on loopback; prints one JSON line when both can be reached."""
    try:
        state = load_state(state_file or data_dir / "demo.json", seed, int(time.time()), ports)
        asyncio.run(_serve(state))
    except TidemarkError as error:
        raise click.ClickException(str(error)) from error


async def _serve(state: DemoState) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = DemoServer(state)
    await server.start()
    click.echo(orjson.dumps(server.description))
    beat = asyncio.create_task(server.run())
    stopped = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait((beat, stopped), return_when=asyncio.FIRST_COMPLETED)
    beat.cancel()
    stopped.cancel()
    await server.stop()
    if beat in done:
        beat.result()
    with contextlib.suppress(asyncio.CancelledError):
        await beat


if __name__ == "__main__":
    main()
