//! A request's JSON body into its type, with the field that is wrong named.

use std::cell::Cell;

use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde_json::{Map, Value};

/// Reads `body`; an empty one is `{}`.
///
/// # Errors
/// One sentence for the client.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let body = body.trim_ascii();
    let fields: Map<String, Value> = if body.is_empty() {
        Map::new()
    } else {
        serde_json::from_slice(body)
            .map_err(|error| format!("the body is no JSON object: {error}"))?
    };
    // serde names a field that is missing or unknown, but not one whose value is wrong. A derived
    // type asks for one field after the other, so that is the one it asked for last.
    let current = Cell::new(None);
    let mut left = fields.iter();
    let entries = std::iter::from_fn(|| {
        let entry = left.next();
        current.set(entry.map(|(name, _)| name));
        entry.map(|(name, value)| (name.as_str(), value))
    });
    T::deserialize(MapDeserializer::new(entries)).map_err(|error: serde_json::Error| {
        let error = error.to_string();
        match current.get() {
            Some(name) if !error.starts_with("unknown field") => format!("field `{name}`: {error}"),
            _ => error,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{MigrateRequest, SnapshotRequest, Then};

    fn refused(body: &str) -> String {
        read::<SnapshotRequest>(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(refused(""), "missing field `file`");
        assert_eq!(refused(r#"{"then":"stop"}"#), "missing field `file`");
        assert_eq!(
            refused(r#"{"file":7}"#),
            "field `file`: invalid type: integer `7`, expected path string"
        );
        assert_eq!(
            refused(r#"{"file":"/f","then":"go"}"#),
            "field `then`: unknown variant `go`, expected one of `resume`, `stay-paused`, `stop`"
        );
        assert_eq!(
            refused(r#"{"file":"/f","than":"stop"}"#),
            "unknown field `than`, expected `file` or `then`"
        );
        for body in ["[]", "{", "nonsense", "{\"file\":\"\\ud800\"}"] {
            assert!(refused(body).starts_with("the body is no JSON object: "));
        }
        let bad = br#"{"target":"unix:/s","downtime_ms":-1}"#;
        assert_eq!(
            read::<MigrateRequest>(bad).unwrap_err(),
            "field `downtime_ms`: invalid value: integer `-1`, expected u64"
        );
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let request: SnapshotRequest = read(br#" {"file":"/f"} "#).unwrap();
        assert_eq!(request.then, Then::Resume);
        let request: MigrateRequest = read(br#"{"target":"unix:/s"}"#).unwrap();
        assert_eq!(request, MigrateRequest::new("unix:/s"));
    }
}
