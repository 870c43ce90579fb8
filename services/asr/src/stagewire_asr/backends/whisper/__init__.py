"""Whisper, Silero VAD and Smart Turn, on the machine's own cores: the default backend.

segmenter   where utterances begin and end, and when the turn's end is worth judging (no I/O)
spans       which utterances a text covers
transcriber what is decoded in which order, and said about it
session     the glue of one microphone; recording keeps its last seconds
engine      the models (decoder and words, mel, vad, turn) and their threads
recognizer  the backend itself
"""
