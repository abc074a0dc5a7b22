"""The names of an export's files."""

KIND = "ftu export"  # in model.json: what may be written over
FACTS = "model.json"
ONNX, TORCHSCRIPT = "model.onnx", "model.pt"
TESTED = ("test_input.npy", "test_output.npy")
PREDICT, CARD, LICENCES, PARAMS = "predict.py", "README.md", "LICENSES.md", "params.yaml"
