//! The document and the server say the same.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::fake::{Fake, PATIENT, in_time, parts, serving, stats, status, talk};
use super::{OPENAPI, Refusal, RefusalKind, route};

fn document() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

/// What is wrong with `value` by the schema that `$ref`s may lead out of into the document.
fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut schema = schema.clone();
    schema["components"] = document()["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let fault =
        |error: jsonschema::ValidationError<'_>| format!("{}: {error}", error.instance_path());
    validator.iter_errors(value).map(fault).collect()
}

fn schema_of(content: &Value) -> &Value {
    &content["content"]["application/json"]["schema"]
}

/// The schema of `name` in `components.schemas`.
fn schema(name: &str) -> Value {
    document()["components"]["schemas"][name].clone()
}

/// The object that a `$ref` names, or the value itself.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(to) => document.pointer(to.trim_start_matches('#')).expect(to),
        None => value,
    }
}

/// Every path with its method in upper case and what the document says of it.
fn operations(document: &Value) -> Vec<(&str, String, &Value)> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            found.push((path.as_str(), method.to_uppercase(), operation));
        }
    }
    found
}

/// A value for every field that a request can have.
fn whole_request(operation: &Value) -> Value {
    match operation["operationId"].as_str().unwrap() {
        "snapshot" => json!({ "file": "/f", "then": "stop" }),
        "migrate" => json!({
            "target": "tcp:[::1]:7000",
            "downtime_ms": 7,
            "max_rounds": 0,
            "peer_timeout_seconds": 0.5,
            "insecure": true,
            "tls_cert": "/cert",
            "tls_key": "/key",
            "tls_ca": "/ca",
            "verify": "whole",
        }),
        _ => json!({}),
    }
}

/// The schema of an operation's body.
fn request_schema(document: &Value, operation: &Value) -> Option<Value> {
    let body = operation.get("requestBody")?;
    Some(resolve(document, schema_of(body)).clone())
}

