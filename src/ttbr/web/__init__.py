"""Images over HTTP: the page, and live answers about what is too large to be in it.

Starlette is an extra; `ttbr.web.app` needs it, the rest of this package does not.
"""
