//! The description of the interface, held to what is answered.

use http::Method;
use serde_json::Value;

/// Fails if the document knows the path and the method, but not that they are answered like this.
pub(crate) fn check(document: &Value, method: &Method, path: &str, status: u16) {
    let below = path.strip_prefix("/api/").filter(|rest| !rest.starts_with("v1/"));
    let path = below.map_or(path.to_owned(), |rest| format!("/api/v1/{rest}"));
    let paths = document["paths"].as_object().expect("paths");
    // Where two fit, the one without a placeholder is meant.
    let fitting = paths.iter().filter(|(pattern, _)| fits(pattern, &path));
    let Some((pattern, methods)) = fitting.min_by_key(|(pattern, _)| pattern.matches('{').count())
    else {
        return;
    };
    let Some(operation) = methods.get(method.as_str().to_lowercase()) else { return };
    let known = operation["responses"].get(status.to_string()).is_some();
    assert!(known, "{method} {pattern} answers {status}, which is not described");
}

fn fits(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), parts.next()) {
            (None, None) => return true,
            (Some(want), Some(part)) if want == part => {}
            (Some(want), Some(part)) if want.starts_with('{') && !part.is_empty() => {}
            _ => return false,
        }
    }
}
