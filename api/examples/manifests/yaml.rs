//! Writes JSON values as YAML that people can read.

use serde_json::{Map, Value};

/// Keys that come first in a map, in this order; the others follow by the alphabet.
const FIRST: &[&str] = &["apiVersion", "kind", "metadata", "name", "namespace", "description", "type"];

/// Lists of words up to this many characters stand on one line.
const LINE: usize = 100;

/// One document.
pub(crate) fn document(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0);
    text
}

/// A value below a key or the root: each entry on lines of its own.
fn block(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) => entries(text, map, indent),
        Value::Array(items) => items.iter().for_each(|item| list_item(text, item, indent)),
        scalar => *text += &format!("{:indent$}{}\n", "", word(scalar, false)),
    }
}

fn entries(text: &mut String, map: &Map<String, Value>, indent: usize) {
    for key in ordered(map) {
        let value = &map[key];
        let key = word(&Value::from(key), false);
        match line(value) {
            Some(line) => *text += &format!("{:indent$}{key}: {line}\n", ""),
            None => {
                *text += &format!("{:indent$}{key}:\n", "");
                block(text, value, indent + 2);
            }
        }
    }
}

/// The first entry of a map stands beside the dash.
fn list_item(text: &mut String, item: &Value, indent: usize) {
    match line(item) {
        Some(line) => *text += &format!("{:indent$}- {line}\n", ""),
        None => {
            let mut inner = String::new();
            block(&mut inner, item, indent + 2);
            *text += &format!("{:indent$}- {}", "", inner.trim_start());
        }
    }
}

/// A value that fits on the line of its key.
fn line(value: &Value) -> Option<String> {
    match value {
        Value::Object(map) => map.is_empty().then(|| "{}".to_owned()),
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => None,
        Value::Array(items) => {
            let words: Vec<String> = items.iter().map(|item| word(item, true)).collect();
            let line = format!("[{}]", words.join(", "));
            (line.len() <= LINE).then_some(line)
        }
        scalar => Some(word(scalar, false)),
    }
}

fn ordered(map: &Map<String, Value>) -> Vec<&str> {
    let mut keys: Vec<&str> = map.keys().map(String::as_str).collect();
    keys.sort_by_key(|key| (FIRST.iter().position(|first| first == key).unwrap_or(FIRST.len()), *key));
    keys
}

/// A scalar; text that could be taken for something else is quoted as in JSON, which YAML reads too.
fn word(value: &Value, in_list: bool) -> String {
    match value.as_str() {
        Some(text) if is_plain(text, in_list) => text.to_owned(),
        _ => value.to_string(),
    }
}

fn is_plain(text: &str, in_list: bool) -> bool {
    const WORDS_OF_YAML: &[&str] = &["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && !text.ends_with([' ', ':'])
        && !WORDS_OF_YAML.contains(&text.to_ascii_lowercase().as_str())
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.contains(['\n', '\\', '"', '\t'])
        && !(in_list && text.contains([',', '[', ']', '{', '}']))
}
