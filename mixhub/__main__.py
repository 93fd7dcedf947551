"""`python -m mixhub`."""

from mixhub.cli import main

if __name__ == "__main__":
    main()
