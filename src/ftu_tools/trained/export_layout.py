"""Where the parts of an export lie, for those who write it and those who read it."""

from pathlib import Path

from ftu.files import jsonfile

KIND = "ftu export"  # in model.json
FACTS = "model.json"
ONNX, TORCHSCRIPT = "model.onnx", "model.pt"
TESTED = ("test_input.npy", "test_output.npy")
PREDICT, CARD, LICENCES, PARAMS = "predict.py", "README.md", "LICENSES.md", "params.yaml"


def is_export(folder: Path) -> bool:
    """Whether a folder holds an export; InputError where its model.json is damaged."""
    path = folder / FACTS
    return path.is_file() and jsonfile.read(path, "export the model again").get("kind") == KIND
