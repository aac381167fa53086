"""``python -m ctlung``."""

from ctlung.cli import main

if __name__ == "__main__":
    main()
