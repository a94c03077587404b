"""The crate of a finished suite keeps its profiles by an independent validator, and is the same when made again.

The validator (roc-validator) brings the profiles with it: RO-Crate 1.1, Process, Workflow and Provenance Run Crate 0.5,
Workflow RO-Crate 1.0. The one document that it would fetch is RO-Crate 1.1's JSON-LD context. It is given here with the
terms that the crate may use, each as the specification has it; a term that is not among them fails the check. Not
checked without a network: whether the addresses of sources and profiles answer.
"""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest
from alterations import kept

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
SCHEMA_ORG = """
CreateAction CreativeWork ComputerLanguage Dataset HowTo HowToStep Person PropertyValue ScholarlyArticle
SoftwareApplication SoftwareSourceCode about additionalType agent alternateName author citation contentSize
datePublished description encodingFormat endTime exampleOfWork hasPart identifier instrument license mainEntity mentions
name object position programmingLanguage result softwareRequirements softwareVersion startTime step url value version
workExample
"""
TERMS = {term: f"http://schema.org/{term}" for term in SCHEMA_ORG.split()} | {
    "File": "http://schema.org/MediaObject",
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "FormalParameter": "https://bioschemas.org/FormalParameter",
    "input": "https://bioschemas.org/ComputationalWorkflow#input",
    "output": "https://bioschemas.org/ComputationalWorkflow#output",
    "conformsTo": "http://purl.org/dc/terms/conformsTo",
}
PROFILE = "provenance-run-crate-0.5"
INHERITED = ["ro-crate-1.1", "process-run-crate-0.5", "workflow-ro-crate-1.0", "workflow-run-crate-0.5"]


@pytest.fixture(scope="module")
def crate(finished, tmp_path_factory):
    """A crate of the finished project, as a folder."""
    out = tmp_path_factory.mktemp("export") / "crate"
    status, finished.said = finished.frod("crate", "reports/tiny", "--out", out)
    assert status == 0, finished.said
    return out


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The validator's cache of documents, with the context in it."""
    import requests
    import urllib3
    from requests_cache import CachedSession

    class Here(requests.adapters.HTTPAdapter):
        def send(self, request, **_):
            assert request.url == CONTEXT
            body = io.BytesIO(json.dumps({"@context": TERMS}).encode())
            headers = {"Content-Type": "application/ld+json"}
            answer = urllib3.HTTPResponse(body=body, status=200, headers=headers, preload_content=False)
            return self.build_response(request, answer)

    path = tmp_path_factory.mktemp("cache") / "http"
    with CachedSession(str(path), backend="sqlite") as session:
        session.mount("https://", Here())
        session.get(CONTEXT)
    return path


def faults(crate, cache):
    """What the validator finds, without a network, by this profile and those that it inherits."""
    from rocrate_validator import models, services

    settings = models.ValidationSettings(
        rocrate_uri=str(crate),
        profile_identifier=PROFILE,
        requirement_severity=models.Severity.REQUIRED,
        offline=True,
        cache_path=cache,
    )
    found = services.validate(settings)
    assert not found.skipped_checks
    return [f"{issue.check.identifier} {issue.message}" for issue in found.get_issues()]


def graph(crate):
    """Entities by identifier."""
    content = json.loads((crate / "ro-crate-metadata.json").read_text())
    return {entity["@id"]: entity for entity in content["@graph"]}


def references(value):
    """Identifiers that a property refers to."""
    return [one["@id"] for one in (value if isinstance(value, list) else [value])]


def test_the_profiles_are_kept(crate, cache):
    assert faults(crate, cache) == []


@pytest.fixture(scope="module")
def found(crate, cache, tmp_path_factory):
    """What the validator finds in a crate that keeps none of the profiles."""
    broken = tmp_path_factory.mktemp("broken")
    content = json.loads((crate / "ro-crate-metadata.json").read_text())
    for entity in content["@graph"]:
        if entity["@id"] == "#run":
            entity |= {"instrument": {"@id": "params.yaml"}, "madeUp": "no term of the context"}
        if entity["@id"] == "./":
            del entity["mainEntity"]
        if entity["@type"] == "HowToStep":
            del entity["workExample"]
    (broken / "ro-crate-metadata.json").write_text(json.dumps(content))
    return faults(broken, cache)


@pytest.mark.parametrize("profile", [PROFILE, *INHERITED])
def test_the_validator_finds_faults_by_each_profile(found, profile):
    """Else the test above could not fail."""
    assert any(line.startswith(f"{profile}_") for line in found), found


@pytest.mark.parametrize(
    "said",
    [
        "instrument property that references the executed tool",
        "madeUp",
        "does not include the Data Entity 'params.yaml'",
    ],
)
def test_the_validator_names_the_fault(found, said):
    assert any(said in line for line in found)


