//! The C that linked crates compile and link in, which no lock file knows.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cargo::{list, text};

/// What a crate with C in it brings.
enum Bundled {
    /// The crate's own C or assembly, of the crate's own version and licence.
    Own,
    /// A library with a name of its own.
    Library(Library),
}

struct Library {
    name: &'static str,
    /// `None`: the crate's own names the library's too.
    licence: Option<&'static str>,
    /// Where it comes from, as the beginning of a package URL.
    origin: &'static str,
    /// Vendor and product by which vulnerabilities are listed.
    cpe: &'static str,
    /// A header in the crate, and the macros that make the version.
    header: &'static str,
    macros: &'static [&'static str],
}

const BUNDLED: &[(&str, Bundled)] = &[
    ("blake3", Bundled::Own),
    ("psm", Bundled::Own),
    // For Windows alone.
    ("stacker", Bundled::Own),
    (
        "zstd-sys",
        Bundled::Library(Library {
            name: "zstd",
            licence: Some("BSD-3-Clause"),
            origin: "pkg:github/facebook/zstd@v",
            cpe: "facebook:zstandard",
            header: "zstd/lib/zstd.h",
            macros: &["ZSTD_VERSION_MAJOR", "ZSTD_VERSION_MINOR", "ZSTD_VERSION_RELEASE"],
        }),
    ),
    (
        "liblzma-sys",
        Bundled::Library(Library {
            name: "xz",
            licence: Some("0BSD"),
            origin: "pkg:github/tukaani-project/xz@v",
            cpe: "tukaani:xz",
            header: "xz/src/liblzma/api/lzma/version.h",
            macros: &["LZMA_VERSION_MAJOR", "LZMA_VERSION_MINOR", "LZMA_VERSION_PATCH"],
        }),
    ),
    (
        "aws-lc-sys",
        Bundled::Library(Library {
            name: "AWS-LC",
            licence: None,
            origin: "pkg:github/aws/aws-lc@v",
            cpe: "amazon:aws-lc",
            header: "aws-lc/include/openssl/base.h",
            macros: &["AWSLC_VERSION_NUMBER_STRING"],
        }),
    ),
];

/// The libraries in `package`, a package of cargo's metadata, as components.
///
/// # Errors
/// It compiles C that the table does not have, or the table's header is not there.
pub(super) fn of(package: &Value) -> Result<Option<Value>> {
    let name = text(package, "name");
    let compiles = list(package, "dependencies")
        .any(|dep| dep["kind"] == "build" && dep["optional"] == false && matches!(text(dep, "name"), "cc" | "cmake"));
    let Some((_, bundled)) = BUNDLED.iter().find(|(known, _)| *known == name) else {
        if compiles {
            bail!("{name} compiles C or assembly: say in xtask/src/sbom/bundled.rs what it brings");
        }
        return Ok(None);
    };
    let Bundled::Library(library) = bundled else { return Ok(None) };
    let folder = Path::new(text(package, "manifest_path")).parent().context("a manifest is in a folder")?;
    let header = folder.join(library.header);
    let header = fs::read_to_string(&header).with_context(|| format!("cannot read {}", header.display()))?;
    library.component(&header, text(package, "license")).map(Some)
}

impl Library {
    fn component(&self, header: &str, licence_of_crate: &str) -> Result<Value> {
        let parts = self.macros.iter().map(|name| defined(header, name).with_context(|| format!("no {name}")));
        let version = parts.collect::<Result<Vec<_>>>()?.join(".");
        let package_url = format!("{}{version}", self.origin);
        Ok(json!({
            "type": "library",
            "bom-ref": package_url,
            "name": self.name,
            "version": version,
            "licenses": [{ "expression": self.licence.unwrap_or(licence_of_crate) }],
            "cpe": format!("cpe:2.3:a:{}:{version}:*:*:*:*:*:*:*", self.cpe),
            "purl": package_url,
        }))
    }
}

/// What `#define NAME` stands for, without quotes.
fn defined<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header
        .lines()
        .find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("#define") && words.next() == Some(name)).then(|| words.next())?
        })
        .map(|value| value.trim_matches('"'))
}
