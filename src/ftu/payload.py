"""Where the parts of a bundle lie, for those who write it and those who read it."""

FACTS = "bundle.json"  # what was packed, from which commit, and how it is to be run
LICENCES = "LICENSES.md"
LIBRARY = "src"  # what PYTHONPATH is to name
WHEELS = "wheels"
RULES = "rules.json"  # data/rules.json of the experiment

# A folder of each experiment, named by bundle.json ("own", "members"), with fold_K/ of models and
PARAMS = "params.yaml"
TARGET = "target.png"  # the image whose stains all others get, where stains are normalised
