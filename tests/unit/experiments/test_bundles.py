"""Bundles as folders: what makes one, and which settings it has."""

import json
import shutil

import pytest

from erios.checkout import PROJECT
from experiments.bundles import check_overrides, copy_bundle, digest_of, find_bundle, open_bundle, read_overrides
from experiments.errors import BundleError

SHELF = PROJECT / "conf" / "bundles"


@pytest.fixture
def bundle(tmp_path):
    return open_bundle(shutil.copytree(SHELF / "readmission", tmp_path / "mine"))


def test_a_bundle_is_found_by_name_or_folder(bundle):
    assert find_bundle("readmission", SHELF).folder == SHELF / "readmission"
    assert find_bundle(str(bundle.folder), SHELF).digest == find_bundle("readmission", SHELF).digest
    with pytest.raises(BundleError, match=r"no bundle 'nothing': name a folder, or one of .*readmission"):
        find_bundle("nothing", SHELF)
    with pytest.raises(BundleError, match="no bundle"):
        find_bundle("../bundles/readmission/../nothing", SHELF)


@pytest.mark.parametrize("place", ["configs/key.json", "docs/zone", "models"])
def test_a_link_to_elsewhere_is_refused(bundle, tmp_path, place):
    secret = tmp_path / "secret"
    secret.mkdir()
    (bundle.folder / place).symlink_to(secret)
    with pytest.raises(BundleError, match=f"{place} is a link"):
        find_bundle(str(bundle.folder), SHELF)


def test_a_copy_has_its_digest_and_a_changed_byte_another(bundle, tmp_path):
    copied = copy_bundle(bundle, tmp_path / "copy")
    assert copied.digest == bundle.digest

    (copied.folder / "configs" / "discharges.sql").write_text("SELECT 1")

    assert digest_of(copied.folder) != bundle.digest


def test_caches_and_earlier_models_are_no_part_of_a_bundle(bundle, tmp_path):
    for name in ("models", "eval", "__pycache__"):
        (bundle.folder / name).mkdir()
        (bundle.folder / name / "left").write_text("over")

    assert digest_of(bundle.folder) == bundle.digest
    assert not list(copy_bundle(bundle, tmp_path / "copy").folder.rglob("left"))


@pytest.mark.parametrize("lost", ["configs/metadata.json", "configs/train.json"])
def test_a_folder_that_lacks_a_file_is_no_bundle(bundle, lost):
    (bundle.folder / lost).unlink()

    with pytest.raises(BundleError, match=f"is no MONAI bundle: it has no {lost}"):
        open_bundle(bundle.folder)


@pytest.mark.parametrize(
    ("content", "sentence"), [("{", "is not JSON"), ("[]", "is not a JSON object"), ("{}", "no tr")]
)
def test_a_configuration_that_is_none_is_refused(bundle, content, sentence):
    (bundle.folder / "configs" / "train.json").write_text(content)

    with pytest.raises(BundleError, match=sentence):
        open_bundle(bundle.folder)


def test_a_bundle_without_a_second_configuration_trains_in_one_process(bundle):
    assert len(bundle.config_files(2)) == 2
    (bundle.folder / "configs" / "multi_gpu_train.json").unlink()

    assert len(bundle.config_files(1)) == 1
    with pytest.raises(BundleError, match="it trains in one process"):
        bundle.config_files(2)


@pytest.mark.parametrize(
    ("text", "value"), [("epochs=3", 3), ("amp=false", False), ("rate=1e-3", 0.001), ("mode=fast", "fast"), ("x=", "")]
)
def test_a_setting_is_json_or_text(text, value):
    assert read_overrides([text]) == {text.partition("=")[0]: value}


@pytest.mark.parametrize("text", ["epochs", "=3", " =3"])
def test_a_setting_without_name_or_sign_is_refused(text):
    with pytest.raises(BundleError, match="sets nothing"):
        read_overrides([text])


@pytest.mark.parametrize("name", ["epochs", "train#trainer#max_epochs", "train::trainer::amp", "train#handlers#0"])
def test_a_setting_that_the_bundle_has_may_be_set(bundle, name):
    check_overrides(bundle, {name: 1})


@pytest.mark.parametrize("name", ["epoch", "train#trainer#epochs", "train#handlers#9", "train#handlers#last", "x#y"])
def test_a_setting_that_the_bundle_lacks_is_refused(bundle, name):
    with pytest.raises(BundleError, match=f"has no setting '{name}'.*; its settings: .*epochs"):
        check_overrides(bundle, {name: 1})


def test_a_slip_of_the_pen_is_told_and_a_number_stays_a_number(bundle):
    with pytest.raises(BundleError, match=r"has no setting 'epoch' \(did you mean 'epochs'\?\)"):
        check_overrides(bundle, {"epoch": 4})
    with pytest.raises(BundleError, match=r"setting 'epochs' of bundle .* is 40: 'abc' has another type"):
        check_overrides(bundle, {"epochs": "abc"})
    check_overrides(bundle, {"epochs": "$2 * 2"})


@pytest.mark.parametrize("name", sorted(path.name for path in SHELF.iterdir()))
def test_a_bundle_of_the_shelf_says_what_it_is_for_and_under_which_licence(name):
    metadata = json.loads((SHELF / name / "configs" / "metadata.json").read_text(encoding="utf-8"))

    assert metadata["intended_use"]
    assert metadata["monai_version"]
    assert (SHELF / name / "LICENSE").read_text(encoding="utf-8")
    assert (SHELF / name / "docs" / "README.md").read_text(encoding="utf-8")
