import json
import time

import numpy as np
import pytest

from motiongpt3_jax.motion import HUMANML3D
from motiongpt3_jax.motion.bvh_read import read_bvh
from motiongpt3_jax.motion.joint_names import match_joints
from motiongpt3_jax.motion.joint_tree import JointTree
from tests.motion.bvh_files import standing, still, tree_of, write

CMU = {
    **{"pelvis": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2", "neck": "Neck", "head": "Head"},
    **{f"{side}_{ours}": f"{side.title()}{theirs}" for side in ("left", "right") for ours, theirs in (
        *(("hip", "UpLeg"), ("knee", "Leg"), ("ankle", "Foot"), ("foot", "ToeBase")),
        *(("collar", "Shoulder"), ("shoulder", "Arm"), ("elbow", "ForeArm"), ("wrist", "Hand")),
    )},
}  # fmt: skip


def sided(pattern, parts, middle):
    """Names of a dialect: its pattern of side and part, its parts by ours, and its joints of the middle."""
    sides = {"left": ("Left", "L", "l"), "right": ("Right", "R", "r")}
    return middle | {
        f"{side}_{ours}": pattern.format(*words, part=part)
        for side, words in sides.items()
        for ours, part in parts.items()
    }


ARMS = {"collar": "Collar", "shoulder": "Shoulder", "elbow": "Elbow", "wrist": "Wrist"}
MIDDLE = {k: CMU[k] for k in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")}
DIALECTS = {
    "mixamo": {ours: f"mixamorig:{name}" for ours, name in CMU.items()},
    "prefixed": {ours: f"Actor_{name}" for ours, name in CMU.items()},
    "lafan1": CMU | {"left_foot": "LeftToe", "right_foot": "RightToe"},
    "xsens": sided(
        "{0}{part}",
        {"hip": "Hip", "knee": "Knee", "ankle": "Ankle", "foot": "Toe"} | ARMS,
        MIDDLE | {"spine1": "Chest", "spine2": "Chest2", "spine3": "Chest3"},
    ),
    "bandai": sided(
        "{part}_{1}",
        {"hip": "UpperLeg", "knee": "LowerLeg", "ankle": "Foot", "foot": "Toes"}
        | {"collar": "Shoulder", "shoulder": "UpperArm", "elbow": "LowerArm", "wrist": "Hand"},
        MIDDLE,
    ),
    "biped": sided(
        "Bip01 {1} {part}",
        {"hip": "Thigh", "knee": "Calf", "ankle": "Foot", "foot": "Toe0"}
        | {"collar": "Clavicle", "shoulder": "UpperArm", "elbow": "Forearm", "wrist": "Hand"},
        {ours: f"Bip01 {name}" for ours, name in MIDDLE.items()} | {"pelvis": "Bip01 Pelvis"},
    ),
    "rokoko": sided(
        "{0}{part}",
        {"hip": "Thigh", "knee": "Shin", "ankle": "Foot", "foot": "Toe"}
        | {"collar": "Shoulder", "shoulder": "Arm", "elbow": "ForeArm", "wrist": "Hand"},
        MIDDLE,
    ),
    "poser": sided(
        "{2}{part}",
        {"hip": "Thigh", "knee": "Shin", "ankle": "Foot", "foot": "Toe"}
        | {"collar": "Collar", "shoulder": "Shldr", "elbow": "ForeArm", "wrist": "Hand"},
        {"pelvis": "hip", "spine1": "abdomen", "spine2": "waist", "spine3": "chest", "neck": "neck", "head": "head"},
    ),
    "unreal": sided(
        "{part}_{2}",
        {"hip": "thigh", "knee": "calf", "ankle": "foot", "foot": "ball"}
        | {"collar": "clavicle", "shoulder": "upperarm", "elbow": "lowerarm", "wrist": "hand"},
        {"pelvis": "pelvis", "spine1": "spine_01", "spine2": "spine_02", "spine3": "spine_03"}
        | {"neck": "neck_01", "head": "head"},
    ),
    "blender": sided(
        "{part}.{1}",
        {"hip": "thigh", "knee": "shin", "ankle": "foot", "foot": "toe"}
        | {"collar": "shoulder", "shoulder": "upper_arm", "elbow": "forearm", "wrist": "hand"},
        {"pelvis": "hips", "spine1": "spine", "spine2": "spine.001", "spine3": "chest", "neck": "neck", "head": "head"},
    ),
    "smpl": sided(
        "{1}_{part}",
        {"hip": "Hip", "knee": "Knee", "ankle": "Ankle", "foot": "Foot"} | ARMS,
        {
            "pelvis": "Pelvis",
            "spine1": "Spine1",
            "spine2": "Spine2",
            "spine3": "Spine3",
            "neck": "Neck",
            "head": "Head",
        },
    ),
    "asf": sided(
        "{2}{part}",
        {"hip": "femur", "knee": "tibia", "ankle": "foot", "foot": "toes"}
        | {"collar": "clavicle", "shoulder": "humerus", "elbow": "radius", "wrist": "wrist"},
        {"pelvis": "root", "spine1": "lowerback", "spine2": "upperback", "spine3": "thorax"}
        | {"neck": "lowerneck", "head": "head"},
    ),
    "iclone": sided(
        "CC_Base_{1}_{part}",
        {"hip": "Thigh", "knee": "Calf", "ankle": "Foot", "foot": "ToeBase"}
        | {"collar": "Clavicle", "shoulder": "Upperarm", "elbow": "Forearm", "wrist": "Hand"},
        {"pelvis": "CC_Base_Hip", "spine1": "CC_Base_Waist", "spine2": "CC_Base_Spine01", "spine3": "CC_Base_Spine02"}
        | {"neck": "CC_Base_NeckTwist01", "head": "CC_Base_Head"},
    ),
    "makehuman": sided(
        "{part}.{1}",
        {"hip": "upperleg01", "knee": "lowerleg01", "ankle": "foot", "foot": "toe1-1"}
        | {"collar": "clavicle", "shoulder": "upperarm01", "elbow": "lowerarm01", "wrist": "wrist"},
        {"pelvis": "root", "spine1": "spine05", "spine2": "spine03", "spine3": "spine01", "neck": "neck01"}
        | {"head": "head"},
    ),
    "vroid": sided(
        "J_Bip_{1}_{part}",
        {"hip": "UpperLeg", "knee": "LowerLeg", "ankle": "Foot", "foot": "ToeBase"}
        | {"collar": "Shoulder", "shoulder": "UpperArm", "elbow": "LowerArm", "wrist": "Hand"},
        {"pelvis": "J_Bip_C_Hips", "spine1": "J_Bip_C_Spine", "spine2": "J_Bip_C_Chest"}
        | {"spine3": "J_Bip_C_UpperChest", "neck": "J_Bip_C_Neck", "head": "J_Bip_C_Head"},
    ),
    "daz": sided(
        "{2}{part}",
        {"hip": "ThighBend", "knee": "Shin", "ankle": "Foot", "foot": "Toe"}
        | {"collar": "Collar", "shoulder": "ShldrBend", "elbow": "ForearmBend", "wrist": "Hand"},
        {"pelvis": "hip", "spine1": "abdomenLower", "spine2": "abdomenUpper", "spine3": "chestLower"}
        | {"neck": "neckLower", "head": "head"},
    ),
    "advanced skeleton": sided(
        "{part}_{1}",
        {"hip": "Hip", "knee": "Knee", "ankle": "Ankle", "foot": "Toes"}
        | {"collar": "Scapula", "shoulder": "Shoulder", "elbow": "Elbow", "wrist": "Wrist"},
        {"pelvis": "Root_M", "spine1": "Spine1_M", "spine2": "Spine2_M", "spine3": "Chest_M"}
        | {"neck": "Neck_M", "head": "Head_M"},
    ),
    "auto-rig pro": sided(
        "{part}.{2}",
        {"hip": "thigh_stretch", "knee": "leg_stretch", "ankle": "foot", "foot": "toes_01"}
        | {"collar": "shoulder", "shoulder": "arm_stretch", "elbow": "forearm_stretch", "wrist": "hand"},
        {"pelvis": "root.x", "spine1": "spine_01.x", "spine2": "spine_02.x", "spine3": "spine_03.x"}
        | {"neck": "neck.x", "head": "head.x"},
    ),
    "optitrack": sided(
        "{1}{part}",
        {"hip": "Thigh", "knee": "Shin", "ankle": "Foot", "foot": "Toe"}
        | {"collar": "Shoulder", "shoulder": "UArm", "elbow": "FArm", "wrist": "Hand"},
        {"pelvis": "Hip", "spine1": "Ab", "spine2": "Chest", "spine3": "Chest2", "neck": "Neck", "head": "Head"},
    ),
    "theia": sided(
        "{2}_{part}",
        {"hip": "thigh", "knee": "shank", "ankle": "foot", "foot": "toes"}
        | {"collar": "clavicle", "shoulder": "uarm", "elbow": "larm", "wrist": "hand"},
        {"pelvis": "pelvis", "spine1": "lumbar", "spine2": "abdomen", "spine3": "thorax", "neck": "neck"}
        | {"head": "head"},
    ),
    "rigify": sided(
        "DEF-{part}.{1}",
        {"hip": "thigh", "knee": "shin", "ankle": "foot", "foot": "toe"}
        | {"collar": "shoulder", "shoulder": "upper_arm", "elbow": "forearm", "wrist": "hand"},
        {"pelvis": "DEF-hips", "spine1": "DEF-spine", "spine2": "DEF-spine.001", "spine3": "DEF-spine.002"}
        | {"neck": "DEF-neck", "head": "DEF-head"},
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_names_of_usual_skeletons_are_ours(tmp_path, dialect):
    joints = tree_of(DIALECTS[dialect].__getitem__)
    hands = [("LeftHandIndex1", 20, (0.1, 0, 0)), ("RightHandThumb1", 21, (-0.1, 0, 0)), ("HeadTop", 15, (0, 0.2, 0))]
    motion, notes = read_bvh(write(tmp_path / "a.bvh", [*joints, *hands], [still([*joints, *hands])]))
    np.testing.assert_allclose(motion.joints[0, 0], standing(), atol=1e-5)
    assert len(notes) == 1


def cmu(scale=1.0) -> list[tuple]:
    """The skeleton of CMU's files: hip joints, lower back, neck and shoulders that lie where their parents do."""
    zero, parts = (0, 0, 0), [("Hips", -1, (0, 0, 0))]
    for side, sign in (("Left", 1), ("Right", -1)):
        start = len(parts)
        legs = [("UpLeg", (sign * 0.1, -0.1, 0)), ("Leg", (0, -0.4, 0)), ("Foot", (0, -0.42, 0))]
        legs += [("ToeBase", (0, -0.03, 0.13))]
        parts.append((f"{side[0]}HipJoint", 0, zero))
        parts += [(f"{side}{name}", start + n, offset) for n, (name, offset) in enumerate(legs)]
        parts.append((None, start + len(legs), (0, 0, 0.07)))
    start = len(parts)
    back = [
        ("LowerBack", zero),
        ("Spine", (0, 0.2, 0)),
        ("Spine1", (0, 0.2, 0)),
        ("Neck", zero),
        ("Neck1", (0, 0.1, 0)),
    ]
    parts += [
        (name, start + n - 1 if n else 0, offset) for n, (name, offset) in enumerate([*back, ("Head", (0, 0.1, 0))])
    ]
    spine1 = start + 2
    for side, sign in (("Left", 1), ("Right", -1)):
        start = len(parts)
        arm = [("Arm", (sign * 0.2, 0.06, 0)), ("ForeArm", (sign * 0.28, 0, 0)), ("Hand", (sign * 0.2, 0, 0))]
        parts.append((f"{side}Shoulder", spine1, zero))
        parts += [(f"{side}{name}", start + n, offset) for n, (name, offset) in enumerate(arm)]
    return [(name, parent, tuple(scale * value for value in offset)) for name, parent, offset in parts]


def test_cmus_bones_without_length_are_placed_between_others(tmp_path):
    joints = cmu()
    motion, notes = read_bvh(write(tmp_path / "a.bvh", joints, [still(joints, (0, 0, 0))], unit=0.0254 / 0.45))
    place = dict(zip(HUMANML3D.joints, motion.joints[0, 0]))
    np.testing.assert_allclose(place["left_hip"], (0.1, -0.1, 0), atol=1e-5)
    np.testing.assert_allclose(place["neck"], (0, 0.5, 0), atol=1e-5)
    np.testing.assert_allclose([place[f"spine{n}"][1] for n in (1, 2, 3)], [0.12, 0.25, 0.31], atol=1e-5)
    np.testing.assert_allclose(place["right_collar"], (-0.1, (0.31 + 0.46) / 2, 0), atol=1e-5)
    assert notes == (
        "spine1, spine2, spine3 placed along the file's spine",
        "collars placed midway between spine3 and shoulders",
        "lengths are read as CMU's units of 5.64 cm: legs of 0.82 m, arms of 0.48 m",
    )


def test_ends_of_bones_are_toes_and_head_where_these_are_missing(tmp_path):
    names = {**DIALECTS["xsens"], "left_foot": None, "right_foot": None, "head": None}
    joints = tree_of(names.__getitem__)
    motion, notes = read_bvh(write(tmp_path / "a.bvh", joints, [still(joints)]))
    np.testing.assert_allclose(motion.joints[0, 0], standing(), atol=1e-5)
    assert "left_foot is the end of the bone 'LeftAnkle'" in notes
    assert "head is the end of the bone 'Neck'" in notes


def odd():
    """Names that say nothing, with two spine joints."""
    joints = tree_of(lambda joint: f"Bone.{HUMANML3D.joints.index(joint):03}")
    return joints, {ours: name for ours, (name, _, _) in zip(HUMANML3D.joints, joints)}


def test_a_mapping_names_what_no_name_tells(tmp_path):
    joints, mapping = odd()
    mapping["spine2"] = [mapping["spine1"], mapping["spine3"]]
    (tmp_path / "names.json").write_text(json.dumps(mapping))
    motion, _ = read_bvh(write(tmp_path / "a.bvh", joints, [still(joints)]), tmp_path / "names.json")
    expected = standing()
    expected[6] = (expected[3] + expected[9]) / 2
    np.testing.assert_allclose(motion.joints[0, 0], expected, atol=1e-5)


def test_spine_joints_that_a_mapping_leaves_out_lie_between_those_it_has(tmp_path):
    joints, mapping = odd()
    del mapping["spine1"], mapping["spine2"]
    motion, notes = read_bvh(write(tmp_path / "a.bvh", joints, [still(joints)]), mapping)
    up = motion.joints[0, 0, [0, 3, 6, 9], 1]
    np.testing.assert_allclose((up - up[0]) / (up[3] - up[0]), [0, 0.24 / 0.62, 0.5 / 0.62, 1], atol=1e-5)
    assert "spine1, spine2 placed along the file's spine" in notes


def offered(error: Exception) -> dict:
    """The mapping that a message offers."""
    return json.loads(str(error).splitlines()[-1])


def test_joints_without_a_partner_are_all_named_and_a_mapping_to_correct_is_offered(tmp_path):
    joints, mapping = odd()
    path = write(tmp_path / "a.bvh", joints, [still(joints)])
    partial = {ours: name for ours, name in mapping.items() if ours not in ("left_knee", "head", "spine1")}
    message = (
        r"no joint that looks like left_knee, head; its joints are Bone.000, .*Bone.021.\nPut right what is wrong in "
        r"this mapping.*save it as names.json, and give it with --mapping names.json"
    )
    with pytest.raises(ValueError, match=message) as caught:
        read_bvh(path, {**partial, "unit": 1.0})
    offer = offered(caught.value)
    assert offer["unit"] == 1.0
    assert offer.items() >= {joint: mapping[joint] for joint in ("left_knee", "right_knee", "pelvis", "head")}.items()


@pytest.mark.parametrize("turned", [False, True])
def test_a_mapping_guessed_from_the_tree_alone_is_right_for_a_usual_body(tmp_path, turned):
    joints, mapping = odd()
    if turned:  # a file with z up, in centimetres
        joints = [(name, parent, (100 * x, -100 * z, 100 * y)) for name, parent, (x, y, z) in joints]
    path = write(tmp_path / "a.bvh", joints, [still(joints)])
    with pytest.raises(ValueError, match="no joint that looks like pelvis, left_hip") as caught:
        read_bvh(path)
    offer = offered(caught.value)
    assert "?" not in offer.values()
    assert offer.items() <= mapping.items()
    np.testing.assert_allclose(np.ptp(read_bvh(path, offer)[0].joints[0, 0, :, 1]), np.ptp(standing()[:, 1]), atol=1e-4)


def test_what_cannot_be_guessed_is_a_question_mark(tmp_path):
    joints = [("box", -1, (0, 0, 0)), ("lid", 0, (0, 1, 0)), ("knob", 1, (0, 0.1, 0))]
    with pytest.raises(ValueError, match="no joint that looks like") as caught:
        read_bvh(write(tmp_path / "a.bvh", joints, [still(joints)]))
    assert set(offered(caught.value).values()) == {"?"}


PREFIXES = ["CC_Base_", "Actor1_Skel_Body_", "Studio:Take.01|", "rig-", "J_Bip_", "Ch36_", "Scene|Armature|Bob "]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("dialect", ["mixamo", "unreal", "blender", "poser"])
def test_what_all_names_begin_with_goes_however_many_words_it_has(tmp_path, prefix, dialect):
    joints = tree_of(lambda joint: prefix + DIALECTS[dialect][joint].rpartition(":")[2])
    motion, notes = read_bvh(write(tmp_path / "a.bvh", joints, [still(joints)]))
    np.testing.assert_allclose(motion.joints[0, 0], standing(), atol=1e-5)
    assert len(notes) == 1


SUFFIXES = ["_bind", "_Skel_JNT", ".geo", " Node", "_rig_v2", "_ctrl_grp"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dialect", ["prefixed", "unreal", "blender", "poser"])
def test_what_all_names_end_with_goes_too(tmp_path, suffix, dialect):
    joints = tree_of(lambda joint: DIALECTS[dialect][joint] + suffix)
    motion, notes = read_bvh(write(tmp_path / "a.bvh", joints, [still(joints)]))
    np.testing.assert_allclose(motion.joints[0, 0], standing(), atol=1e-5)
    assert len(notes) == 1


def with_helper(joint: str, name: str, offset=(0.0, 0.0, 0.0), after: bool = False) -> list[tuple]:
    """Xsens' skeleton with a helper before a joint, or beside its children, where its parent or itself lies."""
    joints = tree_of(DIALECTS["xsens"].__getitem__)
    at = [name for name, _, _ in joints].index(DIALECTS["xsens"][joint])
    if after:
        return [*joints, (name, at, offset)]
    helper = len(joints)
    name, parent, (x, y, z) = joints[at]
    joints[at] = (name, helper, (x - offset[0], y - offset[1], z - offset[2]))
    return [*joints, (name, parent, offset)]


HELPERS = [
    *(("hip", "{0}HipJoint", False), ("hip", "{1}_Hip", False), ("hip", "{1} Thigh", False), ("hip", "{1}Hip1", True)),
    *(("knee", "{1}KneeJoint", False), ("knee", "{1}_Shin", False), ("knee", "{0}KneeBone", True)),
    *(("shoulder", "{1}_UpperArm", False), ("shoulder", "{1}ShoulderJoint", False), ("elbow", "{1}_ElbowJnt", False)),
    *(("ankle", "{1}AnkleJoint", False), ("wrist", "{1}_Wrist", False), ("foot", "{0}ToeJoint", False)),
]


@pytest.mark.parametrize(("joint", "name", "after"), HELPERS)
def test_a_helper_that_lies_where_its_parent_does_is_not_the_joint(tmp_path, joint, name, after):
    for side, letter in (("Left", "L"), ("Right", "R")):
        joints = with_helper(f"{side.lower()}_{joint}", name.format(side, letter), after=after)
        motion, _ = read_bvh(write(tmp_path / "a.bvh", first_parents(joints), [still(joints)]))
        np.testing.assert_allclose(motion.joints[0, 0], standing(), atol=1e-5)


def test_helpers_that_lie_where_their_twins_do_are_not_the_joints(tmp_path):
    joints = with_helper("left_hip", "LHipJoint", (0, -0.05, 0))
    at = [name for name, _, _ in joints].index("RightHip")
    joints.append(("RHipJoint", 0, (0, -0.05, 0)))
    joints[at] = ("RightHip", len(joints) - 1, (-0.1, 0, 0))
    motion, _ = read_bvh(write(tmp_path / "a.bvh", first_parents(joints), [still(joints)]))
    np.testing.assert_allclose(motion.joints[0, 0], standing(), atol=1e-5)


def test_hips_that_have_no_other_joints_of_their_name_stay_where_they_are(tmp_path):
    joints = [(n, p, (0, 0, 0) if n in ("LeftHip", "RightHip") else o) for n, p, o in tree_of(DIALECTS["xsens"].get)]
    motion, _ = read_bvh(write(tmp_path / "a.bvh", joints, [still(joints)]))
    np.testing.assert_allclose(motion.joints[0, 0, 1], motion.joints[0, 0, 0], atol=1e-5)


def first_parents(joints):
    """Joints in an order in which parents come first."""
    order, left = [], list(range(len(joints)))
    while left:
        order += [index for index in left if joints[index][1] < 0 or joints[index][1] in order]
        left = [index for index in left if index not in order]
    place = {index: number for number, index in enumerate(order)} | {-1: -1}
    return [(joints[index][0], place[joints[index][1]], joints[index][2]) for index in order]


def test_rigifys_spine_without_pelvis_neck_and_head_is_read(tmp_path):
    names = DIALECTS["blender"] | {"pelvis": "spine", "neck": "spine.004", "head": "spine.006"}
    names |= {f"spine{n}": f"spine.{n:03}" for n in (1, 2, 3)}
    joints = [*tree_of(names.__getitem__), ("face", 15, (0, 0.02, 0.05)), ("jaw", 15, (0, -0.02, 0.05))]
    motion, notes = read_bvh(write(tmp_path / "a.bvh", joints, [still(joints)]))
    np.testing.assert_allclose(motion.joints[0, 0], standing(), atol=1e-5)
    assert "pelvis is 'spine', where the legs part" in notes
    assert "neck and head are 'spine.004' and 'spine.006', above where arms part" in notes


MAPPINGS = [
    ({"left_kne": "x"}, r"names 'left_kne', which is no joint of ours \(did you mean 'left_knee'\?\): pelvis, "),
    (
        {"left_knee": "Bone.0004"},
        r"no joint 'Bone.0004', which the mapping gives for left_knee \(did you mean 'Bone.004'\?\)",
    ),
    ({"left_knee": ["a", "b", "c"]}, r"\['a', 'b', 'c'\] for 'left_knee'; expected a name or two names"),
    ({"unit": -1}, "-1 for 'unit'"),
    ({"up": "w"}, "'w' for 'up'; expected"),
    (["pelvis"], "holds a list; expected one object"),
    ({"up": ["y"]}, r"\['y'\] for 'up'; expected"),
    ({"up": {"y": 1}}, r"{'y': 1} for 'up'; expected"),
    ({"unit": 10**400}, "for 'unit'; expected"),
    ({"unit": 1e300}, "1e.300 for 'unit'; expected"),
    ({"unit": True}, "True for 'unit'; expected"),
    ({"mirrored": "yes"}, "'yes' for 'mirrored'; expected"),
    ({"left_knee": [["a"]]}, r"\[\['a'\]\] for 'left_knee'; expected"),
    ({"left_knee": {}}, "{} for 'left_knee'; expected"),
]


@pytest.mark.parametrize(("mapping", "message"), MAPPINGS)
def test_mappings_that_say_something_else_are_refused(tmp_path, mapping, message):
    joints, _ = odd()
    (tmp_path / "names.json").write_text(json.dumps(mapping))
    with pytest.raises(ValueError, match=message):
        read_bvh(write(tmp_path / "a.bvh", joints, [still(joints)]), tmp_path / "names.json")


def test_a_mapping_that_is_not_there_or_not_json_is_named(tmp_path):
    path = write(tmp_path / "a.bvh", tree_of(), [still(tree_of())])
    with pytest.raises(FileNotFoundError, match=r"names.json' does not exist"):
        read_bvh(path, tmp_path / "names.json")
    (tmp_path / "names.json").write_text("{pelvis: Hips}")
    with pytest.raises(ValueError, match=r"names.json' is not readable JSON"):
        read_bvh(path, tmp_path / "names.json")


@pytest.mark.parametrize("service", ["git-lfs.github", "hawser.github"])
def test_a_mapping_that_was_never_fetched_is_called_a_pointer(tmp_path, service):
    path = write(tmp_path / "a.bvh", tree_of(), [still(tree_of())])
    (tmp_path / "names.json").write_text(f"version https://{service}.com/spec/v1\noid sha256:a\nsize 3\n")
    with pytest.raises(ValueError, match=r"names.json' is a Git LFS pointer, .*git lfs pull"):
        read_bvh(path, tmp_path / "names.json")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 900 + "]" * 900])
def test_mappings_nested_without_end_are_one_sentence(tmp_path, text):
    (tmp_path / "names.json").write_text(text)
    with pytest.raises(ValueError, match=r"names.json' (is not readable JSON|holds a list)"):
        read_bvh(write(tmp_path / "a.bvh", tree_of(), [still(tree_of())]), tmp_path / "names.json")


def test_a_mapping_may_be_the_json_itself(tmp_path):
    path = write(tmp_path / "a.bvh", tree_of(), [still(tree_of())])
    np.testing.assert_allclose(read_bvh(path, ' {"unit": 2}')[0].joints[0, 0], 2 * standing(), atol=1e-5)
    with pytest.raises(ValueError, match="mapping is not readable JSON"):
        read_bvh(path, "{unit: 2}")


def test_tens_of_thousands_of_joints_are_matched_in_seconds_and_in_little_memory():
    many = 10_000
    names, parents = [*HUMANML3D.joints, *["left_hip", "right_hip"] * many], [*HUMANML3D.parents, *[0] * (2 * many)]
    hair = np.arange(many)
    names += [f"hair{n}" for n in hair]
    parents += [15, *(22 + 2 * many + hair[:-1])]
    places = np.concatenate([standing(), np.tile(standing()[:1], (2 * many, 1)), hair[:, None] * [0, 1e-5, 0]])
    began = time.process_time()
    weights, _ = match_joints(JointTree(tuple(names), tuple(map(int, parents)), places[None]), {}, "it")
    assert time.process_time() - began < 5
    np.testing.assert_allclose(weights @ places, standing(), atol=1e-9)
