"""Tests of the page have a browser."""

from browser import browser, page, shoot

__all__ = ["browser", "page", "shoot"]
