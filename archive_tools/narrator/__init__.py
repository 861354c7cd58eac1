"""The narrator: texts about drives without a language model, in the styles of people."""
