//! Forms of text, as regular expressions (ECMA-262).

/// No control characters: what ids are made of.
pub(super) const PRINTABLE: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";
/// The same, or nothing.
pub(super) const NAME: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// No zero bytes.
pub(super) const NO_ZERO: &str = r"^[^\u0000]*$";
/// The name of a session.
pub(super) const SESSION_NAME: &str = "^session-[0-9a-fA-F]{16}$";
/// A peer id.
pub(super) const PEER_ID: &str = "^ *[0-9a-fA-F]{64} *$";
/// The nonce of a join token.
pub(super) const NONCE: &str = "^[0-9a-f]{32}$";

/// A whole number of these, as text.
pub(super) fn whole(min: u32, max: u32) -> String {
    let digits = up_to(max);
    match min {
        0 => format!(r"^ *\+?(0+|0*({digits}))(\.0+)? *$"),
        // No bound below is another.
        _ => format!(r"^ *\+?0*({digits})(\.0+)? *$"),
    }
}

/// A number of these, as text.
pub(super) fn number(min: f64, max: Option<f64>) -> String {
    let digits = match max {
        None => r"[0-9]{1,300}(\.[0-9]*)?".to_owned(),
        Some(max) => {
            let below = (max as u32).saturating_sub(1);
            format!(r"0*{}(\.0*)?|(0+|0*({}))(\.[0-9]*)?", max as u32, up_to(below.max(1)))
        }
    };
    let signs = if min < 0.0 { r"[+-]" } else { r"\+" };
    format!(r"^ *{signs}?({digits}) *$")
}

/// One of these words, in capitals or not; the empty text as well, if so wanted.
pub(super) fn words(words: &[&str], or_empty: bool) -> String {
    let any_case = |word: &&str| -> String {
        let letters = word.chars();
        letters.map(|c| format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase())).collect()
    };
    let all: Vec<String> = words.iter().map(any_case).collect();
    format!("^({}){}$", all.join("|"), if or_empty { "?" } else { "" })
}

/// The digits of each number from 1 to `max`, without leading noughts.
fn up_to(max: u32) -> String {
    let digits: Vec<u32> = max.to_string().chars().filter_map(|digit| digit.to_digit(10)).collect();
    let mut forms = Vec::new();
    if digits.len() > 1 {
        forms.push(format!("[1-9][0-9]{{0,{}}}", digits.len() - 2));
    }
    for (at, digit) in digits.iter().enumerate() {
        let least = u32::from(at == 0);
        if *digit > least {
            let same: String = digits[..at].iter().map(u32::to_string).collect();
            let rest = digits.len() - at - 1;
            forms.push(format!("{same}[{least}-{}][0-9]{{{rest}}}", digit - 1));
        }
    }
    forms.push(max.to_string());
    forms.join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_numbers_name_each_digit_where_it_may_stand() {
        assert_eq!(up_to(1), "1");
        assert_eq!(up_to(10), "[1-9][0-9]{0,0}|10");
        assert_eq!(
            up_to(65_535),
            "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]{1}|6553[0-4][0-9]{0}|65535"
        );
        assert_eq!(words(&["on"], true), "^([Oo][Nn])?$");
    }
}
