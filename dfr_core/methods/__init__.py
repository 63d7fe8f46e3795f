"""The methods, by name."""

#: Name -> module and class; the table imports none of them.
METHODS: dict[str, str] = {"DFR": "dfr_core.methods.dfr:DFR"}
