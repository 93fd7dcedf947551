"""Runs the named benchmarks, or all."""

import sys
from importlib import import_module

NAMES = (
    "help",
    "demo",
    "order",
    "trainer",
    "checkpoints",
    "batches",
    "pack",
    "bootstrap",
    "scorer",
    "sweep",
    "results",
    "card",
    "release",
    "branches",
    "killed",
    "coverage",
    "agreement",
    "mutation",
)


def main() -> None:
    for name in sys.argv[1:] or NAMES:
        if name not in NAMES:
            sys.exit(f"no benchmark {name!r}; there are: {', '.join(NAMES)}")
        print(f"{name}: {import_module(f'tests.benchmarks.{name}').run()}", flush=True)


if __name__ == "__main__":
    main()