fn send(path: &Path, method: &str, target: &str, body: &str) -> (u16, String, Value) {
    let length = body.len();
    let answer = talk(
        path,
        format!(
            "{method} {target} HTTP/1.1\r\nHost: vmm\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ),
    );
    let (code, head, body) = parts(&answer);
    (code, head.to_owned(), body)
}

/// The answer is one that the document has for this operation; `default` is for what no
/// operation has to do with.
fn assert_described(document: &Value, operation: &Value, code: u16, body: &Value) {
    let response = &operation["responses"][code.to_string()];
    let response = resolve(document, response);
    assert!(
        response.is_object(),
        "{code} of {}",
        operation["operationId"]
    );
    assert_eq!(faults(schema_of(response), body), Vec::<String>::new());
}

#[test]
fn routes_and_paths_are_the_same() {
    let document = document();
    let described: BTreeSet<_> = operations(&document)
        .into_iter()
        .map(|(path, method, _)| (path.to_owned(), method))
        .collect();
    let served: BTreeSet<_> = route::all()
        .map(|(path, method)| (path.to_owned(), method.to_owned()))
        .collect();
    assert_eq!(described, served);
    assert_eq!(document["info"]["version"], "1");
}

#[test]
fn every_operation_answers_as_described() {
    let document = document();
    let fake = Fake::default();
    in_time(|| {
        serving(&fake, PATIENT, |path| {
            for (target, method, operation) in operations(&document) {
                let request = whole_request(operation);
                if let Some(schema) = request_schema(&document, operation) {
                    assert_eq!(faults(&schema, &request), Vec::<String>::new());
                    let properties = schema["properties"].as_object().unwrap();
                    assert!(properties.keys().eq(request.as_object().unwrap().keys()));
                }
                let (code, head, body) = send(path, &method, target, &request.to_string());
                assert_eq!(code, 200, "{target}: {body}");
                assert!(head.contains("Content-Type: application/json"));
                assert_described(&document, operation, code, &body);
            }
            let (_, _, served) = send(path, "GET", "/openapi.json", "");
            assert_eq!(served, document);
        });
    });
    assert_eq!(
        fake.asked(),
        ["migrate", "pause", "resume", "snapshot", "stop"]
    );
}

#[test]
fn every_refusal_is_described() {
    let document = document();
    let fake = Fake::default();
    let kinds = [
        (RefusalKind::Invalid, 400),
        (RefusalKind::Conflict, 409),
        (RefusalKind::Gone, 410),
        (RefusalKind::Failed, 500),
    ];
    in_time(|| {
        serving(&fake, PATIENT, |path| {
            for (kind, expected) in kinds {
                let mut refusal = Refusal::new(kind, "not so");
                refusal.details.push("because".to_owned());
                fake.refuse(Some(refusal));
                for (target, method, operation) in operations(&document) {
                    if method == "GET" {
                        continue;
                    }
                    let request = whole_request(operation).to_string();
                    let (code, _, body) = send(path, &method, target, &request);
                    assert_eq!(code, expected);
                    assert_eq!(body, json!({ "error": "not so", "details": ["because"] }));
                    assert_described(&document, operation, code, &body);
                }
            }
        });
    });
}

/// Every way in which one field of a request can be wrong, with the field's name.
fn wrong_requests(schema: &Value, good: &Map<String, Value>) -> Vec<(String, Value)> {
    let mut wrong = vec![("surprise".to_owned(), {
        let mut request = good.clone();
        request.insert("surprise".to_owned(), json!(1));
        request.into()
    })];
    let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
    for name in schema["properties"].as_object().unwrap().keys() {
        let values = [
            json!([]),
            json!({}),
            json!(-1),
            json!("no/such value"),
            json!(1e300),
        ];
        for value in values {
            let mut request = good.clone();
            request.insert(name.clone(), value);
            wrong.push((name.clone(), request.into()));
        }
        if required.contains(&json!(name)) {
            let mut request = good.clone();
            request.remove(name);
            wrong.push((name.clone(), request.into()));
        }
    }
    wrong
}

#[test]
fn what_the_document_does_not_allow_is_refused_and_named() {
    let document = document();
    let fake = Fake::default();
    in_time(|| {
        serving(&fake, PATIENT, |path| {
            let mut sent = 0;
            for (target, method, operation) in operations(&document) {
                let Some(schema) = request_schema(&document, operation) else {
                    continue;
                };
                let good = whole_request(operation).as_object().unwrap().clone();
                for (name, request) in wrong_requests(&schema, &good) {
                    // The target's grammar is the machine's to judge.
                    if name == "target" && request["target"].is_string() {
                        continue;
                    }
                    sent += 1;
                    assert_ne!(faults(&schema, &request), Vec::<String>::new(), "{request}");
                    let (code, _, body) = send(path, &method, target, &request.to_string());
                    assert_eq!(code, 400, "{request}");
                    let error = body["error"].as_str().unwrap();
                    assert!(error.contains(&format!("`{name}`")), "{request}: {error}");
                    assert_described(&document, operation, code, &body);
                }
            }
            assert!(sent > 50, "{sent}");
        });
    });
    assert!(fake.asked().is_empty());
}

#[test]
fn the_documents_defaults_are_the_servers() {
    let fake = Fake::default();
    let with_defaults = |name: &str, given: Value| {
        let mut request = given;
        for (field, schema) in schema(name)["properties"].as_object().unwrap() {
            if request.get(field).is_none() {
                let default = schema.get("default").cloned().unwrap_or(Value::Null);
                request[field] = default;
            }
        }
        request
    };
    in_time(|| {
        serving(&fake, PATIENT, |path| {
            let given = json!({ "file": "/f" });
            assert_eq!(send(path, "PUT", "/snapshot", &given.to_string()).0, 200);
            let taken = serde_json::to_value(fake.last_snapshot()).unwrap();
            assert_eq!(taken, with_defaults("SnapshotRequest", given));
            let given = json!({ "target": "unix:/s" });
            assert_eq!(send(path, "PUT", "/migrate", &given.to_string()).0, 200);
            let taken = serde_json::to_value(fake.last_migrate()).unwrap();
            assert_eq!(taken, with_defaults("MigrateRequest", given));
        });
    });
}

#[test]
fn other_paths_and_methods_are_refused() {
    let document = document();
    in_time(|| {
        let fake = Fake::default();
        serving(&fake, PATIENT, |path| {
            for (target, allowed, _) in operations(&document) {
                for method in ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "get"] {
                    if method == allowed {
                        continue;
                    }
                    let (code, head, body) = send(path, method, target, "");
                    assert_eq!(code, 405);
                    assert!(head.contains(&format!("Allow: {allowed}\r\n")));
                    assert_eq!(faults(&schema("Error"), &body), Vec::<String>::new());
                }
                for path_like in [format!("{target}/"), format!("{target}?x"), "/".to_owned()] {
                    let (code, _, body) = send(path, &allowed, &path_like, "");
                    assert_eq!(code, 404, "{path_like}");
                    assert_eq!(faults(&schema("Error"), &body), Vec::<String>::new());
                }
            }
        });
        assert!(fake.asked().is_empty());
    });
}

