//! `cargo xtask sbom`: valid CycloneDX by the schema of its makers, complete, and the same bytes each time.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use fixtures::command::run;
use serde_json::Value;
use tempfile::TempDir;

const VALIDATE: &str = "
import sys
from cyclonedx.validation.json import JsonStrictValidator
from cyclonedx.schema import SchemaVersion
from license_expression import get_spdx_licensing
import json
text = open(sys.argv[1]).read()
fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
assert fault is None, fault
for component in json.loads(text)['components']:
    get_spdx_licensing().parse(component['licenses'][0]['expression'], validate=True, strict=True)
";

fn sbom(file: &Path) -> Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    run(Command::new(env!("CARGO")).args(["xtask", "sbom"]).arg(file).current_dir(root))?;
    Ok(fs::read_to_string(file)?)
}

#[test]
fn the_list_is_valid_complete_and_the_same_each_time() -> Result<()> {
    let folder = TempDir::new()?;
    let (first, second) = (folder.path().join("first.json"), folder.path().join("second.json"));
    let text = sbom(&first)?;
    assert_eq!(text, sbom(&second)?);
    for path in [env!("CARGO_MANIFEST_DIR"), "/root", "/home", "file:", "timestamp", "serialNumber"] {
        assert!(!text.contains(path), "the list has {path}");
    }

    let packages = fixtures::cache::cached("python-cyclonedx", "cyclonedx-python-lib 11", |folder| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "cyclonedx-python-lib[json-validation]<12", "--target"]);
        run(pip.arg(folder))
    })?;
    let validated = Command::new("python3").env("PYTHONPATH", &packages).args(["-c", VALIDATE]).arg(&first).output()?;
    ensure!(validated.status.success(), "{}", String::from_utf8_lossy(&validated.stderr));

    let list: Value = serde_json::from_str(&text)?;
    let components = list["components"].as_array().cloned().unwrap_or_default();
    let of = |name: &str| components.iter().filter(|component| component["name"] == name).count();
    for linked in ["gantry", "importer", "rustls", "zstd-sys", "zstd", "xz", "AWS-LC", "zlib-rs"] {
        assert_eq!(of(linked), 1, "{linked}");
    }
    for only_built_or_tested in ["cc", "clap_derive", "proptest", "fixtures", "xtask", "ring"] {
        assert_eq!(of(only_built_or_tested), 0, "{only_built_or_tested}");
    }
    Ok(())
}
