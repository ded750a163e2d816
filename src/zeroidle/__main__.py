"""`python -m zeroidle` is the command `zeroidle`."""

from zeroidle.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
