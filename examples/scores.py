"""The scores of a workspace's family as a pandas frame, a row a seed, and their spread over seeds.

python examples/scores.py mixhub-demo
"""

import sys
from pathlib import Path

from mixhub.evaluate.results import read_cells, score_frame, score_table
from mixhub.workspace import Workspace


def main() -> None:
    workspace = Workspace.open(Path(sys.argv[1]))
    family = workspace.family()
    cells = {run.revision: read_cells(workspace.results(run)) for run in family.runs()}
    frame = score_frame(family, score_table(family, family.runs(), cells))
    print(frame.round(2).to_markdown())
    print("\nspread over seeds (sd):")
    print(frame.std().round(2).to_markdown())


if __name__ == "__main__":
    main()
