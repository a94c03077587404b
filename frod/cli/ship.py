"""`frod ship`: train the backbones that the package ships again, by the recipes in the registry."""

from __future__ import annotations


def ship() -> None:
    """Replace the shipped weights and recipes in this checkout; `make ship` calls it."""
    import json

    from frod import files
    from frod.backbones import registry as backbones
    from frod.backbones import shipped
    from frod.cli.backbone import backbone
    from frod.config.settings import Split
    from frod.pipeline.load import spec_of_backbone
    from frod.provenance import records
    from frod.tasks import registry as tasks

    for name in shipped.NAMES:
        spec = spec_of_backbone(name, backbones.load(), tasks.load(), Split().seed)
        backbone(json.dumps(spec), shipped.FOLDER / name, train=True)
        machine = records.machine(records.environment())
        files.write_json(shipped.FOLDER / f"{name}.json", {"spec": spec, "machine": machine})
        print(f"{shipped.FOLDER / name}: made again")
