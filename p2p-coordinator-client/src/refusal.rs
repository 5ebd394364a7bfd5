//! The words of a refusal, in whichever of their forms they come.

use p2p_coordinator_api::service::Problem;
use serde_json::Value;

/// The most characters kept of the coordinator's words.
const MAX_DETAIL: usize = 500;
/// The most characters kept of a reply that has no form at all, such as a proxy's page.
const MAX_TEXT: usize = 200;
/// The most complaints kept of a list of them.
const MAX_COMPLAINTS: usize = 8;

/// What a reply says that is no success. A reason that this client does not know counts as none, so
/// that a later coordinator's words still arrive.
pub(crate) fn problem(body: &[u8]) -> Problem {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return words(&String::from_utf8_lossy(body), MAX_TEXT);
    };
    let reason = value.get("reason").and_then(|reason| serde_json::from_value(reason.clone()).ok());
    match value.get("detail") {
        Some(Value::String(detail)) => Problem { reason, ..words(detail, MAX_DETAIL) },
        Some(Value::Array(complaints)) => {
            let said: Vec<_> =
                complaints.iter().take(MAX_COMPLAINTS).filter_map(complaint).collect();
            Problem { reason, ..words(&said.join("; "), MAX_DETAIL) }
        }
        _ => words(&String::from_utf8_lossy(body), MAX_TEXT),
    }
}

/// One entry of the list that comes with 422: where, and what is wrong there.
fn complaint(entry: &Value) -> Option<String> {
    let message = entry.get("msg")?.as_str()?;
    let place: Vec<_> = entry
        .get("loc")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|part| part.as_str().map_or_else(|| part.to_string(), ToOwned::to_owned))
        .collect();
    Some(match place.is_empty() {
        true => message.to_owned(),
        false => format!("{}: {message}", place.join(".")),
    })
}

fn words(text: &str, max: usize) -> Problem {
    let detail: String = text.trim().chars().take(max).collect();
    let detail = if detail.is_empty() { "it did not say why".to_owned() } else { detail };
    Problem { detail, reason: None }
}

#[cfg(test)]
mod tests {
    use p2p_coordinator_api::RefusalReason;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reason_is_kept_and_one_of_a_later_version_is_left_out() {
        let known = problem(br#"{"detail":"no host","reason":"no_host"}"#);
        assert_eq!(known.reason, Some(RefusalReason::NoHost));
        let later = problem(br#"{"detail":"not today","reason":"holiday"}"#);
        assert_eq!((later.detail.as_str(), later.reason), ("not today", None));
    }

    #[test]
    fn a_list_of_complaints_is_a_sentence() {
        let body = br#"{"detail":[{"loc":["body","port"],"msg":"at least 1","type":"x"},
            {"loc":["body","players",3],"msg":"too long"},{"msg":"odd"},7]}"#;
        assert_eq!(problem(body).detail, "body.port: at least 1; body.players.3: too long; odd");
    }

    #[test]
    fn a_page_of_a_proxy_is_cut() {
        let page = problem("é".repeat(300).as_bytes());
        assert_eq!(page.detail.chars().count(), 200);
        assert_eq!(problem(b"").detail, "it did not say why");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body: Vec<u8>) {
            prop_assert!(problem(&body).detail.chars().count() <= MAX_DETAIL);
        }
    }
}
