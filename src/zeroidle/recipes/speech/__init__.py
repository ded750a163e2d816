"""What the two speech services share: text to IPA, audio, alignment, scores and the report."""
