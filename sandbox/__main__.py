"""Serve the sandbox: `python -m sandbox --port 8900`."""

import argparse

from aiohttp import web

from sandbox.app import make_app


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8900)
    parser.add_argument("--speed", type=float, default=1.0, help="durations are divided by this")
    return parser.parse_args()


def main() -> None:
    """Serve until stopped."""
    options = parse_arguments()
    app = make_app(speed=options.speed)
    web.run_app(app, host=options.host, port=options.port, handle_signals=True)


if __name__ == "__main__":
    main()
