"""The questions of the official evaluation."""

from collections.abc import Mapping

OFFICIAL_QUESTIONS: Mapping[str, Mapping[str, str]] = {
    "official_eval": {
        "t2m": "Generate motion: <Caption_Placeholder>",
        "m2t": "Generate text: <Motion_Placeholder>",
        "predict": "Predict motion: <Motion_Placeholder_s1>",
        "inbetween": "Complete the masked motion: <Motion_Placeholder_Masked>",
    },
    "official_eval_length": {
        "t2m": "Generate motion with <Frame_Placeholder> frames: <Caption_Placeholder>",
        "m2t": "Generate text with <Frame_Placeholder> frames: <Motion_Placeholder>",
    },
}
"""What the official evaluation asks, by style and task; but for prediction and in-betweening it never asks so in
training. `official_eval_length` tells the length of the motion."""
