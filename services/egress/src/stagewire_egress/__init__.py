"""The egress stage: the edge between a session and its client."""
