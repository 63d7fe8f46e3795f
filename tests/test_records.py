"""Records: found only by what they were measured with, never half-written."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from dfr_core import records
from dfr_core.errors import DFRError
from dfr_core.records import Record, Records, Store, file_fingerprint, key_of


def test_a_record_survives_the_disk(tmp_path):
    store = Store(tmp_path)
    record = Record({"kind": "training", "metrics": {"roc_auc": 0.5}}, {"maps": np.arange(6, dtype=np.float32).reshape(2, 3)})
    assert not store.has("a")
    store.put("a", record)
    back = store.get("a")
    assert back.about == record.about and back.about["kind"] == "training"
    np.testing.assert_array_equal(back.arrays["maps"], record.arrays["maps"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.npz"]


def test_a_record_without_its_last_file_is_not_there(tmp_path, monkeypatch):
    store = Store(tmp_path)
    monkeypatch.setattr(records, "write_text", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.put("a", Record({}, {"x": np.zeros(3)}))
    assert not store.has("a")


def test_a_damaged_record_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DFRError, match="a.json.*delete it"):
        Store(tmp_path).get("a")


def test_the_key_depends_on_everything():
    base = {"settings": {"seed": 0, "steps": 10}, "data": "d", "weights": "w", "code": "c"}
    keys = {key_of("training-1:12", **base)}
    keys |= {key_of("training-1:12", **{**base, name: "other"}) for name in base}
    assert len(keys) == 5
    assert all("/" not in key and ":" not in key for key in keys)


def test_file_fingerprint_sees_bytes_and_names(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"1")
    b.write_bytes(b"2")
    first = file_fingerprint([a, b])
    assert file_fingerprint([b, a]) == first
    b.write_bytes(b"3")
    assert file_fingerprint([a, b]) != first
    b.unlink()
    with pytest.raises(DFRError, match="b"):
        file_fingerprint([a, b])


def test_choosing_records():
    some = Records(Record({"kind": "training", "seed": seed, "layers": layers}) for seed in (1, 0) for layers in ("12", "1:12"))
    assert len(some.where(layers="12")) == 2
    assert [r.about["seed"] for r in some.where(layers="12", seed=0)] == [0]
    assert some.where(layers="1:2") == []


def test_damaged_arrays_are_named(tmp_path):
    store = Store(tmp_path)
    store.put("a", Record({}, {"x": np.arange(100.0)}))
    whole = (tmp_path / "a.npz").read_bytes()
    for damaged in (b"", whole[: len(whole) // 2]):
        (tmp_path / "a.npz").write_bytes(damaged)
        with pytest.raises(DFRError, match="a.json.*delete it"):
            store.get("a")


def test_a_record_can_be_copied_and_sent():
    record = Record({"kind": "speed"}, {"x": np.arange(3.0)})
    for other in (copy.copy(record), copy.deepcopy(record), pickle.loads(pickle.dumps(record))):
        assert other.about == {"kind": "speed"} and other.arrays["x"].tolist() == [0, 1, 2]
