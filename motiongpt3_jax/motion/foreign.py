"""Detect files of other tools by extension or magic bytes, with the way to a file that can be read."""

_AS_BVH = "export it as BVH, e.g. from Blender, and give the .bvh"
"""What to do with files of animation tools."""

_AS_ARRAY = "save its joints (frames, 22, 3), y up, in metres, with numpy.save"
"""What to do with files of numbers."""

REMEDIES = {
    **dict.fromkeys((".fbx", ".c3d", ".dae", ".glb", ".gltf", ".blend", ".usd", ".vrm", ".vrma", ".vmd"), _AS_BVH),
    **dict.fromkeys((".asf", ".amc", ".trc", ".htr", ".mvnx", ".anim", ".max", ".ma", ".mb"), _AS_BVH),
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth", ".joblib", ".mat", ".h5", ".hdf5"), _AS_ARRAY),
    **dict.fromkeys((".json", ".csv", ".txt"), f"{_AS_BVH}, or {_AS_ARRAY}"),
}
"""What to do with the files of other tools, by their endings."""

_CONTENTS = (
    (b"Kaydara FBX Binary", "an FBX file"),
    (b"; FBX", "an FBX file"),
    (b"glTF", "a glTF file"),
    (b"BLENDER", "a Blender file"),
    (b"\x93NUMPY", "a .npy array"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML file"),
)


def foreign_remedy(suffix: str) -> str:
    """The end of a sentence on a file of this ending: what to do with it, as far as that is known."""
    remedy = REMEDIES.get(suffix.lower())
    return f": {remedy}." if remedy else "."


def foreign_content(content: bytes) -> str | None:
    """Detect a file type by magic bytes, where it is none of motion."""
    head = content[:64].lstrip().lower()
    return next((kind for start, kind in _CONTENTS if head.startswith(start.lower())), None)
