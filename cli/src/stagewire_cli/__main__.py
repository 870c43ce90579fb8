"""``python -m stagewire_cli`` is ``stagewire``."""

from stagewire_cli.main import main

if __name__ == "__main__":
    main()
