"""The motion_bridge stage: speech in, facial motion out."""
