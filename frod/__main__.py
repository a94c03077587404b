"""`python -m frod`."""

from frod.commands import main

if __name__ == "__main__":
    main()
