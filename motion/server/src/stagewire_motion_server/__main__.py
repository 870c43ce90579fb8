"""Starts the local Motion Server: ``python -m stagewire_motion_server``."""

from stagewire_motion_server.command import main

if __name__ == "__main__":
    main()
