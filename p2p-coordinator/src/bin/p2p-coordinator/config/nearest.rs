//! For names that nobody knows: which one is meant.

use super::names::NAMES;

/// What names begin with that are meant for this program.
const PREFIXES: [&str; 22] = [
    "AI_SERVICE_",
    "API_KEY",
    "COORDINATOR_",
    "CORS_",
    "DATABASE_",
    "ENABLE_P2P",
    "HOST_HEARTBEAT",
    "JWT_",
    "LOG_LEVEL",
    "LOG_FORMAT",
    "NPC_",
    "P2P_",
    "POSTGRES_",
    "PROMETHEUS_",
    "RATE_LIMIT",
    "REDIS_",
    "SERVICE_NAME",
    "SESSION_",
    "STUN_",
    "TLS_CERT",
    "TRUSTED_PROX",
    "TURN_",
];

/// For a name that looks like ours and is none: the one that is most like it.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    // Of desktops.
    if name == "SESSION_MANAGER" || !PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return None;
    }
    NAMES.iter().map(|(known, _)| *known).min_by_key(|known| distance(name, known))
}

/// How many letters have to be changed, put in or left out (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or_default();
            let cost = (corner + usize::from(x != y)).min(above + 1).min(left + 1);
            if let Some(cell) = row.get_mut(j) {
                *cell = left;
            }
            (corner, left) = (above, cost);
        }
        if let Some(cell) = row.last_mut() {
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_looks_like_ours_is_told_with_the_nearest() {
        assert_eq!(nearest("P2P_ENABLED_ZONE"), Some("P2P_ENABLED_ZONES"));
        assert_eq!(nearest("RATE_LIMIT_REQUEST"), Some("RATE_LIMIT_REQUESTS"));
        assert_eq!(nearest("SESSION_TIMEOUT_MINUTE"), Some("SESSION_TIMEOUT_MINUTES"));
        assert_eq!(nearest("PATH").or(nearest("SESSION_MANAGER")), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
