"""Prints constraints.txt: the exact version of everything in this environment but our own."""

from importlib.metadata import distributions

# What an environment brings along by itself.
NOT_PINNED = {"pip", "wheel"}

print("# The exact versions that are tested together; `make pins` writes this file.")
for name, version in sorted(
    (found.name.lower(), found.version)
    for found in distributions()
    if found.read_text("direct_url.json") is None
):
    if name not in NOT_PINNED:
        print(f"{name}=={version}")
