"""Loads one revision of a family, says exactly which commit it is, and lets it write.

python examples/generate.py demo-1m --seed 1 --workspace mixhub-demo "def "
python examples/generate.py human-1b --seed 4 "The Pile is"
"""

import argparse

import mixhub


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family")
    parser.add_argument("prompt")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--workspace", help="absent: the published family")
    options = parser.parse_args()

    loaded = mixhub.load(options.family, seed=options.seed, workspace=options.workspace)
    model, tokenizer = loaded
    print(f"{loaded.repo_id}, {loaded.revision} = commit {loaded.commit}")

    tokens = tokenizer(options.prompt, return_tensors="pt", return_token_type_ids=False)
    written = model.generate(**tokens, max_new_tokens=40, do_sample=False)
    print(tokenizer.decode(written[0], skip_special_tokens=True))


if __name__ == "__main__":
    main()
