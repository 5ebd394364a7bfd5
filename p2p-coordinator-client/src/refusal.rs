//! The words of a refusal, in whichever of their forms they come.

use p2p_coordinator_api::RefusalReason;
use p2p_coordinator_api::service::Problem;
use serde_json::Value;

use crate::door::Aside;

/// The most characters kept of the coordinator's words.
const MAX_DETAIL: usize = 500;
/// The most characters kept of a reply that has no form at all, such as a proxy's page.
const MAX_TEXT: usize = 200;
/// The most complaints kept of a list of them.
const MAX_COMPLAINTS: usize = 8;

/// What a reply says that is no success. A reason that this client does not know counts as none, so
/// that a later coordinator's words still arrive.
pub(crate) fn problem(body: &[u8], aside: Aside) -> Problem {
    let Problem { detail, reason } = from_body(body);
    let said = aside.reason.map(Value::String).and_then(known_reason);
    let detail = aside.detail.map_or(detail, |text| words(&text, MAX_DETAIL).detail);
    Problem { detail, reason: reason.or(said) }
}

fn from_body(body: &[u8]) -> Problem {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return words(&String::from_utf8_lossy(body), MAX_TEXT);
    };
    let reason = value.get("reason").cloned().and_then(known_reason);
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

fn known_reason(value: Value) -> Option<RefusalReason> {
    serde_json::from_value(value).ok()
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
    use proptest::prelude::*;

    use super::*;

    fn problem(body: &[u8]) -> Problem {
        super::problem(body, Aside::default())
    }

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
    fn what_is_said_beside_a_fixed_body_counts() {
        let (reason, detail) = (Some("full".into()), Some("ten of ten".into()));
        let aside = Aside { reason, detail, retry_after: None };
        let body = br#"{"detail":"Failed to add player"}"#;
        let both = super::problem(body, aside);
        assert_eq!((both.detail.as_str(), both.reason), ("ten of ten", Some(RefusalReason::Full)));
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
