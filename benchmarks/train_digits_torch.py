"""Train the digits CNN that ``qcore demo`` quantizes, and write it as ONNX.

Run ``python benchmarks/train_digits_torch.py`` from the repository root; it needs
torch, scikit-learn, onnx and onnxruntime, takes under a minute on one core, and
writes two files to ``adapters/demo`` (or the folder given as the only argument):

``digits.onnx``
    ``image`` float32 [N, 1, 8, 8], raw pixels 0..16, to ``logits`` [N, 10].
``digits.npz``
    uint8 ``calibration`` [128, 1, 8, 8], ``images`` [500, 1, 8, 8], ``labels`` [500].

The data is scikit-learn's ``load_digits``: 1797 handwritten digits. A fixed stratified
split holds 500 out; the network never sees them, they choose neither a setting nor a
stopping point, and are scored once, at the end. The calibration images are training
images. The network is depthwise separable, because such layers feel quantization.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional

SEED = 0
HELD_OUT = 500
CALIBRATION = 128
EPOCHS = 120
BATCH = 64
OPSET = 17

# name: (inputs, outputs, kernel, groups); the classifier follows them.
CONVOLUTIONS = {
    "stem": (1, 24, 3, 1),
    "depthwise1": (24, 24, 3, 24),
    "pointwise1": (24, 48, 1, 1),
    "depthwise2": (48, 48, 3, 48),
    "pointwise2": (48, 48, 1, 1),
    "depthwise3": (48, 48, 3, 48),
    "pointwise3": (48, 96, 1, 1),
}


class Digits(nn.Module):
    """The network, with BatchNorm after every convolution while it is trained."""

    def __init__(self):
        super().__init__()
        for name, (inputs, outputs, kernel, groups) in CONVOLUTIONS.items():
            convolution = nn.Conv2d(
                inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False
            )
            self.add_module(name, nn.Sequential(convolution, nn.BatchNorm2d(outputs)))
        self.classifier = nn.Linear(96, 10)

    def forward(self, image):
        """Return logits [N, 10] of raw pixels [N, 1, 8, 8]."""
        x = functional.relu(self.stem(image))
        x = functional.relu(self.depthwise1(x))
        x = functional.max_pool2d(functional.relu(self.pointwise1(x)), 2)
        y = functional.relu(self.depthwise2(x))
        x = functional.relu(self.pointwise2(y) + x)
        x = functional.relu(self.depthwise3(x))
        x = functional.relu(self.pointwise3(x))
        return self.classifier(x.mean((2, 3)))


def split():
    """Return training images (uint8, 0..16) and labels, then those held out."""
    pixels, labels = load_digits(return_X_y=True)
    images = pixels.astype(np.uint8).reshape(-1, 1, 8, 8)
    train, test, train_labels, test_labels = train_test_split(
        images, labels, test_size=HELD_OUT, stratify=labels, random_state=SEED
    )
    return train, train_labels, test, test_labels


def augment(images):
    """Return the images turned, stretched and moved a little, each its own way."""
    n = len(images)
    angle = torch.empty(n).uniform_(-0.2, 0.2)
    zoom = torch.empty(n, 2).uniform_(0.9, 1.1)
    theta = torch.empty(n, 2, 3)
    theta[:, 0, 0] = zoom[:, 0] * angle.cos()
    theta[:, 0, 1] = -zoom[:, 0] * angle.sin()
    theta[:, 1, 0] = zoom[:, 1] * angle.sin()
    theta[:, 1, 1] = zoom[:, 1] * angle.cos()
    theta[:, :, 2] = torch.empty(n, 2).uniform_(-0.2, 0.2)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def train(images, labels):
    """Return the network trained on uint8 images and their labels, ready to score."""
    torch.manual_seed(SEED)
    x = torch.from_numpy(images).float()
    y = torch.from_numpy(labels)
    model = Digits()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=1e-2)
    steps = EPOCHS * math.ceil(len(x) / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(BATCH):
            loss = functional.cross_entropy(model(augment(x[batch])), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def folded(layer):
    """Return weight and bias of a convolution with its BatchNorm folded in."""
    convolution, norm = layer
    gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    weight = convolution.weight.double() * gain[:, None, None, None]
    bias = norm.bias.double() - norm.running_mean.double() * gain
    return weight.detach().float().numpy(), bias.detach().float().numpy()


def export(model):
    """Return the trained network as an ONNX model of plain operators."""
    nodes, initializers = [], []

    def node(operator, inputs, name, output=None, **attributes):
        output = output or f"{name}.output"
        nodes.append(helper.make_node(operator, inputs, [output], name, **attributes))
        return output

    def parameters(name, weight, bias):
        for part, value in (("weight", weight), ("bias", bias)):
            initializers.append(numpy_helper.from_array(value, f"{name}.{part}"))
        return [f"{name}.weight", f"{name}.bias"]

    def convolution(x, name):
        *_, kernel, groups = CONVOLUTIONS[name]
        inputs = [x, *parameters(name, *folded(getattr(model, name)))]
        size = {"kernel_shape": [kernel] * 2, "pads": [kernel // 2] * 4}
        return node("Conv", inputs, name, group=groups, **size)

    def activated(x, name):
        return node("Relu", [convolution(x, name)], f"{name}.relu")

    x = activated("image", "stem")
    x = activated(x, "depthwise1")
    x = activated(x, "pointwise1")
    x = node("MaxPool", [x], "pool", kernel_shape=[2, 2], strides=[2, 2])
    y = convolution(activated(x, "depthwise2"), "pointwise2")
    x = node("Add", [y, x], "residual")
    x = node("Relu", [x], "residual.relu")
    x = activated(x, "depthwise3")
    x = activated(x, "pointwise3")
    x = node("GlobalAveragePool", [x], "mean")
    x = node("Flatten", [x], "flatten")
    weight, bias = (p.detach().numpy() for p in model.classifier.parameters())
    inputs = [x, *parameters("classifier", weight, bias)]
    node("Gemm", inputs, "classifier", "logits", transB=1)

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 8, 8])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])
    graph = helper.make_graph(nodes, "digits", [image], [logits], initializers)
    exported = helper.make_model(
        graph,
        producer_name="qcore",
        ir_version=8,  # the IR version that came with opset 17
        opset_imports=[helper.make_opsetid("", OPSET)],
        doc_string="8x8 digits; benchmarks/train_digits_torch.py",
    )
    onnx.checker.check_model(exported, full_check=True)
    return exported


def logits_of(path, images):
    """Return the logits that ONNX Runtime computes for uint8 images."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images.astype(np.float32)})[0]


def main():
    """Train, write both files, and score what was written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default="adapters/demo")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)

    images, labels, test, test_labels = split()
    model = train(images, labels)
    onnx.save(export(model), folder / "digits.onnx")
    np.savez_compressed(
        folder / "digits.npz",
        calibration=images[:CALIBRATION],
        images=test,
        labels=test_labels.astype(np.uint8),
    )

    written = logits_of(folder / "digits.onnx", test)
    with torch.no_grad():
        trained = model(torch.from_numpy(test).float()).numpy()
    np.testing.assert_allclose(written, trained, rtol=1e-3, atol=1e-3)
    accuracy = float((written.argmax(1) == test_labels).mean())
    sys.stdout.write(f"accuracy {accuracy:.4f} on {len(test)} images never seen\n")


if __name__ == "__main__":
    main()
