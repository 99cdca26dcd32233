"""``python -m erios``: the same command line as ``erios``."""

from erios.cli import main

if __name__ == "__main__":
    main()
