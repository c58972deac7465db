"""``python -m boros``: run an unmodified program on boros."""

from boros.cli import main

if __name__ == "__main__":
    main()
