"""How each kind of record is measured: a module a kind.

Each offers ``measure(lab, wanted)``, which yields, record by record, what was wanted, what the record says and its
arrays. A module's own imports are the code that its records depend on (:mod:`dfr_core.lab.code`), so it imports neither
plans nor words. Whatever a device computes in is decided in it, too.
"""
