"""Hypothesis without a deadline: the first draw of a test makes field tables, on a busy machine."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
