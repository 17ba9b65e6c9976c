"""Writes what a fake camera plays, `live.y4m` and `replay.y4m`: the demo's face, and the same face on a screen."""

import sys
from pathlib import Path

import cv2

from ratta.camera.scenes import FPS, demo_scenes

SECONDS = 1.6  # an attempt takes 1.4; the fake camera plays the clip round and round

live, _, replay, _ = demo_scenes(seed=8, seconds=SECONDS)
folder = Path(sys.argv[1])
for name, scene in (("live", live), ("replay", replay)):
    with (folder / f"{name}.y4m").open("wb") as clip:
        for number, (_, frame_bgr) in enumerate(scene.frames):
            if number == 0:
                height, width = frame_bgr.shape[:2]
                clip.write(f"YUV4MPEG2 W{width} H{height} F{FPS:.0f}:1 Ip A1:1 C420jpeg\n".encode())
            clip.write(b"FRAME\n" + cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2YUV_I420).tobytes())
        print(f"{name}: {number + 1} frames of {width}x{height}")
