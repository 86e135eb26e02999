"""The nodes of a model on a device, as its kernels read them."""

import numpy as np

from vdb.index.curator.model import CONSTANT_BYTES, Model
from vdb.kernels import METRIC_NUMBER
from vdb.kernels.device import Device, ResidentModel, coded_width


def put_model(device: Device, model: Model) -> ResidentModel:
    """A copy of what a search reads of it; raises what the device raises."""
    codes = model.node_codes
    width = codes.shape[1] - CONSTANT_BYTES
    wide = np.zeros((len(codes), coded_width(width)), np.uint8)
    wide[:, :width] = codes[:, :width]
    heads = np.zeros((len(codes), 4), np.uint32)
    heads[:, :2] = codes[:, width:].copy().view(np.uint32)
    heads[:, 2] = model.node_offset.view(np.uint32)
    return ResidentModel(
        METRIC_NUMBER[model.metric], int(model.encoding.form), model.encoding.dimension, device.put(wide),
        device.put(heads),
    )  # fmt: skip
