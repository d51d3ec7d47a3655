//! Reads our own Rust files by line, without parsing: what rustfmt has laid out is regular enough.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One source file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Path below the root.
    pub(crate) path: PathBuf,
    /// All of it.
    pub(crate) text: String,
}

/// A function and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// Number of its first line, from 1.
    pub(crate) line: usize,
    /// Lines from `fn` to the closing brace.
    pub(crate) length: usize,
    /// Marked as allowed to be long.
    pub(crate) excused: bool,
    /// Inside a test module or file.
    pub(crate) in_tests: bool,
}

/// All `.rs` files below `folder`, build products left out.
///
/// # Errors
/// When a folder or file cannot be read.
pub(crate) fn files(root: &Path, folder: &str) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    let mut open = vec![root.join(folder)];
    while let Some(folder) = open.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("could not list {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
                let path = path.strip_prefix(root)?.to_owned();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

impl Source {
    /// Whether the whole file is test code.
    fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.components().any(|part| part.as_os_str() == "tests")
    }

    /// Numbered lines of code outside tests, comments removed.
    pub(crate) fn code(&self) -> Vec<(usize, &str)> {
        if self.is_test() {
            return Vec::new();
        }
        self.text
            .lines()
            .enumerate()
            .take_while(|(_, line)| *line != "#[cfg(test)]")
            .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
            .filter(|(_, line)| !line.trim().is_empty())
            .collect()
    }

    /// All functions with a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let lines: Vec<&str> = self.text.lines().collect();
        let tests_from = lines.iter().position(|line| *line == "#[cfg(test)]").unwrap_or(lines.len());
        (0..lines.len())
            .filter_map(|index| {
                let (name, indent) = function_start(lines[index])?;
                let end = end_of(&lines, index, indent)?;
                let attributes = lines[..index].iter().rev().take_while(|line| {
                    let line = line.trim_start();
                    line.starts_with(['#', '/', ')']) || line.starts_with("clippy::") || line.starts_with("reason")
                });
                Some(Function {
                    name: name.to_owned(),
                    line: index + 1,
                    length: end - index + 1,
                    excused: attributes.into_iter().any(|line| line.contains("too_many_lines")),
                    in_tests: self.is_test() || index > tests_from,
                })
            })
            .collect()
    }
}

/// Name and indentation, if `line` begins a function.
fn function_start(line: &str) -> Option<(&str, usize)> {
    let trimmed = line.trim_start();
    let mut rest = trimmed;
    loop {
        if let Some(named) = rest.strip_prefix("fn ") {
            let end = named.find(|c: char| !c.is_alphanumeric() && c != '_')?;
            return Some((&named[..end], line.len() - trimmed.len()));
        }
        let (word, tail) = rest.split_once(' ')?;
        let qualifier = matches!(word, "const" | "async" | "unsafe" | "extern" | "\"C\"") || word.starts_with("pub");
        // `pub(in path)` is two words; the second ends with the parenthesis.
        if !qualifier && !word.ends_with(')') {
            return None;
        }
        rest = tail;
    }
}

/// Line of the closing brace; nothing for a declaration without a body.
fn end_of(lines: &[&str], start: usize, indent: usize) -> Option<usize> {
    let closing = format!("{}}}", " ".repeat(indent));
    for (index, line) in lines.iter().enumerate().skip(start) {
        let whole = line.trim_end();
        let one_line = index == start && whole.ends_with('}') && whole.contains('{');
        if *line == closing || one_line {
            return Some(index);
        }
        if whole.ends_with(';') && line.len() - line.trim_start().len() == indent {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.to_owned() }
    }

    #[test]
    fn functions_are_found_with_their_length_and_place() {
        let text = "pub(crate) const fn one() {}\n\n\
                    impl A {\n    async fn two(\n        a: u8,\n    ) -> u8 {\n        a\n    }\n}\n\
                    trait B {\n    fn declared(&self);\n}\n\
                    #[cfg(test)]\nmod tests {\n    fn three() {\n        let s = \"fn no\";\n    }\n}\n";
        let found = source("a/src/lib.rs", text).functions();
        let short: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.line, f.length, f.in_tests)).collect();
        assert_eq!(short, [("one", 1, 1, false), ("two", 4, 5, false), ("three", 15, 3, true)]);
    }

    #[test]
    fn a_marked_function_is_excused() {
        let text = "#[expect(\n    clippy::too_many_lines,\n    reason = \"one flat match\"\n)]\nfn long() {\n}\nfn other() {\n}\n";
        let found = source("a/src/lib.rs", text).functions();
        assert_eq!(found.iter().map(|f| f.excused).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn code_is_without_comments_and_tests() {
        let text = "//! std::fs\nuse a; // std::env\n\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        assert_eq!(source("a/src/lib.rs", text).code(), [(2, "use a; ")]);
        assert!(source("a/src/b/tests.rs", "use std::fs;").code().is_empty());
    }
}
