"""`python -m turnup.app.cli`: the same as `turnup`."""

from turnup.app.cli.main import main

if __name__ == "__main__":
    main()
