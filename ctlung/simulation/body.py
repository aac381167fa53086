"""What surrounds the lungs: skin, fat, muscle, bone, abdomen, table, and what fills the middle."""

from __future__ import annotations

import numpy as np

from ctlung.arrays import BoolArray
from ctlung.simulation.anatomy import LEFT_HILUM, RIGHT_HILUM, SPINE_Y, Anatomy
from ctlung.simulation.shapes import (
    Field,
    Noise,
    along,
    coverage,
    ellipsoid,
    profile,
    rounded,
    segment,
    smooth_max,
    smooth_min,
    superellipse,
    tube,
)

AIR, FAT, MUSCLE, LIVER, CORTEX, MARROW, DISC, CARTILAGE = -1000, -100, 52, 58, 620, 210, 85, 130
TABLE_SHELL, TABLE_CORE = -250, -955

_Z = (-90, -40, 0, 60, 120, 170, 205, 235, 262, 285, 320)
_BODY_HALF_WIDTH = profile(_Z, (152, 156, 159, 161, 164, 167, 168, 166, 160, 148, 136))
_BODY_HALF_DEPTH = profile(_Z, (114, 117, 118, 118, 115, 109, 100, 90, 82, 77, 75))
_BODY_MIDDLE = profile(_Z, (8, 6, 4, 3, 6, 11, 18, 25, 29, 32, 32))
TABLE_Y = 134.0
VERTEBRA_MM = 27.0


class Painter:
    """CT numbers on a grid, built up shape by shape; each shape covers what was there."""

    def __init__(self, anatomy: Anatomy) -> None:
        self.anatomy = anatomy
        self.hu = np.full(anatomy.x.shape, AIR, np.float32)
        self.blood = np.zeros(anatomy.x.shape, np.float32)

    def paint(self, f: Field, hu: float | Field) -> Field:
        """Put matter of ``hu`` inside ``f``; returns its coverage."""
        share = coverage(f)
        self.mix(share, hu)
        return share

    def mix(self, share: Field, hu: float | Field) -> None:
        """Put matter of ``hu`` where ``share`` (0..1) says."""
        self.hu += (
            share * (np.float32(hu) if isinstance(hu, (int, float)) else hu) - share * self.hu
        )
        self.blood *= 1 - share


def draw_body(painter: Painter, fat_planes: Noise, unevenness: Noise) -> BoolArray:
    """Table, skin, fat, muscle, bones and abdomen; leaves the chest's inside full of fat.

    Returns where the body is.
    """
    a = painter.anatomy
    if a.thorax.table:
        _draw_table(painter)
    body = _outline(a)
    painter.paint(body, MUSCLE - 10)
    soft = unevenness(a.x, a.y, a.z)
    painter.paint(body + 2.0, FAT + 7 * soft)
    painter.paint(_muscle(a, body, fat_planes), MUSCLE + 5 * soft)
    painter.paint(a.cage + 0.5, FAT + 6 * soft)
    _draw_abdomen(painter, soft)
    _draw_shoulders(painter)
    _draw_ribs(painter)
    _draw_sternum(painter)
    _draw_spine(painter, body)
    inside: BoolArray = body < 0.5
    return inside


def draw_mediastinum(painter: Painter) -> None:
    """Heart, great vessels, gullet, trachea and main bronchi."""
    a = painter.anatomy
    blood = a.thorax.blood_hu
    for f in (smooth_max(a.heart, a.diaphragm + 2, 4), a.great_vessels):
        share = painter.paint(f, blood)
        painter.blood += share
    _draw_heart_fat(painter)
    at = (a.x, a.y, a.z)
    for hilum in (RIGHT_HILUM, LEFT_HILUM):
        # Nodes and the roots of veins: a hilum is no bag of fat.
        painter.paint(smooth_max(ellipsoid(*at, hilum, (12, 14, 19)), a.mediastinum + 1, 3), 36)
    painter.paint(a.oesophagus, 38)
    painter.paint(a.trachea - 1.6, 35)
    painter.paint(a.trachea, AIR)


def _draw_heart_fat(painter: Painter) -> None:
    # The groove between atria and ventricles, where fat marks the coronaries.
    a = painter.anatomy
    groove = np.abs((a.x - 4) * 0.72 + (a.y + 22) * -0.42 + (a.z - 92) * -0.50) - np.float32(3.0)
    rim = np.abs(a.heart + 4) - np.float32(4.5)
    painter.paint(np.maximum(groove, rim), FAT + 25)


def _outline(a: Anatomy) -> Field:
    middle = along(a.z, _BODY_MIDDLE)
    extra = np.float32(a.thorax.fat_mm - 12)
    half_x, half_y = along(a.z, _BODY_HALF_WIDTH) + extra, along(a.z, _BODY_HALF_DEPTH) + extra
    f = superellipse(a.x, a.y - middle, half_x, half_y, 2.35)
    # Lying on the table flattens the back.
    return smooth_max(f, a.y - np.float32(TABLE_Y - 10), 16)


