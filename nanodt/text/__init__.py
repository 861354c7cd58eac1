"""Text: tokens, encoders, and words that training never had."""
