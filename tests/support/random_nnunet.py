"""Tiny networks with random weights where TotalSegmentator looks for its own.

    python random_nnunet.py FOLDER

Run with the Python of the environment that TotalSegmentator lives in, never imported here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

MODELS = {
    291: ("Dataset291_TotalSegmentator_part1_organs_1559subj", "nnUNetTrainerNoMirroring", 1.5),
    298: (
        "Dataset298_TotalSegmentator_total_6mm_1559subj",
        "nnUNetTrainer_4000epochs_NoMirroring",
        6.0,
    ),
}
UNUSED = (
    "Dataset292_TotalSegmentator_part2_vertebrae_1532subj",
    "Dataset293_TotalSegmentator_part3_cardiac_1559subj",
    "Dataset294_TotalSegmentator_part4_muscles_1559subj",
    "Dataset295_TotalSegmentator_part5_ribs_1559subj",
)
NETWORK = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
IMPORTED = ["conv_op", "norm_op", "dropout_op", "nonlin"]
ARCHITECTURE = {
    "n_stages": 2,
    "features_per_stage": [4, 8],
    "conv_op": "torch.nn.modules.conv.Conv3d",
    "kernel_sizes": [[3, 3, 3]] * 2,
    "strides": [[1, 1, 1], [2, 2, 2]],
    "n_conv_per_stage": [1, 1],
    "n_conv_per_stage_decoder": [1],
    "conv_bias": True,
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "dropout_op": None,
    "dropout_op_kwargs": None,
    "nonlin": "torch.nn.LeakyReLU",
    "nonlin_kwargs": {"inplace": True},
}


def _resampling(order: int, seg: bool) -> dict[str, Any]:
    return {"is_seg": seg, "order": order, "order_z": 0, "force_separate_z": None}


def _plans(name: str, mm: float) -> dict[str, Any]:
    values = {"max": 3000.0, "mean": -300.0, "median": -300.0, "min": -1024.0, "std": 500.0}
    values |= {"percentile_00_5": -1004.0, "percentile_99_5": 1588.0}
    resample = "resample_data_or_seg_to_shape"
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [64, 64, 64],
        "median_image_size_in_voxels": [100.0] * 3,
        "spacing": [mm] * 3,
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": resample,
        "resampling_fn_seg": resample,
        "resampling_fn_probabilities": resample,
        "resampling_fn_data_kwargs": _resampling(3, False),
        "resampling_fn_seg_kwargs": _resampling(1, True),
        "resampling_fn_probabilities_kwargs": _resampling(1, False),
        "architecture": {
            "network_class_name": NETWORK,
            "arch_kwargs": ARCHITECTURE,
            "_kw_requires_import": IMPORTED,
        },
        "batch_dice": True,
    }
    return {
        "dataset_name": name,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [mm] * 3,
        "original_median_shape_after_transp": [100] * 3,
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": values},
    }


def write_models(root: Path) -> None:
    import torch
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from totalsegmentator.map_to_binary import class_map, class_map_5_parts

    classes = {291: class_map_5_parts["class_map_part_organs"], 298: class_map["total"]}
    for name in UNUSED:
        (root / name).mkdir(parents=True)
    for number, (name, trainer, mm) in MODELS.items():
        labels = {"background": 0, **{v: k for k, v in classes[number].items()}}
        plans = _plans(name, mm)
        dataset = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 1}
        dataset["file_ending"] = ".nii.gz"
        place = root / name / f"{trainer}__nnUNetPlans__3d_fullres"
        (place / "fold_0").mkdir(parents=True)
        (place / "plans.json").write_text(json.dumps(plans), encoding="utf-8")
        (place / "dataset.json").write_text(json.dumps(dataset), encoding="utf-8")
        torch.manual_seed(number)
        net = get_network_from_plans(
            NETWORK, ARCHITECTURE, IMPORTED, 1, len(labels), deep_supervision=False
        )
        last = net.decoder.seg_layers[-1]
        with torch.no_grad():
            # Otherwise the lobes would hardly ever win among a hundred classes.
            last.weight.mul_(3)
            for label, k in labels.items():
                last.bias[k] += 1.5 * label.startswith("lung_")
        checkpoint = {
            "network_weights": net.state_dict(),
            "init_args": {"plans": plans, "configuration": "3d_fullres", "dataset_json": dataset},
            "trainer_name": trainer,
            "inference_allowed_mirroring_axes": None,
        }
        torch.save(checkpoint, place / "fold_0" / "checkpoint_final.pth")


if __name__ == "__main__":
    write_models(Path(sys.argv[1]))
