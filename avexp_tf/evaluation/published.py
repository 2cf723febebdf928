"""What the paper's text reports on Aff-Wild2; its figures have no numbers.

Reference:
  Parthasarathy and Sundaram 2020, section 4.
"""

from __future__ import annotations

DATA_SET = "Aff-Wild2"

# (model, modality, pattern, p) -> CCC of valence and arousal.
CCC = {
    ("baseline", "none", "none", 0.0): (0.393, 0.522),
    ("video_only", "none", "none", 0.0): (0.381, 0.489),
    ("audio_only", "none", "none", 0.0): (-0.060, 0.284),
    ("baseline", "video", "frame_zero", 0.95): (0.113, 0.235),
    ("baseline", "video", "frame_repeat", 0.95): (0.285, 0.410),
}
