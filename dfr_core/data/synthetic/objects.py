"""The ten synthetic objects, in the order of the paper's Table II."""

from __future__ import annotations

from .assembled import transistor, zipper
from .long import capsule, pill, screw, toothbrush
from .round import bottle, cable, hazelnut, metal_nut

OBJECTS = {
    "bottle": (bottle, ("broken_large", "broken_small", "contamination")),
    "cable": (cable, ("bent_wire", "cable_swap", "cut_insulation", "missing_cable", "missing_wire")),
    "capsule": (capsule, ("crack", "faulty_imprint", "poke", "scratch", "squeeze")),
    "hazelnut": (hazelnut, ("crack", "cut", "hole", "print")),
    "metal_nut": (metal_nut, ("bent", "color", "flip", "scratch")),
    "pill": (pill, ("color", "crack", "faulty_imprint", "pill_type", "scratch")),
    "screw": (screw, ("manipulated_front", "scratch_head", "scratch_neck", "thread_side", "thread_top")),
    "toothbrush": (toothbrush, ("bent_bristles", "contamination", "missing_tuft")),
    "transistor": (transistor, ("bent_lead", "cut_lead", "damaged_case", "misplaced")),
    "zipper": (zipper, ("broken_teeth", "fabric_border", "fabric_interior", "split_teeth", "squeezed_teeth")),
}
"""For each object its recipe and its defect types."""
