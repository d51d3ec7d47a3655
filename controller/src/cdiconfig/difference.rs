//! What has to be written so that one JSON value becomes another: a merge patch (RFC 7386), which names what goes as well.

use serde::Serialize;
use serde_json::{Map, Value};

/// The merge patch that makes `before` equal to `after`; none if they are equal.
pub(crate) fn between(before: &impl Serialize, after: &impl Serialize) -> Option<Value> {
    let (before, after) = (value(before), value(after));
    (before != after).then(|| patch(&before, after))
}

/// What cannot be written as JSON is written as nothing; none of our kinds is such.
fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

fn patch(before: &Value, after: Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, &after) else { return after };
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let mut patched: Map<String, Value> = gone.collect();
    for (key, after) in after {
        match before.get(key) {
            Some(before) if before == after => {}
            Some(before) => drop(patched.insert(key.clone(), patch(before, after.clone()))),
            None => drop(patched.insert(key.clone(), after.clone())),
        }
    }
    Value::Object(patched)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_names_what_changed_and_what_goes_and_nothing_else() {
        for (before, after, expected) in [
            (json!({"a": 1}), json!({"a": 1}), None),
            (json!({"a": 1, "b": 2}), json!({"a": 1, "b": 3}), Some(json!({"b": 3}))),
            (json!({"a": 1, "b": 2}), json!({"a": 1}), Some(json!({"b": null}))),
            (json!({"a": {"x": 1, "y": 2}}), json!({"a": {"y": 2, "z": 3}}), Some(json!({"a": {"x": null, "z": 3}}))),
            (json!({"a": [1, 2]}), json!({"a": [2]}), Some(json!({"a": [2]}))),
            (json!({"a": {"x": 1}}), json!({"a": []}), Some(json!({"a": []}))),
            (Value::Null, json!({"a": 1}), Some(json!({"a": 1}))),
        ] {
            assert_eq!(between(&before, &after), expected, "{before} {after}");
        }
    }
}
