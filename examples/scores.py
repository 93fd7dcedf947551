"""Print scores as pandas frames: one row per seed, then the spread over seeds and the error over documents.

python examples/scores.py human-1b                  # published scores
python examples/scores.py demo-1m mixhub-demo       # scores measured in a workspace
python examples/scores.py lm-eval-output/           # any results of lm-eval
"""

import sys

import mixhub


def main() -> None:
    source, workspace = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    scores = mixhub.results(source, workspace=workspace)
    print(f"{scores.attrs['name']}, {scores.attrs['standing']}")
    print(scores.round(2).to_markdown())
    spread = mixhub.results(source, workspace=workspace, frame="spread").set_index("title")
    print("\nover seeds, and over documents:")
    print(spread[["n", "mean", "sd", "low", "high", "stderr"]].astype(float).round(2).to_markdown())


if __name__ == "__main__":
    main()
