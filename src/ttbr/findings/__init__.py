"""The rules of `check`: what is wrong with a board as Linux will set it up."""
