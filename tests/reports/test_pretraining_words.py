"""What the summary says of pre-training: nothing where there was none, and what is transductive."""

from ftu.files import jsonfile
from ftu.reports import pretraining


def models(folder, *facts):
    for number, pretrained in enumerate(facts):
        (folder / f"fold_{number}").mkdir()
        told = {"pretrained": pretrained} if pretrained else {"fold": number}
        jsonfile.write(folder / f"fold_{number}" / "model.json", told)
    return sorted(folder.iterdir())


def test_networks_that_were_not_pretrained_say_nothing(tmp_path):
    assert pretraining.words(models(tmp_path, None, None)) == ""


def test_steps_are_named_once(tmp_path):
    told = {"steps": ["repair", "both"], "images": {"train": 5}, "transductive": False}
    assert pretraining.words(models(tmp_path, told, told)) == (
        "The networks were pre-trained (repair, both), never on images that their fold holds out.\n"
    )


def test_what_was_matched_to_test_images_is_transductive_whether_pretrained_or_not(tmp_path):
    plain = models(tmp_path, None, None)
    jsonfile.write(plain[1] / "model.json", {"fold": 1, "matched_to": 3})
    assert "have the grey levels of 3 test images: what is said of these" in pretraining.words(plain)
    told = {"steps": ["repair"], "images": {"train": 5}, "transductive": False}
    jsonfile.write(plain[0] / "model.json", {"pretrained": told, "matched_to": 3})
    assert pretraining.words(plain).count("\n") == 2


def test_what_saw_test_images_is_transductive(tmp_path):
    told = {"steps": ["repair"], "images": {"train": 5, "test": 8}, "transductive": True}
    said = pretraining.words(models(tmp_path, told))
    assert "saw the 8 test images, without masks: what is said of these images is transductive" in said
