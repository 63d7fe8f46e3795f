"""The widgets of the course: thin views over pure functions, one module a notebook.

Each module holds functions from numbers and arrays to a picture (uint8 [h, w, 3]) and a line of text, which are tested
without a browser, and ``build(...)``, which puts sliders before them.
"""
