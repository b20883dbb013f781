//! Paths, methods and what they call.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::json;
use super::operations::{Operations, Refusal};
use super::response::{Code, Response};
use super::types::{MigrateRequest, SnapshotRequest};

/// The OpenAPI document of this API, as `GET /openapi.json` gives it.
pub const OPENAPI: &str = include_str!("api.openapi.json");

/// A year, as the command line has it.
const PEER_TIMEOUT_MAX: f64 = 366.0 * 86400.0;

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Status,
    Stats,
    Pause,
    Resume,
    Stop,
    Snapshot,
    Migrate,
    Document,
}

/// Every path with the one method that it takes.
const ROUTES: [(&str, &str, Route); 8] = [
    ("/status", "GET", Route::Status),
    ("/stats", "GET", Route::Stats),
    ("/pause", "PUT", Route::Pause),
    ("/resume", "PUT", Route::Resume),
    ("/stop", "PUT", Route::Stop),
    ("/snapshot", "PUT", Route::Snapshot),
    ("/migrate", "PUT", Route::Migrate),
    ("/openapi.json", "GET", Route::Document),
];

/// Paths and methods, for the test that holds the document against them.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES.into_iter().map(|(path, method, _)| (path, method))
}

/// The body of a request that says nothing, and of an answer that does not either.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Serves one request.
pub(super) fn serve(
    operations: &dyn Operations,
    method: &str,
    path: &str,
    body: &[u8],
) -> Response {
    let Some((_, allowed, route)) = ROUTES.iter().find(|(known, ..)| *known == path) else {
        let paths: Vec<_> = ROUTES.iter().map(|(path, ..)| *path).collect();
        let message = format!("no such path; there are {}", paths.join(", "));
        return Response::error(Code::NotFound, message);
    };
    if method != *allowed {
        let message = format!("{path} takes {allowed} only");
        let mut response = Response::error(Code::MethodNotAllowed, message);
        response.allow = Some(allowed);
        return response;
    }
    call(operations, *route, body).unwrap_or_else(|bad| Response::error(Code::BadRequest, bad))
}

fn call(operations: &dyn Operations, route: Route, body: &[u8]) -> Result<Response, String> {
    match route {
        Route::Snapshot => {
            let request: SnapshotRequest = json::read(body)?;
            absolute("file", &request.file)?;
            return Ok(answer(operations.snapshot(&request)));
        }
        Route::Migrate => {
            let request: MigrateRequest = json::read(body)?;
            check(&request)?;
            return Ok(answer(operations.migrate(&request)));
        }
        _ => {}
    }
    let Nothing {} = json::read(body)?;
    Ok(match route {
        Route::Pause => done(operations.pause()),
        Route::Resume => done(operations.resume()),
        Route::Stop => done(operations.stop()),
        Route::Stats => Response::json(&operations.stats()),
        Route::Document => Response::text(OPENAPI),
        _ => Response::json(&operations.status()),
    })
}

fn done(result: Result<(), Refusal>) -> Response {
    answer(result.map(|()| Nothing {}))
}

fn answer(result: Result<impl Serialize, Refusal>) -> Response {
    match result {
        Ok(value) => Response::json(&value),
        Err(refusal) => refusal.into(),
    }
}

/// Paths of a client mean nothing in the folder of this process.
fn absolute(field: &str, path: &Path) -> Result<(), String> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(format!(
        "field `{field}`: `{}` is no absolute path",
        path.display()
    ))
}

fn check(request: &MigrateRequest) -> Result<(), String> {
    if let Some(path) = request.target.strip_prefix("unix:") {
        absolute("target", Path::new(path))?;
    }
    for (field, path) in [
        ("tls_cert", &request.tls_cert),
        ("tls_key", &request.tls_key),
        ("tls_ca", &request.tls_ca),
    ] {
        if let Some(path) = path {
            absolute(field, path)?;
        }
    }
    match request.peer_timeout_seconds {
        Some(seconds) if !(0.0..=PEER_TIMEOUT_MAX).contains(&seconds) || seconds == 0.0 => Err(
            format!("field `peer_timeout_seconds`: must be above 0 and at most {PEER_TIMEOUT_MAX}"),
        ),
        _ => Ok(()),
    }
}