def test_every_file_is_there_with_its_hash_and_size(crate):
    entities = graph(crate)
    root = references(entities["./"]["hasPart"])
    lying = {path.relative_to(crate).as_posix() for path in crate.rglob("*") if path.is_file()}
    assert lying == {*root, "ro-crate-metadata.json"}
    for name in root:
        content = (crate / name).read_bytes()
        assert entities[name]["sha256"] == hashlib.sha256(content).hexdigest(), name
        assert entities[name]["contentSize"] == str(len(content)), name


def test_each_training_leads_to_its_inputs_results_and_settings(crate, finished):
    entities = graph(crate)
    run = "tiny/digits/digit_vit/frod/seed-0"
    record = json.loads(finished.path(f"results/{run}/record.json").read_text())
    action = entities[f"#action/train/{run}"]
    assert action["instrument"] == {"@id": "frod/cli/train.py"}
    assert record["code"]["hash"] in action["description"]
    assert action["startTime"][:23] == record["started"][:23]
    for recorded, referred in (("inputs", action["object"]), ("outputs", action["result"])):
        known = {entities[i].get("name"): entities[i].get("sha256") for i in references(referred)}
        assert record[recorded].items() <= known.items()
    values = {entities[i]["name"]: entities[i].get("value") for i in references(action["object"])}
    assert (values["seed"], values["rates.lr_scale"], values["adapter.sparse_rate"]) == (0, 0.01, 0.02)


def test_all_jobs_are_there_and_every_reference_leads_somewhere(crate, finished):
    entities = graph(crate)
    rules = [identifier.split("/")[1] for identifier in entities if identifier.startswith("#action/")]
    counted = {rule: rules.count(rule) for rule in dict.fromkeys(rules)}
    expected = {"backbone": 1, "task": 1, "basis": 1, "trial": 6, "tune": 3, "train": 3, "evaluate": 3}
    assert counted == expected | {"spectrum": 3, "summarise": 1, "report": 1}
    outside = ("http://schema.org/", "https://bioschemas.org/", "https://w3id.org/ro/crate/")
    for entity in entities.values():
        for value in entity.values():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict) and not one["@id"].startswith(
                    (*outside, "https://doi.org/", "https://snakemake")
                ):
                    assert one["@id"] in entities, entity["@id"]


def test_made_again_it_is_the_same_to_the_byte(crate, finished, tmp_path):
    again = [tmp_path / "one.zip", tmp_path / "two.zip"]
    for out in again:
        finished.frod("crate", "reports/tiny", "--out", out)
    assert again[0].read_bytes() == again[1].read_bytes()
    with zipfile.ZipFile(again[0]) as packed:
        assert packed.read("ro-crate-metadata.json") == (crate / "ro-crate-metadata.json").read_bytes()


def test_large_files_come_where_asked_for(crate, finished, cache, tmp_path):
    shipped = crate / "frod/backbones/shipped"  # which git has
    assert {path.parent.parent for path in crate.rglob("*.safetensors")} <= {shipped}
    assert not list(crate.rglob("*.npy"))
    assert "by hash alone" in finished.said
    whole = tmp_path / "whole"
    finished.frod("crate", "reports/tiny", "--out", whole, "--with-data", "--author", "Ada")
    for pattern in ("results/**/adapter.safetensors", "data/models/**/*.safetensors", "data/tasks/**/*.npy"):
        copies = sorted(path.relative_to(whole) for path in whole.glob(pattern))
        assert copies == sorted(path.relative_to(finished.folder) for path in finished.folder.glob(pattern))
    assert faults(whole, cache) == []
    assert graph(whole)["#run"]["agent"] == graph(whole)["./"]["author"] == {"@id": "#author"}


@pytest.mark.parametrize(
    ("name", "alter"),
    [
        ("metrics.json", Path.unlink),
        ("predictions.parquet", lambda path: path.write_bytes(b"other")),
        ("record.json", Path.unlink),
    ],
)
def test_a_missing_or_altered_file_is_named_and_nothing_is_written(finished, tmp_path, name, alter):
    run = "results/tiny/digits/digit_vit/frod/seed-0"
    with kept(finished.folder, run):
        alter(finished.path(f"{run}/{name}"))
        status, said = finished.frod("crate", "reports/tiny", "--out", tmp_path / "crate")
    assert status == 1 and f"frod/seed-0/{name}" in said and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_report_is_named(finished, tmp_path):
    status, said = finished.frod("crate", "results", "--out", tmp_path / "crate")
    assert status == 1 and "results/report.json: is not there" in said
