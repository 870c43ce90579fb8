"""The synthesizers that come with the stage."""
