//! Paths of requests.

use p2p_coordinator_api::paths;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::RequestError;

/// All but what RFC 3986, section 2.3, calls unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The path below the prefix that these segments make.
///
/// An id that is `.` or `..` is refused: it would name another resource, because what is on the way
/// takes such segments away, percent-encoded or not (RFC 3986, section 5.2.4).
pub(crate) fn path(segments: &[&str]) -> Result<String, RequestError> {
    let mut path = paths::PREFIX.to_owned();
    for segment in segments {
        if matches!(*segment, "." | "..") {
            let what = format!("an id that is '{segment}' cannot stand in a path");
            return Err(RequestError::Unsupported { what });
        }
        path.push('/');
        path.extend(utf8_percent_encode(segment, ENCODED));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stays_one_segment() {
        assert_eq!(path(&["hosts", ""]).unwrap(), "/api/v1/hosts/");
        assert_eq!(
            path(&["zones", "a/b?c=d#é %"]).unwrap(),
            "/api/v1/zones/a%2Fb%3Fc%3Dd%23%C3%A9%20%25"
        );
        assert!(path(&["hosts", ".."]).is_err());
    }
}