def _muscle(a: Anatomy, body: Field, fat_planes: Noise) -> Field:
    angle = np.abs(np.arctan2(a.x, -(a.y - 10)))
    thick = np.full_like(a.x, 12.0)
    chest = np.clip((a.z - 70) / np.float32(50), 0, 1) * np.clip((225 - a.z) / np.float32(30), 0, 1)
    thick += 13 * chest * np.exp(-(((angle - 0.65) / 0.33) ** 2))
    thick += 10 * chest * np.exp(-(((angle - 1.75) / 0.30) ** 2))
    thick += 20 * chest * np.exp(-(((angle - 2.35) / 0.35) ** 2))
    shoulder = np.clip((a.z - 190) / np.float32(40), 0, 1)
    f = a.cage - thick - 70 * shoulder * np.clip(angle - 0.5, 0, 1)
    erector = superellipse(
        np.abs(a.x) - 31, a.y - along(a.z, SPINE_Y) - 37, 23 + 0 * a.x, 15 + 0 * a.x, 2.2
    )
    f = smooth_min(f, erector, 5)
    f = smooth_max(f, body + 4 + np.float32(0.25 * a.thorax.fat_mm), 4)
    # Fat runs between the muscles where a smooth random field crosses zero.
    plane = np.abs(fat_planes(a.x, a.y, a.z)) * np.float32(16) - 1.6
    outer: Field = np.where(a.cage > 12, np.maximum(f, -plane), f)
    return outer


def _draw_abdomen(painter: Painter, soft: Field) -> None:
    a = painter.anatomy
    under = smooth_max(a.cage + 2, -a.diaphragm, 3)
    painter.paint(under, MUSCLE)
    painter.paint(under + 3, FAT)
    at = (a.x, a.y, a.z)
    liver = smooth_max(a.cage + 5, -a.diaphragm + 3.5, 8)
    liver = smooth_max(liver, a.x - 20 - 0.35 * (a.z - 20) + 0.25 * a.y, 14)
    liver = smooth_max(liver, -ellipsoid(*at, (0, 62, 0), (45, 42, 300)), 10)
    painter.paint(liver, LIVER + 4 * soft)
    spleen = smooth_max(ellipsoid(*at, (92, 44, 8), (34, 46, 46)), -a.diaphragm + 4, 6)
    painter.paint(smooth_max(spleen, a.cage + 5, 6), 50 + 3 * soft)
    stomach = smooth_max(ellipsoid(*at, (60, -22, 6), (44, 46, 52)), -a.diaphragm + 4, 8)
    stomach = smooth_max(stomach, a.cage + 7, 6)
    painter.paint(stomach, 40)
    painter.paint(stomach + 5, 18)
    painter.paint(smooth_max(stomach + 5, a.y + 34, 3), AIR)
    crus = superellipse(np.abs(a.x) - 14, a.y - 42, 9 + 0 * a.x, 12 + 0 * a.x, 2.0)
    painter.paint(np.maximum(crus, -a.diaphragm), MUSCLE)


def _draw_ribs(painter: Painter) -> None:
    a = painter.anatomy
    middle_y = a.y - 8
    angle = np.abs(np.arctan2(a.x, -middle_y))
    forward = 1 - angle / np.float32(np.pi)
    # The loop below is over ribs; voxels away from the shell never matter.
    near = (a.cage > -3) & (a.cage < 22)
    for rib in range(1, 13):
        back = 258.0 - 20.5 * (rib - 1)
        fall = 26.0 + 8.5 * min(rib, 7)
        front = 0.22 if rib <= 7 else (0.35, 0.5, 0.75, 1.5, 2.1)[rib - 8]
        height = back - fall * forward**0.9 + 10 * np.clip(forward - 0.75, 0, 1) * min(rib, 8)
        lift = a.z - height.astype(np.float32)
        half = near & (np.abs(lift) < 14)
        if not half.any():
            continue
        across = superellipse(a.cage - 7, lift, 4.6 + 0 * lift, 6.6 + 0 * lift, 2.2)
        ends = np.maximum((np.float32(front) - angle) * 90, (angle - np.float32(2.86)) * 90)
        bone_ends = np.maximum(ends, (np.float32(front + 0.30) - angle) * 90) if rib <= 10 else ends
        painter.paint(np.maximum(across + 1.0, ends), CARTILAGE)
        painter.paint(np.maximum(across, bone_ends), CORTEX - 60)
        painter.paint(np.maximum(across + 1.7, bone_ends + 1.7), MARROW)