#[test]
fn every_object_is_described_field_by_field() {
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(schema["description"].is_string(), "{name}");
        let Some(properties) = schema["properties"].as_object() else {
            continue;
        };
        // With this, a field that the document lacks fails the tests above.
        assert_eq!(schema["additionalProperties"], false, "{name}");
        for (field, schema) in properties {
            assert!(schema["description"].is_string(), "{name}.{field}");
        }
    }
}

#[test]
fn every_value_of_an_enum_is_described() {
    use super::{OperationKind, PayloadState, State, VcpuState};
    use crate::host::Kind;
    use crate::pv::{HaltIn, KickBy};

    let status_schema = schema("Status");
    let valid = |change: &dyn Fn(&mut super::Status)| {
        let mut status = status();
        change(&mut status);
        let value = serde_json::to_value(status).unwrap();
        assert_eq!(faults(&status_schema, &value), Vec::<String>::new());
    };
    for state in [
        State::Running,
        State::Paused,
        State::Migrating,
        State::Ended,
    ] {
        valid(&|status| status.state = state);
    }
    for kind in [Kind::Vmx, Kind::Svm, Kind::Pvm, Kind::Unknown] {
        valid(&|status| status.host_kind = kind);
    }
    for number in 0..5 {
        let state = PayloadState::from_abi(number);
        valid(&|status| status.payload.as_mut().unwrap().state = state);
    }
    for kind in [OperationKind::Snapshot, OperationKind::Migrate] {
        valid(&|status| status.operation.as_mut().unwrap().kind = kind);
    }
    for (kick, halt) in [(KickBy::Kvm, HaltIn::Vmm), (KickBy::Vmm, HaltIn::Kvm)] {
        valid(&|status| (status.kick, status.halt) = (kick, halt));
    }
    let stats_schema = schema("Stats");
    let valid_stats = |change: &dyn Fn(&mut super::Stats)| {
        let mut stats = stats();
        change(&mut stats);
        let value = serde_json::to_value(stats).unwrap();
        assert_eq!(faults(&stats_schema, &value), Vec::<String>::new());
    };
    for state in [
        VcpuState::Running,
        VcpuState::Halted,
        VcpuState::WaitingForSipi,
    ] {
        valid_stats(&|stats| stats.vcpus[0].state = Some(state));
    }
    valid_stats(&|stats| (stats.kicks, stats.wait_ns) = (None, None));
    valid(&|status| status.payload = None);
    valid(&|status| status.operation = None);
    valid(&|status| {
        let operation = status.operation.as_mut().unwrap();
        operation.round = None;
        operation.dirty_bytes_per_second = None;
        operation.expected_downtime_ns = None;
    });
}
