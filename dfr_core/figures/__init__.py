"""Figures and tables of the paper as pure functions of records; :mod:`.gallery` draws them all."""