def _draw_sternum(painter: Painter) -> None:
    a = painter.anatomy
    width = np.interp(a.z, [40, 60, 150, 175, 198], [7, 15, 15, 26, 24]).astype(np.float32)
    f = np.maximum(np.abs(a.cage - 7) - 4.5, np.abs(a.x) - width)
    f = smooth_max(np.asarray(f, np.float32), np.maximum(42 - a.z, a.z - 200), 4)
    f = np.asarray(np.maximum(f, a.y), np.float32)
    painter.paint(f, CORTEX - 200)
    painter.paint(np.asarray(f + 1.6, np.float32), MARROW - 60)


def _draw_spine(painter: Painter, outline: Field) -> None:
    a = painter.anatomy
    middle = along(a.z, SPINE_Y)
    y = a.y - middle
    zero = 0 * a.x
    body = superellipse(a.x, y, 17.5 + zero, 14.5 + zero, 2.4)
    half = VERTEBRA_MM / 2
    phase = np.asarray(np.mod(a.z, np.float32(VERTEBRA_MM)) - np.float32(half), np.float32)
    disc = np.asarray(np.abs(phase) - np.float32(half - 2.5), np.float32)
    painter.paint(body, DISC)
    bone = smooth_max(np.asarray(body + 0.5 - 0.02 * np.abs(phase), np.float32), disc, 2)
    painter.paint(bone, CORTEX - 150)
    painter.paint(bone + 1.8, MARROW - 20)
    back = phase + 0.55 * (y - 18)
    plate = np.asarray(np.maximum(np.abs(y - 36) - 12, np.abs(back) - 8), np.float32)
    spinous = smooth_max(np.abs(a.x) - np.float32(3.6), plate, 3)
    transverse = smooth_max(
        np.abs(np.abs(a.x) - 20) - 14,
        np.maximum(np.abs(y - 24 - 0.25 * (np.abs(a.x) - 20)) - 5, np.abs(phase) - 6),
        4,
    )
    pedicle = np.maximum(
        np.maximum(np.abs(np.abs(a.x) - 11) - 3.5, np.abs(y - 17) - 8), np.abs(phase) - 6
    )
    arch = superellipse(a.x, y - 22, 13.5 + zero, 12 + zero, 2.2)
    arch = np.maximum(arch, np.abs(phase) - 9)
    rear = np.minimum(np.minimum(spinous, transverse), np.minimum(pedicle, arch))
    rear = np.maximum(rear, outline + 5)
    painter.paint(rear, CORTEX - 120)
    painter.paint(rear + 1.9, MARROW)
    canal = superellipse(a.x, y - 22, 8.5 + zero, 7.5 + zero, 2.0)
    painter.paint(canal, 12)
    painter.paint(superellipse(a.x, y - 22, 5.0 + zero, 4.0 + zero, 2.0), 38)


def _draw_shoulders(painter: Painter) -> None:
    a = painter.anatomy
    for side in (-1.0, 1.0):
        x = a.x * np.float32(side)
        mid = along(a.z, profile((100, 130, 180, 225, 240), (98, 104, 104, 94, 90)))
        gap = np.abs(a.cage - 20) - np.float32(3.2)
        reach = np.abs(x - mid) - np.clip((a.z - 112) / np.float32(2.2), 4, 30)
        blade = np.maximum(np.maximum(gap, reach), np.maximum(a.z - 226, 112 - a.z))
        blade = np.maximum(blade, 20 - a.y)
        painter.paint(blade, CORTEX - 120)
        painter.paint(blade + 1.6, MARROW)
        collar = rounded([(13, -38, 203), (45, -40, 214), (85, -18, 232), (120, 6, 244)])
        f = tube(x, a.y, a.z, collar, [6.5] * len(collar))
        painter.paint(f, CORTEX)
        painter.paint(f + 2.0, MARROW)
        neck, _ = segment(x, a.y, a.z, (116, 40, 226), (128, 24, 244))
        joint = smooth_min(neck - 9, ellipsoid(x, a.y, a.z, (132, 22, 262), (20, 20, 22)), 6)
        painter.paint(joint, CORTEX - 100)
        painter.paint(joint + 2.2, MARROW - 20)


def _draw_table(painter: Painter) -> None:
    a = painter.anatomy
    x, y, z = (c * np.float32(s) for c, s in zip((a.x, a.y, a.z), a.thorax.scale, strict=True))
    top = np.float32(TABLE_Y * a.thorax.scale[1] - 6) - (x / 210) ** 2 * 22 + 0 * z
    tray = np.maximum(top - y, y - top - 22)
    tray = smooth_max(np.asarray(tray, np.float32), np.asarray(np.abs(x) - 200, np.float32), 8)
    painter.paint(tray, TABLE_SHELL)
    painter.paint(tray + 2.5, TABLE_CORE)
