//! Whether two specifications mean the same, however they are written.

use serde::Serialize;
use serde_json::Value;

/// Whether `new` means what `old` does: `1Gi` and `1024Mi` are one size.
pub(super) fn is_unchanged<T: Serialize>(new: &T, old: &T) -> bool {
    // What cannot be written as JSON was never read from it.
    matches!((meaning(new), meaning(old)), (Some(new), Some(old)) if new == old)
}

fn meaning<T: Serialize>(spec: &T) -> Option<Value> {
    let mut value = serde_json::to_value(spec).ok()?;
    plain(&mut value);
    Some(value)
}

/// Writes sizes as bytes, and leaves out what is null or an empty list.
fn plain(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()));
            for (name, value) in fields {
                match value {
                    Value::Object(sizes) if name == "requests" || name == "limits" => sizes.values_mut().for_each(size),
                    other => plain(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn size(value: &mut Value) {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Ok(bytes) = contract::quantity::parse(text.strip_prefix('+').unwrap_or(&text)) {
        *value = Value::from(bytes);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn specifications_are_compared_by_what_they_mean() {
        let size = |size: Value| json!({ "pvc": { "resources": { "requests": { "storage": size } } } });
        assert!(is_unchanged(&size(json!("1Gi")), &size(json!("1024Mi"))));
        assert!(is_unchanged(&size(json!("1Gi")), &size(json!(1 << 30))));
        assert!(!is_unchanged(&size(json!("1Gi")), &size(json!("1G"))));
        assert!(!is_unchanged(&size(json!("odd")), &size(json!("1G"))));
        assert!(is_unchanged(&json!({ "a": [], "b": null }), &json!({})));
        assert!(!is_unchanged(&json!({ "source": { "blank": {} } }), &json!({ "source": {} })));
        assert!(!is_unchanged(&json!({ "a": [1] }), &json!({ "a": [2] })));
    }
}
