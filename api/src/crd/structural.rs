//! From the JSON schema of a type to the structural schema that an API server takes.
//!
//! A structural schema has no `$ref`, names one type everywhere and says `nullable` only where null means something. The
//! contract is that of serialization: a field is required if it is always written.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::embedded;

/// What of a schema is for people or for other tools, or would change objects.
const LEFT_OUT: &[&str] = &["$schema", "$defs", "title", "default"];

/// The structural schema of a type.
pub(super) fn schema_of<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    let definitions = schema.get_mut("$defs").map(Value::take).unwrap_or_default();
    structural(schema, &definitions)
}

/// One schema and all below it.
fn structural(schema: Value, definitions: &Value) -> Value {
    let Value::Object(schema) = schema else {
        return json!({});
    };
    let mut schema = resolved(non_null(schema), definitions);
    schema.retain(|key, _| !LEFT_OUT.contains(&key.as_str()));
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(key) {
            *inner = structural(inner.take(), definitions);
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            *property = structural(property.take(), definitions);
        }
    }
    embedded::keep_defaults(&mut schema);
    Value::Object(schema)
}

/// A schema without the alternative of null: absent is how a field is unset.
fn non_null(mut schema: Map<String, Value>) -> Map<String, Value> {
    let is_null = |alternative: &Value| alternative["type"] == "null";
    if let Some(Value::Array(alternatives)) = schema.get("anyOf")
        && alternatives.iter().any(is_null)
    {
        let rest = alternatives.iter().find(|alternative| !is_null(alternative)).cloned();
        schema.remove("anyOf");
        if let Some(Value::Object(rest)) = rest {
            inherit(&mut schema, rest);
        }
    }
    if let Some(Value::Array(kinds)) = schema.get("type") {
        let kind = kinds.iter().find(|kind| *kind != "null").cloned().unwrap_or_default();
        schema.insert("type".to_owned(), kind);
    }
    schema
}

/// A schema with the definition in place of the reference to it; what stands beside the reference wins.
fn resolved(mut schema: Map<String, Value>, definitions: &Value) -> Map<String, Value> {
    let Some(Value::String(reference)) = schema.remove("$ref") else {
        return schema;
    };
    let name = reference.trim_start_matches("#/$defs/");
    if let Value::Object(mut definition) = definitions[name].clone() {
        embedded::complete(name, &mut definition);
        inherit(&mut schema, non_null(definition));
    }
    schema
}

fn inherit(schema: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        schema.entry(key).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_references_titles_and_defaults_go_and_what_stands_beside_a_reference_stays() {
        let definitions =
            json!({"Inner": {"type": ["string", "null"], "title": "Inner", "description": "of the type"}});
        let schema = json!({
            "$schema": "x", "title": "Outer", "type": "object",
            "properties": {
                "a": {"anyOf": [{"$ref": "#/$defs/Inner"}, {"type": "null"}], "description": "of the field"},
                "b": {"type": ["integer", "null"], "format": "int32", "default": 3},
                "title": {"type": "array", "items": {"$ref": "#/$defs/Inner"}},
            },
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "a": {"type": "string", "description": "of the field"},
                "b": {"type": "integer", "format": "int32"},
                "title": {"type": "array", "items": {"type": "string", "description": "of the type"}},
            },
        });
        assert_eq!(structural(schema, &definitions), expected);
    }
}
