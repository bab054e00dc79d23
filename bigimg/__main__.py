"""``python -m bigimg``."""

from bigimg.cli import main

if __name__ == "__main__":
    main()
