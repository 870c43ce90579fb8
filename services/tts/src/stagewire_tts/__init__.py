"""The tts stage: text in, voice out, with the times of words and phonemes."""
