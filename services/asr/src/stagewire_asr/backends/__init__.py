"""The recognizers that come with the asr stage."""
