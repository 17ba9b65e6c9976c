"""Corpora, crops and score files. Readers download nothing and say what they expected to find where.

Every reader gives the same records, `Presentation`, and refuses a subject that is in two splits.
"""

from ratta.data.boxes import read_boxes
from ratta.data.casia_fasd import read_casia_fasd
from ratta.data.celeba_spoof import read_celeba_spoof
from ratta.data.crops import CropReader, Crops, separate, stacked
from ratta.data.folder import read_folder, read_manifest, read_sessions
from ratta.data.frames import FrameRecord, Skipped, read_frames
from ratta.data.live import read_live
from ratta.data.msu_mfsd import read_msu_mfsd
from ratta.data.nuaa import read_nuaa
from ratta.data.oulu_npu import read_oulu_npu
from ratta.data.presentation import Presentation
from ratta.data.replay_attack import read_replay_attack
from ratta.data.scores import ScoreRow, read_scores, write_scores

CORPORA = {
    "oulu-npu": read_oulu_npu,
    "replay-attack": read_replay_attack,
    "casia-fasd": read_casia_fasd,
    "msu-mfsd": read_msu_mfsd,
    "celeba-spoof": read_celeba_spoof,
    "nuaa": read_nuaa,
    "folder": read_folder,
    "manifest": read_manifest,
}
"""Corpora by the names that experiment files and commands use. A reader takes the root; OULU-NPU a protocol, too."""

__all__ = [
    "CORPORA",
    "CropReader",
    "Crops",
    "FrameRecord",
    "Presentation",
    "ScoreRow",
    "Skipped",
    "read_boxes",
    "read_casia_fasd",
    "read_celeba_spoof",
    "read_folder",
    "read_frames",
    "read_live",
    "read_manifest",
    "read_msu_mfsd",
    "read_nuaa",
    "read_oulu_npu",
    "read_replay_attack",
    "read_scores",
    "read_sessions",
    "separate",
    "stacked",
    "write_scores",
]
