"""Load one revision of a family, print which commit it is, and generate text.

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
    parser.add_argument("--workspace", help="default: none, which means the published family")
    options = parser.parse_args()

    loaded = mixhub.load(options.family, seed=options.seed, workspace=options.workspace)
    model, tokenizer = loaded
    print(f"{loaded.repo_id}, {loaded.revision} = commit {loaded.commit}")

    tokens = tokenizer(options.prompt, return_tensors="pt", return_token_type_ids=False)
    output = model.generate(**tokens, max_new_tokens=40, do_sample=False)
    print(tokenizer.decode(output[0], skip_special_tokens=True))


if __name__ == "__main__":
    main()
